//! State outside VMs: data and queues that VMs share by their `vm_id`, across threads (spec: "Shared
//! Key-Value Store", "Shared Queues").

#[cfg(test)]
mod accounts;
mod data;
mod inbox;
mod left;
mod lock;
mod queue;
mod trial;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::abi::Status;
use crate::model::limits::Limits;
use crate::rights::rate::Kept;
use crate::sandbox::byte_budget::ByteBudget;
use crate::sandbox::{AllBudgets, Budgets, SandboxKey};
use data::{Data, Entry};
pub use inbox::Wake;
pub(crate) use inbox::{Inbox, OwnInbox, Rank};
pub(crate) use left::Gone;
use lock::lock;
pub(crate) use queue::{Item, Queue};
use trial::Copies;

/// State that the VMs of a process share. Clones are the same state; VMs that were given different ones
/// share nothing.
///
/// Data and queues are shared by `vm_id`, and last as long as there is a VM of it. Each key, item and queue is paid for by the
/// sandbox that wrote it ([`Limits::shared`](crate::model::Limits::shared)), also when its VMs are gone: a VM of that sandbox that starts again
/// finds its budget as it was. What is overwritten, dequeued or freed is given back to who paid.
#[derive(Clone, Default)]
pub struct Shared(Arc<Registry>);

impl Shared {
    /// Returns state to try plugins in: they find the data and the queues of this one, and what they set, register and enqueue is seen in
    /// the trial alone. Budgets are the trial's own.
    #[must_use]
    pub fn trial(&self) -> Self {
        let behind = Behind { registry: Arc::clone(&self.0), copies: Copies::default() };
        Self(Arc::new(Registry { behind: Some(behind), ..Registry::default() }))
    }

    /// The store and the budgets of a VM. The budgets of a sandbox are those of all of its VMs; of one VM, if its sandbox is not known. What
    /// sandboxes that have gone have left in the store is freed, beyond what the limits of a new one allow itself.
    pub(crate) fn enter(
        &self,
        vm_id: &str,
        isolated: Option<SandboxKey>,
        sandbox: Option<SandboxKey>,
        limits: &Limits,
    ) -> (Arc<SharedStore>, Arc<Budgets>) {
        let store = self.store(vm_id, isolated);
        let Some(sandbox) = sandbox else { return (store, Arc::new(Budgets::new(limits))) };
        let (budgets, gone) = self.0.budgets.of(sandbox, limits);
        if !gone.is_empty() {
            store.free_left(&gone, limits.shared);
        }
        (store, budgets)
    }

    /// The store of a `vm_id`, or of one of its sandboxes that were kept apart. It lasts as long as a VM is in it.
    pub(crate) fn store(&self, vm_id: &str, isolated: Option<SandboxKey>) -> Arc<SharedStore> {
        let name = (vm_id.to_owned(), isolated);
        let mut stores = lock(&self.0.stores);
        if let Some(store) = stores.get(&name).and_then(Weak::upgrade) {
            return store;
        }
        stores.retain(|_, store| store.strong_count() > 0);
        let store = Arc::new(SharedStore {
            vm_id: vm_id.into(),
            behind: self.0.behind.as_ref().and_then(|behind| behind.registry.existing(&name)),
            registry: Arc::clone(&self.0),
            data: Data::default(),
            queues: Mutex::default(),
        });
        stores.insert(name, Arc::downgrade(&store));
        store
    }
}

/// A `vm_id`, and the sandbox that was kept apart from others of it.
type StoreName = (String, Option<SandboxKey>);

#[derive(Default)]
struct Registry {
    budgets: AllBudgets,
    stores: Mutex<HashMap<StoreName, Weak<SharedStore>>>,
    last_cas: AtomicU32,
    last_queue: AtomicU32,
    /// The state that this one is a trial of.
    behind: Option<Behind>,
}

/// The state behind a trial.
struct Behind {
    registry: Arc<Registry>,
    copies: Copies<Queue>,
}

impl Registry {
    /// Returns the store of a name, if a VM is in it.
    fn existing(&self, name: &StoreName) -> Option<Arc<SharedStore>> {
        lock(&self.stores).get(name)?.upgrade()
    }

