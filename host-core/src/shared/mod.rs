//! State outside VMs: data and queues that VMs share by their `vm_id`, across threads (spec: "Shared
//! Key-Value Store", "Shared Queues").

mod data;
mod inbox;
mod queue;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::abi::Status;
use crate::capability::rate::Kept;
use crate::sandbox::SandboxKey;
use data::{Data, Entry};
pub(crate) use inbox::Inbox;
pub use inbox::Wake;
pub(crate) use queue::Queue;

/// What the VMs of a process share. Clones are the same state; VMs that were given different ones
/// share nothing.
#[derive(Clone, Default)]
pub struct Shared(Arc<Registry>);

/// How much may be shared under one `vm_id`. What would exceed it is answered `InternalFailure`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedLimits {
    /// Keys. Default 10,000.
    pub keys: usize,
    /// Bytes of keys and values together. Default 64 MiB.
    pub data: usize,
    /// Queues. Default 1000.
    pub queues: usize,
    /// Items in one queue. Default 10,000.
    pub items: usize,
    /// Bytes in one queue. Default 16 MiB.
    pub queue: usize,
}

impl Default for SharedLimits {
    fn default() -> Self {
        Self { keys: 10_000, data: 64 << 20, queues: 1000, items: 10_000, queue: 16 << 20 }
    }
}

impl Shared {
    /// Nothing shared yet, within limits.
    pub fn new(limits: SharedLimits) -> Self {
        Self(Arc::new(Registry { limits, ..Registry::default() }))
    }

    /// The space of a `vm_id`, or of one of its sandboxes that were kept apart. It lasts as long as a VM is in it.
    pub(crate) fn space(&self, vm_id: &str, partition: Option<SandboxKey>) -> Arc<Space> {
        let name = (vm_id.to_owned(), partition);
        let mut spaces = lock(&self.0.spaces);
        if let Some(space) = spaces.get(&name).and_then(Weak::upgrade) {
            return space;
        }
        spaces.retain(|_, space| space.strong_count() > 0);
        let space = Arc::new(Space {
            vm_id: vm_id.into(),
            registry: Arc::clone(&self.0),
            data: Data::default(),
            queues: Mutex::new(HashMap::new()),
        });
        spaces.insert(name, Arc::downgrade(&space));
        space
    }
}

/// A `vm_id`, and the sandbox that was kept apart from others of it.
type SpaceName = (String, Option<SandboxKey>);

#[derive(Default)]
struct Registry {
    limits: SharedLimits,
    spaces: Mutex<HashMap<SpaceName, Weak<Space>>>,
    last_cas: AtomicU32,
    last_queue: AtomicU32,
}

/// What the VMs with one `vm_id` share.
pub(crate) struct Space {
    vm_id: Arc<str>,
    registry: Arc<Registry>,
    data: Data,
    /// By name.
    queues: Mutex<HashMap<Vec<u8>, Arc<Queue>>>,
}

impl Space {
    /// A value and its version, handed to `read` while nobody writes it.
    pub(crate) fn get<R>(&self, key: &[u8], read: impl FnOnce(&[u8], u32) -> R) -> Option<R> {
        self.data.get(key, read)
    }

    /// Sets a value. `cas` is the version that it must replace; 0, or a key that there is not, replaces in
    /// any case. `keep` sees what it replaces, may refuse, and counts the bytes; what it
    /// allows is done.
    pub(crate) fn set(
        &self,
        key: &[u8],
        value: &[u8],
        cas: u32,
        keep: impl FnOnce(Option<&mut Entry>) -> Result<Option<Kept>, Status>,
    ) -> Result<(), Status> {
        self.data.set(key, value, cas, keep, || next(&self.registry.last_cas), &self.registry.limits)
    }

    /// The queue of this name, made if there is none. From now on it tells `inbox`.
    pub(crate) fn register(&self, name: &[u8], owner: &Arc<Inbox>, root: crate::ContextId) -> Result<u32, Status> {
        let mut queues = lock(&self.queues);
        let queue = match queues.get(name) {
            Some(queue) => queue,
            None if queues.len() >= self.registry.limits.queues => return Err(Status::InternalFailure),
            None => {
                let queue = Arc::new(Queue::new(next(&self.registry.last_queue), name, &self.vm_id));
                queues.entry(name.to_vec()).or_insert(queue)
            }
        };
        queue.tell(owner, root);
        Ok(queue.id())
    }

    /// A queue by its name, of this space or of another `vm_id`'s. Sandboxes that were kept apart have none to be found.
    pub(crate) fn resolve(&self, vm_id: Option<&str>, name: &[u8]) -> Option<Arc<Queue>> {
        match vm_id {
            Some(vm_id) if *vm_id != *self.vm_id => {
                let space = lock(&self.registry.spaces).get(&(vm_id.to_owned(), None))?.upgrade()?;
                lock(&space.queues).get(name).cloned()
            }
            _ => lock(&self.queues).get(name).cloned(),
        }
    }

    /// A queue of this space by its id.
    pub(crate) fn queue(&self, id: u32) -> Option<Arc<Queue>> {
        lock(&self.queues).values().find(|queue| queue.id() == id).cloned()
    }

