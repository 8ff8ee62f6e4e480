use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};

use super::inbox::{Inbox, Rank};
use super::left::{Gone, LeftInQueue};
use super::lock::lock;
use crate::abi::Status;
use crate::model::context::ContextId;
use crate::model::limits::Limits;
use crate::sandbox::byte_budget::{ByteBudget, Charge};

/// A queue. It tells a root of every item, never while the one who put it there is at it: of the roots that have registered it and are
/// there, the last whose VM has the lowest [`Rank`].
pub(crate) struct Queue {
    id: u32,
    name: Arc<[u8]>,
    vm_id: Arc<str>,
    state: Mutex<State>,
    /// The queue itself, paid for by the sandbox that registered it first.
    charge: Charge,
}

/// An item, paid for by the sandbox that put it there until it is gone.
pub(crate) struct Item {
    bytes: Box<[u8]>,
    charge: Charge,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// The roots that have registered it, each with the inbox of its VM; the last one stands behind the others.
    owners: Vec<(Weak<Inbox>, ContextId)>,
}

impl State {
    /// Returns the inbox and the root that are told of items. VMs that have gone are forgotten.
    fn told(&mut self) -> Option<(Arc<Inbox>, ContextId)> {
        self.owners.retain(|(inbox, _)| inbox.strong_count() > 0);
        let mut best: Option<(u8, Arc<Inbox>, ContextId)> = None;
        for (inbox, root) in self.owners.iter().rev() {
            let Some(inbox) = inbox.upgrade() else { continue };
            let rank = inbox.rank();
            if best.as_ref().is_none_or(|(least, ..)| rank < *least) {
                best = Some((rank, inbox, *root));
            }
            if rank == Rank::Works as u8 {
                break;
            }
        }
        best.map(|(_, inbox, root)| (inbox, root))
    }

    /// Returns whether a root may still be told of items: it is there, and no other one is to be told before it.
    fn may_be_told(&mut self, owner: &Arc<Inbox>, root: ContextId) -> bool {
        let is_there = self.owners.iter().any(|of| is(of, owner, root));
        let rank = owner.rank();
        is_there && (rank == Rank::Works as u8 || self.told().is_some_and(|(inbox, _)| inbox.rank() >= rank))
    }
}

fn is((inbox, of): &(Weak<Inbox>, ContextId), owner: &Arc<Inbox>, root: ContextId) -> bool {
    *of == root && std::ptr::eq(inbox.as_ptr(), Arc::as_ptr(owner))
}

impl Queue {
    /// Makes a queue that is charged to `payer`.
    pub(super) fn new(id: u32, name: &[u8], vm_id: &Arc<str>, payer: &Arc<ByteBudget>) -> Option<Self> {
        let charge = payer.take(Self::cost(name))?;
        Some(Self { id, name: name.into(), vm_id: Arc::clone(vm_id), state: Mutex::default(), charge })
    }