    /// Makes an empty queue in the place of one of a store behind this trial.
    fn copy(&self, of: &SharedStore, name: &[u8]) -> Option<Arc<Queue>> {
        let payer = self.behind.as_ref()?.copies.payer();
        of.own(name)?;
        Queue::new(next(&self.last_queue), name, &of.vm_id, payer).map(Arc::new)
    }

    /// Returns an empty queue in the place of one behind this trial, of a `vm_id` that no plugin of the trial has.
    fn behind(&self, vm_id: &str, name: &[u8]) -> Option<Arc<Queue>> {
        let behind = self.behind.as_ref()?;
        let of = behind.registry.existing(&(vm_id.to_owned(), None))?;
        behind.copies.keep(&of.vm_id, name, || self.copy(&of, name))
    }
}

/// Data and queues that the VMs with one `vm_id` share.
pub(crate) struct SharedStore {
    vm_id: Arc<str>,
    /// The store that this one is a trial of: it is read, and never changed.
    behind: Option<Arc<Self>>,
    registry: Arc<Registry>,
    data: Data,
    queues: Mutex<Queues>,
}

/// The queues of a store. Each stays as long as the store does.
#[derive(Default)]
struct Queues {
    by_name: HashMap<Arc<[u8]>, Arc<Queue>>,
    by_id: HashMap<u32, Arc<Queue>>,
}

impl SharedStore {
    /// Passes a value and its version to `read` while nobody writes it.
    pub(crate) fn get<R>(&self, key: &[u8], read: impl FnOnce(&[u8], u32) -> R) -> Option<R> {
        let Some(behind) = &self.behind else { return self.data.get(key, read) };
        let mut read = Some(read);
        let own = self.data.get(key, |value, cas| read.take().map(|read| read(value, cas)));
        match read {
            Some(read) => behind.get(key, read),
            None => own.flatten(),
        }
    }

    /// Sets a value. `cas` is the version that it must replace; 0, or a key that there is not, replaces in
    /// any case. `payer` is charged. `keep` sees what it replaces, may refuse, and counts the bytes; what it
    /// allows is done.
    pub(crate) fn set(
        &self,
        key: &[u8],
        value: &[u8],
        cas: u32,
        payer: &Arc<ByteBudget>,
        keep: impl FnOnce(Option<&mut Entry>) -> Result<Option<Kept>, Status>,
    ) -> Result<(), Status> {
        self.data.set(key, value, cas, payer, keep, || next(&self.registry.last_cas))
    }

    /// The queue of this name, made at the cost of `payer` if there is none. From now on it tells this root, unless that of a VM of a lower
    /// rank is there.
    pub(crate) fn register(
        &self,
        name: &[u8],
        owner: &Arc<Inbox>,
        root: crate::model::ContextId,
        payer: &Arc<ByteBudget>,
    ) -> Result<u32, Status> {
        let mut queues = lock(&self.queues);
        if let Some(queue) = queues.by_name.get(name) {
            let (queue, items) = (Arc::clone(queue), queue.tell(owner, root));
            drop(queues);
            if items > 0 {
                queue.tell_of(items);
            }
            return Ok(queue.id());
        }
        if name.len() > Limits::LONGEST_KEY {
            return Err(Status::InternalFailure);
        }
        let id = next(&self.registry.last_queue);
        let queue = Arc::new(Queue::new(id, name, &self.vm_id, payer).ok_or(Status::InternalFailure)?);
        queue.tell(owner, root);
        queues.by_name.insert(Arc::clone(queue.name()), Arc::clone(&queue));
        queues.by_id.insert(id, queue);
        Ok(id)
    }

    /// Has VMs of a lower rank told of items in place of one, if they have registered the queues: also of those that it has not been told of
    /// yet.
    pub(crate) fn retire(&self, inbox: &Arc<Inbox>, rank: Rank) {
        inbox.retire(rank);
        self.hand_over(inbox, None);
    }

    /// Forgets what a root of a VM, or each, has registered, and has others told of what it has not been told of yet.
    pub(crate) fn forget(&self, inbox: &Arc<Inbox>, root: Option<crate::model::ContextId>) {
        for (root, queue) in inbox.take_registered(root) {
            if let Some(queue) = self.queue(queue) {
                queue.forget(inbox, root);
            }
        }
        self.hand_over(inbox, root);
    }