    pub(crate) fn limits(&self) -> &SharedLimits {
        &self.registry.limits
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("vm_ids", &lock(&self.0.spaces).len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Space")
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

/// A panic elsewhere leaves what is shared whole: every change is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Shared {
        Shared::new(SharedLimits { keys: 2, data: 10, queues: 1, items: 2, queue: 10 })
    }

    fn get(space: &Space, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        space.get(key, |value, cas| (value.to_vec(), cas))
    }

    #[test]
    fn vms_share_by_their_id_and_leave_nothing_behind() {
        let shared = small();
        let (a, b) = (shared.space("a", None), shared.space("b", None));
        assert_eq!(a.set(b"k", b"1", 0, |_| Ok(None)), Ok(()));
        assert_eq!(get(&shared.space("a", None), b"k"), Some((b"1".to_vec(), 1)));
        assert_eq!(get(&b, b"k"), None);
        drop(a);
        assert_eq!(get(&shared.space("a", None), b"k"), None);
    }

    #[test]
    fn sandboxes_that_were_kept_apart_see_nothing_of_each_other() {
        let shared = small();
        let limits = crate::Limits::default();
        let key = |engine| {
            let capabilities = crate::Capabilities::ALL;
            let spec = crate::SandboxSpec {
                vm_id: "a",
                code: b"",
                configuration: b"",
                engine,
                limits: &limits,
                environment: &[],
                preopens: &[],
                any_effective_context: false,
                capabilities,
                rules: const { &crate::Rules::NONE },
                alone: None,
            };
            Some(spec.key())
        };
        let (one, same, other) =
            (shared.space("a", key("1")), shared.space("a", key("1")), shared.space("a", key("2")));
        let (whole, stranger) = (shared.space("a", None), shared.space("b", None));
        assert_eq!(one.set(b"k", b"1", 0, |_| Ok(None)), Ok(()));
        let found = [&same, &other, &whole].map(|space| get(space, b"k").is_some());
        assert_eq!(found, [true, false, false]);
        let inbox = Arc::new(Inbox::new(None));
        let id = one.register(b"q", &inbox, crate::ContextId::VM).unwrap_or_default();
        let knows = |space: &Space, vm_id| space.resolve(vm_id, b"q").is_some_and(|queue| queue.id() == id);
        assert!(knows(&same, None) && knows(&same, Some("a")), "its own id is its own space");
        assert!(!knows(&other, None) && !knows(&other, Some("a")) && !knows(&stranger, Some("a")));
        assert!(same.queue(id).is_some() && other.queue(id).is_none());
    }

    #[test]
    fn a_version_is_compared_where_there_is_one() {
        let space = small().space("", None);
        assert_eq!(space.set(b"k", b"1", 77, |_| Ok(None)), Ok(()), "a key that there is not");
        let (_, cas) = get(&space, b"k").unwrap_or_default();
        assert_eq!(space.set(b"k", b"2", cas + 1, |_| Ok(None)), Err(Status::CasMismatch));
        assert_eq!(space.set(b"k", b"2", cas, |_| Ok(None)), Ok(()));
        assert_eq!(space.set(b"k", b"3", cas, |_| Ok(None)), Err(Status::CasMismatch));
        assert_eq!(space.set(b"k", b"", 0, |_| Ok(None)), Ok(()));
        assert_eq!(get(&space, b"k"), Some((Vec::new(), cas + 2)));
    }

    #[test]
    fn a_full_space_says_so_and_keeps_what_it_has() {
        let space = small().space("", None);
        assert_eq!(
            space.set(b"k", &[0; 10], 0, |_| Ok(None)),
            Err(Status::InternalFailure),
            "with its key it is too long"
        );
        assert_eq!(space.set(b"k", &[0; 9], 0, |_| Ok(None)), Ok(()));
        assert_eq!(space.set(b"l", b"", 0, |_| Ok(None)), Err(Status::InternalFailure));
        assert_eq!(space.set(b"k", &[0; 8], 0, |_| Ok(None)), Ok(()), "what is replaced makes room");
        assert_eq!(space.set(b"l", b"", 0, |_| Ok(None)), Ok(()));
        assert_eq!(space.set(b"", b"", 0, |_| Ok(None)), Err(Status::InternalFailure), "too many keys");
    }

    #[test]
    fn no_increment_is_lost() {
        let shared = Shared::default();
        // Keeps the value between threads.
        let space = shared.space("vm", None);
        assert_eq!(space.set(b"n", &0_u64.to_le_bytes(), 0, |_| Ok(None)), Ok(()));
        let count = |space: &Space| {
            let (value, cas) = get(space, b"n").unwrap_or_default();
            (value.try_into().map(u64::from_le_bytes), cas)
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let space = shared.space("vm", None);
                    for _ in 0..1000 {
                        loop {
                            let (value, cas) = count(&space);
                            let next = value.map_or(0, |value| value + 1);
                            if space.set(b"n", &next.to_le_bytes(), cas, |_| Ok(None)).is_ok() {
                                break;
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(count(&space).0, Ok(4000));
    }
}