    fn cost(name: &[u8]) -> usize {
        Limits::NAME_COST.saturating_add(name.len())
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn name(&self) -> &Arc<[u8]> {
        &self.name
    }

    /// Returns the id of the VMs that it belongs to.
    pub(crate) fn vm_id(&self) -> &str {
        &self.vm_id
    }

    /// Tells this root of items from now on; returns of how many that were told to others that are to be told after it, and were not
    /// delivered: it is to be told of them.
    pub(super) fn tell(&self, owner: &Arc<Inbox>, root: ContextId) -> usize {
        let owners = &mut lock(&self.state).owners;
        // As many are left as there are roots.
        owners.retain(|of| of.0.strong_count() > 0 && !is(of, owner, root));
        let others = owners.iter().filter_map(|(inbox, root)| Some((inbox.upgrade()?, *root)));
        let after = others.filter(|(inbox, _)| inbox.rank() > owner.rank());
        let items = after.fold(0_usize, |items, (inbox, root)| items.saturating_add(inbox.take_all(root, self.id)));
        owners.push((Arc::downgrade(owner), root));
        owner.note(root, self.id);
        items
    }

    /// Tells a root of items no more.
    pub(super) fn forget(&self, owner: &Arc<Inbox>, root: ContextId) {
        lock(&self.state).owners.retain(|of| !is(of, owner, root));
    }

    /// Tells of items that are in it, if somebody is there to be told.
    pub(super) fn tell_of(&self, items: usize) {
        let told = lock(&self.state).told();
        self.tell_one(told, items);
    }

    fn tell_one(&self, mut told: Option<(Arc<Inbox>, ContextId)>, mut items: usize) {
        while let Some((inbox, root)) = told {
            inbox.put(root, self.id, items);
            // Its VM may have been retired since it was chosen, or the root have gone, and what there was to hand over been taken before
            // this came. That happens to each once, so this ends.
            let mut state = lock(&self.state);
            if state.may_be_told(&inbox, root) {
                return;
            }
            told = state.told();
            drop(state);
            items = inbox.take_all(root, self.id);
            if items == 0 {
                return;
            }
        }
    }

    /// Appends an item at the cost of `payer`.
    pub(crate) fn enqueue(&self, item: &[u8], payer: &Arc<ByteBudget>) -> Result<(), Status> {
        let charge = payer.take(Limits::ENTRY_COST.saturating_add(item.len())).ok_or(Status::InternalFailure)?;
        let item = Item { bytes: item.into(), charge };
        let mut state = lock(&self.state);
        state.items.push_back(item);
        let told = state.told();
        drop(state);
        self.tell_one(told, 1);
        Ok(())
    }

    pub(crate) fn dequeue(&self) -> Option<Item> {
        /// Few enough to keep room for.
        const FEW: usize = 64;
        let mut state = lock(&self.state);
        let item = state.items.pop_front()?;
        // Nobody pays for the room of items that are gone.
        let room = state.items.len().saturating_mul(2).max(FEW);
        if state.items.capacity() / 2 > room {
            state.items.shrink_to(room);
        }
        Some(item)
    }

    /// Undoes [`Self::dequeue`]; what has come meanwhile stays behind.
    pub(crate) fn put_back(&self, item: Item) {
        lock(&self.state).items.push_front(item);
    }

    /// Returns what sandboxes that have gone have left here.
    pub(super) fn left(&self, gone: &Gone) -> LeftInQueue {
        let mut state = lock(&self.state);
        let own = if gone.pay_for(&self.charge) { self.charge.bytes() } else { 0 };
        let items = state.items.iter().filter(|item| gone.pay_for(&item.charge));
        let (count, bytes) = items.fold((0, own), |(count, bytes), item| (count + 1, bytes + item.charge.bytes()));
        let is_abandoned = own > 0 && count == state.items.len() && state.told().is_none();
        LeftInQueue { bytes, is_abandoned }
    }

    /// Drops items that sandboxes have left that have gone, the oldest first, until so many bytes are freed; returns how many are.
    pub(super) fn drop_items(&self, gone: &Gone, bytes: usize) -> usize {
        let mut freed = 0_usize;
        lock(&self.state).items.retain(|item| {
            let goes = freed < bytes && gone.pay_for(&item.charge);
            freed += if goes { item.charge.bytes() } else { 0 };
            !goes
        });
        freed
    }

    /// Returns the bytes that are charged to a budget, and the room for items.
    #[cfg(test)]
    pub(super) fn charged_to(&self, payer: &Arc<ByteBudget>) -> (usize, usize) {
        let state = lock(&self.state);
        let items = state.items.iter().filter(|item| item.charge.is_of(payer));
        let items: usize = items.map(|item| Limits::ENTRY_COST + item.bytes.len()).sum();
        let own = if self.charge.is_of(payer) { Self::cost(&self.name) } else { 0 };
        (items + own, state.items.capacity())
    }
}

impl std::ops::Deref for Item {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("id", &self.id).field("cost", &self.charge.bytes()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Item").field("cost", &self.charge.bytes()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{OwnInbox, Shared, Wake};
    use super::*;

    #[test]
    fn items_come_in_order_and_their_owner_is_told_of_each() {
        let store = Shared::default().store("vm", None);
        let payer = ByteBudget::new(Limits::NAME_COST + 1 + 2 * Limits::ENTRY_COST + 10);
        let woken = Arc::new(Mutex::new(0));
        let count = Arc::clone(&woken);
        let inbox = Arc::new(Inbox::new(Some(Wake::new(move || *lock(&count) += 1))));
        let root = ContextId::VM;
        let id = store.register(b"q", &inbox, root, &payer);
        assert_eq!(store.register(b"q", &inbox, root, &payer), id, "again the same");
        assert_eq!(store.register(b"r", &inbox, root, &payer), Err(Status::InternalFailure), "too many");
        let queue = store.resolve(None, b"q").filter(|queue| Ok(queue.id()) == id);
        let Some(queue) = queue else { panic!("it is there") };
        assert!(queue.enqueue(b"1", &payer).is_ok() && queue.enqueue(b"", &payer).is_ok());
        assert_eq!(queue.enqueue(b"3", &payer), Err(Status::InternalFailure), "full");
        let told: Vec<_> = std::iter::from_fn(|| inbox.take()).collect();
        assert_eq!(told, [(root, queue.id()), (root, queue.id())]);
        assert_eq!(*lock(&woken), 2);
        let taken = [(); 3].map(|()| queue.dequeue().map(|item| item.to_vec()));
        assert_eq!(taken, [Some(b"1".to_vec()), Some(Vec::new()), None]);
        assert_eq!(payer.taken(), Limits::NAME_COST + 1, "what was taken is given back");
        let most = Limits::ENTRY_COST + 10;
        assert_eq!(queue.enqueue(&vec![0; most + 1], &payer), Err(Status::InternalFailure), "too long");
        assert_eq!(queue.enqueue(&vec![0; most], &payer), Ok(()));
    }

    #[test]
    fn a_queue_outlives_the_vm_that_it_told() {
        let store = Shared::default().store("vm", None);
        let (inbox, payer) = (Arc::new(Inbox::new(None)), ByteBudget::new(1 << 20));
        assert!(store.register(b"q", &inbox, ContextId::VM, &payer).is_ok());
        drop(inbox);
        let queue = store.resolve(None, b"q");
        assert_eq!(queue.map(|queue| queue.enqueue(b"1", &payer)), Some(Ok(())));
    }

    #[test]
    fn the_last_vm_is_told_and_the_one_before_when_that_has_gone() {
        let (store, payer) = (Shared::default().store("vm", None), ByteBudget::new(1 << 20));
        let inboxes = [(); 3].map(|()| Arc::new(Inbox::new(None)));
        for inbox in &inboxes {
            assert!(store.register(b"q", inbox, ContextId::VM, &payer).is_ok());
        }
        let Some(queue) = store.resolve(None, b"q") else { panic!("it is there") };
        let [first, second, third] = inboxes;
        let told = |inbox: &Inbox| std::iter::from_fn(|| inbox.take()).count();
        let enqueue = || assert_eq!(queue.enqueue(b"", &payer), Ok(()));
        enqueue();
        assert_eq!((told(&first), told(&second), told(&third)), (0, 0, 1));
        enqueue();
        drop(third);
        enqueue();
        assert_eq!((told(&first), told(&second)), (0, 1), "one message went with the VM");
        // It registers again, as some plugins do each time that they look into a queue.
        enqueue();
        store.retire(&second, Rank::Drains);
        assert!(store.register(b"q", &second, ContextId::VM, &payer).is_ok());
        enqueue();
        assert_eq!((told(&first), told(&second)), (2, 0), "what it had not been told is told to another one");
        drop(first);
        enqueue();
        assert_eq!(told(&second), 1, "better than nobody");
    }

    #[test]
    fn a_vm_alone_keeps_its_messages() {
        let (store, payer) = (Shared::default().store("vm", None), ByteBudget::new(1 << 20));
        let inbox = Arc::new(Inbox::new(None));
        assert!(store.register(b"q", &inbox, ContextId::VM, &payer).is_ok());
        let queue = store.resolve(None, b"q");
        assert!(queue.is_some_and(|queue| queue.enqueue(b"", &payer).is_ok() && queue.enqueue(b"", &payer).is_ok()));
        store.retire(&inbox, Rank::Drains);
        assert_eq!(std::iter::from_fn(|| inbox.take()).count(), 2);
    }

    #[test]
    fn a_vm_that_has_failed_is_told_last() {
        let (store, payer) = (Shared::default().store("vm", None), ByteBudget::new(1 << 20));
        let [drains, fails, later] = [(); 3].map(|()| Arc::new(Inbox::new(None)));
        for inbox in [&drains, &fails] {
            assert!(store.register(b"q", inbox, ContextId::VM, &payer).is_ok());
        }
        let Some(queue) = store.resolve(None, b"q") else { panic!("it is there") };
        let told = |inbox: &Inbox| std::iter::from_fn(|| inbox.take()).count();
        let enqueue = || assert_eq!(queue.enqueue(b"", &payer), Ok(()));
        enqueue();
        store.retire(&fails, Rank::Failed);
        store.retire(&drains, Rank::Drains);
        enqueue();
        assert_eq!((told(&drains), told(&fails)), (2, 0));
        store.retire(&drains, Rank::Failed);
        enqueue();
        // Who comes later finds what nobody could be told.
        assert!(store.register(b"q", &later, ContextId::VM, &payer).is_ok());
        assert_eq!((told(&drains), told(&fails), told(&later)), (0, 0, 1));
    }

    #[test]
    fn a_root_that_has_gone_hides_none() {
        let (store, payer) = (Shared::default().store("vm", None), ByteBudget::new(1 << 20));
        let inbox = Arc::new(Inbox::new(None));
        let [first, last] = [ContextId(1), ContextId(2)];
        for root in [first, last] {
            assert!(store.register(b"q", &inbox, root, &payer).is_ok());
        }
        let Some(queue) = store.resolve(None, b"q") else { panic!("it is there") };
        let enqueue = || assert_eq!(queue.enqueue(b"", &payer), Ok(()));
        enqueue();
        store.forget(&inbox, Some(last));
        enqueue();
        let told: Vec<_> = std::iter::from_fn(|| inbox.take()).collect();
        assert_eq!(told, [(first, queue.id()); 2]);
        store.forget(&inbox, Some(first));
        enqueue();
        assert_eq!((inbox.take(), lock(&queue.state).owners.len(), inbox.has_registered()), (None, 0, false));
    }

    #[test]
    fn a_vm_that_goes_hands_over_what_it_was_not_told() {
        let (store, payer) = (Shared::default().store("vm", None), ByteBudget::new(1 << 20));
        let (stays, goes) = (Arc::new(Inbox::new(None)), OwnInbox::new(&store, None));
        for inbox in [&stays, &*goes] {
            assert!(store.register(b"q", inbox, ContextId::VM, &payer).is_ok());
        }
        let Some(queue) = store.resolve(None, b"q") else { panic!("it is there") };
        assert!(queue.enqueue(b"", &payer).is_ok() && queue.enqueue(b"", &payer).is_ok());
        drop(goes);
        assert_eq!(std::iter::from_fn(|| stays.take()).count(), 2);
    }

    /// Between the choice of a VM and its message the VM is retired, or goes.
    #[test]
    fn no_message_is_left_with_a_vm_that_was_chosen_and_retired_meanwhile() {
        let (store, payer) = (Shared::default().store("vm", None), ByteBudget::new(1 << 20));
        let [stays, drains, goes] = [(); 3].map(|()| Arc::new(Inbox::new(None)));
        for inbox in [&stays, &drains, &goes] {
            assert!(store.register(b"q", inbox, ContextId::VM, &payer).is_ok());
        }
        let Some(queue) = store.resolve(None, b"q") else { panic!("it is there") };
        let chosen = || lock(&queue.state).told();
        let told = |inbox: &Inbox| std::iter::from_fn(|| inbox.take()).count();
        let first = chosen();
        store.forget(&goes, None);
        queue.tell_one(first, 2);
        assert_eq!([&stays, &drains, &goes].map(|inbox| told(inbox)), [0, 2, 0]);
        let second = chosen();
        store.retire(&drains, Rank::Drains);
        queue.tell_one(second, 2);
        assert_eq!([&stays, &drains, &goes].map(|inbox| told(inbox)), [2, 0, 0]);
    }

    #[test]
    fn vms_that_have_gone_leave_nothing_in_a_queue() {
        let (store, payer) = (Shared::default().store("vm", None), ByteBudget::new(1 << 20));
        for _ in 0..100 {
            let inbox = Arc::new(Inbox::new(None));
            assert!(store.register(b"q", &inbox, ContextId::VM, &payer).is_ok());
        }
        let queue = store.resolve(None, b"q");
        assert_eq!(queue.map(|queue| lock(&queue.state).owners.len()), Some(1));
    }

    #[test]
    fn items_that_are_gone_leave_no_room_behind() {
        let payer = ByteBudget::new(1 << 20);
        let Some(queue) = Queue::new(1, b"q", &"".into(), &payer) else { panic!("there is room") };
        while queue.enqueue(b"", &payer).is_ok() {}
        let (_, full) = queue.charged_to(&payer);
        while queue.dequeue().is_some() {}
        let (_, empty) = queue.charged_to(&payer);
        assert!(full > 8000 && empty <= 256, "{full}, then {empty}");
    }
}