    /// Tells of items anew that a root of a VM, or each, has not been told of yet.
    fn hand_over(&self, inbox: &Inbox, root: Option<crate::model::ContextId>) {
        for (queue, items) in inbox.drain(root) {
            if let Some(queue) = self.queue(queue) {
                queue.tell_of(items);
            }
        }
    }

    /// A queue by its name, of this store or of another `vm_id`'s. Sandboxes that were kept apart have none to be found.
    pub(crate) fn resolve(&self, vm_id: Option<&str>, name: &[u8]) -> Option<Arc<Queue>> {
        match vm_id {
            Some(vm_id) if *vm_id != *self.vm_id => match self.registry.existing(&(vm_id.to_owned(), None)) {
                Some(store) => store.own(name),
                None => self.registry.behind(vm_id, name),
            },
            _ => self.own(name),
        }
    }

    /// A queue of this store by its name.
    fn own(&self, name: &[u8]) -> Option<Arc<Queue>> {
        if let Some(queue) = lock(&self.queues).by_name.get(name) {
            return Some(Arc::clone(queue));
        }
        let queue = self.registry.copy(self.behind.as_ref()?, name)?;
        let mut queues = lock(&self.queues);
        queues.by_name.insert(Arc::clone(queue.name()), Arc::clone(&queue));
        queues.by_id.insert(queue.id(), Arc::clone(&queue));
        Some(queue)
    }

    /// A queue of this store by its id.
    pub(crate) fn queue(&self, id: u32) -> Option<Arc<Queue>> {
        lock(&self.queues).by_id.get(&id).cloned()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (vm_ids, sandboxes) = (lock(&self.0.stores).len(), self.0.budgets.len());
        f.debug_struct("Shared").field("vm_ids", &vm_ids).field("sandboxes", &sandboxes).finish_non_exhaustive()
    }
}

impl fmt::Debug for SharedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedStore")
    }
}

