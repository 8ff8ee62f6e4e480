use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};

use super::inbox::Inbox;
use super::lock::lock;
use crate::abi::Status;
use crate::model::context::ContextId;
use crate::model::limits::Limits;
use crate::sandbox::byte_budget::{ByteBudget, Charge};

/// A queue. It tells its owner of every item, never while the one who put it there is at it.
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
    owner: Option<(Weak<Inbox>, ContextId)>,
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

    /// Tells this root of items from now on.
    pub(super) fn tell(&self, owner: &Arc<Inbox>, root: ContextId) {
        lock(&self.state).owner = Some((Arc::downgrade(owner), root));
    }

    /// Appends an item at the cost of `payer`.
    pub(crate) fn enqueue(&self, item: &[u8], payer: &Arc<ByteBudget>) -> Result<(), Status> {
        let charge = payer.take(Limits::ENTRY_COST.saturating_add(item.len())).ok_or(Status::InternalFailure)?;
        let item = Item { bytes: item.into(), charge };
        let mut state = lock(&self.state);
        state.items.push_back(item);
        let owner = state.owner.as_ref().and_then(|(inbox, root)| Some((inbox.upgrade()?, *root)));
        drop(state);
        if let Some((inbox, root)) = owner {
            inbox.put(root, self.id);
        }
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
    use super::super::{Shared, Wake};
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