/// The next number of a counter; never 0.
fn next(last: &AtomicU32) -> u32 {
    loop {
        let next = last.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if next != 0 {
            return next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payer() -> Arc<ByteBudget> {
        ByteBudget::new(1 << 20)
    }

    fn get(store: &SharedStore, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        store.get(key, |value, cas| (value.to_vec(), cas))
    }

    #[test]
    fn vms_share_by_their_id_and_leave_nothing_behind() {
        let shared = Shared::default();
        let (a, b) = (shared.store("a", None), shared.store("b", None));
        assert_eq!(a.set(b"k", b"1", 0, &payer(), |_| Ok(None)), Ok(()));
        assert_eq!(get(&shared.store("a", None), b"k"), Some((b"1".to_vec(), 1)));
        assert_eq!(get(&b, b"k"), None);
        drop(a);
        assert_eq!(get(&shared.store("a", None), b"k"), None);
    }

    #[test]
    fn sandboxes_that_were_kept_apart_see_nothing_of_each_other() {
        let shared = Shared::default();
        let vm = crate::sandbox::VmSpec::default();
        let key = |engine| {
            let capabilities = crate::rights::Capabilities::ALL;
            let spec = crate::sandbox::SandboxSpec {
                vm_id: "a",
                code: b"",

                engine,
                vm: &vm,
                capabilities,
                rules: const { &crate::rights::Rules::NONE },
                alone: None,
            };
            Some(spec.key())
        };
        let (one, same, other) =
            (shared.store("a", key("1")), shared.store("a", key("1")), shared.store("a", key("2")));
        let (whole, stranger) = (shared.store("a", None), shared.store("b", None));
        assert_eq!(one.set(b"k", b"1", 0, &payer(), |_| Ok(None)), Ok(()));
        let found = [&same, &other, &whole].map(|store| get(store, b"k").is_some());
        assert_eq!(found, [true, false, false]);
        let inbox = Arc::new(Inbox::new(None));
        let id = one.register(b"q", &inbox, crate::model::ContextId::VM, &payer()).unwrap_or_default();
        let knows = |store: &SharedStore, vm_id| store.resolve(vm_id, b"q").is_some_and(|queue| queue.id() == id);
        assert!(knows(&same, None) && knows(&same, Some("a")), "its own id is its own store");
        assert!(!knows(&other, None) && !knows(&other, Some("a")) && !knows(&stranger, Some("a")));
        assert!(same.queue(id).is_some() && other.queue(id).is_none());
    }

    #[test]
    fn a_version_is_compared_where_there_is_one() {
        let store = Shared::default().store("", None);
        assert_eq!(store.set(b"k", b"1", 77, &payer(), |_| Ok(None)), Ok(()), "a key that there is not");
        let (_, cas) = get(&store, b"k").unwrap_or_default();
        assert_eq!(store.set(b"k", b"2", cas + 1, &payer(), |_| Ok(None)), Err(Status::CasMismatch));
        assert_eq!(store.set(b"k", b"2", cas, &payer(), |_| Ok(None)), Ok(()));
        assert_eq!(store.set(b"k", b"3", cas, &payer(), |_| Ok(None)), Err(Status::CasMismatch));
        assert_eq!(store.set(b"k", b"", 0, &payer(), |_| Ok(None)), Ok(()));
        assert_eq!(get(&store, b"k"), Some((Vec::new(), cas + 2)));
    }

    #[test]
    fn who_is_full_takes_nothing_from_others_of_the_same_id() {
        let shared = Shared::default();
        let limits = Limits { shared: 10 * Limits::ENTRY_COST, ..Limits::default() };
        let ((store, greedy), (same, other)) =
            (shared.enter("", None, None, &limits), shared.enter("", None, None, &limits));
        let mut key = 0_u32;
        while store.set(&key.to_le_bytes(), b"", 0, &greedy.shared, |_| Ok(None)).is_ok() {
            key += 1;
        }
        assert_eq!(key, 9);
        let inbox = Arc::new(Inbox::new(None));
        let register = |name, payer| store.register(name, &inbox, crate::model::ContextId::VM, payer);
        assert_eq!(register(b"q", &greedy.shared), Err(Status::InternalFailure));
        assert_eq!(same.set(b"k", b"v", 0, &other.shared, |_| Ok(None)), Ok(()));
        assert!(register(b"q", &other.shared).is_ok());
        // What it has overwritten by another makes room again.
        assert_eq!(same.set(&0_u32.to_le_bytes(), b"v", 0, &other.shared, |_| Ok(None)), Ok(()));
        assert_eq!(store.set(b"new", b"", 0, &greedy.shared, |_| Ok(None)), Ok(()));
    }

    #[test]
    fn data_stay_as_long_as_a_vm_of_the_id_does() {
        let shared = Shared::default();
        let payer = payer();
        let old = shared.store("vm", None);
        assert_eq!(old.set(b"k", b"v", 0, &payer, |_| Ok(None)), Ok(()));
        let inbox = Arc::new(Inbox::new(None));
        assert!(old.register(b"q", &inbox, crate::model::ContextId::VM, &payer).is_ok());
        let queue = old.resolve(None, b"q");
        assert!(queue.is_some_and(|queue| queue.enqueue(b"item", &payer).is_ok()));
        // As when a VM is started again: the new one is there before the old one goes.
        let new = shared.store("vm", None);
        drop(old);
        assert_eq!(get(&new, b"k"), Some((b"v".to_vec(), 1)));
        assert!(new.resolve(None, b"q").is_some_and(|queue| queue.dequeue().is_some_and(|item| *item == *b"item")));
        assert!(payer.taken() > 0);
        drop(new);
        assert_eq!(payer.taken(), 0);
        assert_eq!(get(&shared.store("vm", None), b"k"), None);
    }

    #[test]
    fn no_increment_is_lost() {
        let shared = Shared::default();
        // Keeps the value between threads.
        let store = shared.store("vm", None);
        assert_eq!(store.set(b"n", &0_u64.to_le_bytes(), 0, &payer(), |_| Ok(None)), Ok(()));
        let count = |store: &SharedStore| {
            let (value, cas) = get(store, b"n").unwrap_or_default();
            (value.try_into().map(u64::from_le_bytes), cas)
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let store = shared.store("vm", None);
                    for _ in 0..1000 {
                        loop {
                            let (value, cas) = count(&store);
                            let next = value.map_or(0, |value| value + 1);
                            if store.set(b"n", &next.to_le_bytes(), cas, &payer(), |_| Ok(None)).is_ok() {
                                break;
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(count(&store).0, Ok(4000));
    }
}
