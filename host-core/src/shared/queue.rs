use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;

use super::{Inbox, SharedLimits, lock};
use crate::abi::Status;
use crate::context::ContextId;

/// A queue. It tells its owner of every item, never while the one who put it there is at it.
pub(crate) struct Queue {
    id: u32,
    name: Box<[u8]>,
    vm_id: Arc<str>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    items: VecDeque<Bytes>,
    bytes: usize,
    owner: Option<(Weak<Inbox>, ContextId)>,
}

impl Queue {
    pub(super) fn new(id: u32, name: &[u8], vm_id: &Arc<str>) -> Self {
        Self { id, name: name.into(), vm_id: Arc::clone(vm_id), state: Mutex::default() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// The id of the VMs that it belongs to.
    pub(crate) fn vm_id(&self) -> &str {
        &self.vm_id
    }

    /// Tells this root of items from now on.
    pub(super) fn tell(&self, owner: &Arc<Inbox>, root: ContextId) {
        lock(&self.state).owner = Some((Arc::downgrade(owner), root));
    }

    pub(crate) fn enqueue(&self, item: &[u8], limits: &SharedLimits) -> Result<(), Status> {
        let mut state = lock(&self.state);
        let bytes = state.bytes.saturating_add(item.len());
        if state.items.len() >= limits.items || bytes > limits.queue {
            return Err(Status::InternalFailure);
        }
        state.bytes = bytes;
        state.items.push_back(Bytes::copy_from_slice(item));
        let owner = state.owner.as_ref().and_then(|(inbox, root)| Some((inbox.upgrade()?, *root)));
        drop(state);
        if let Some((inbox, root)) = owner {
            inbox.put(root, self.id);
        }
        Ok(())
    }

    pub(crate) fn dequeue(&self) -> Option<Bytes> {
        let mut state = lock(&self.state);
        let item = state.items.pop_front()?;
        state.bytes -= item.len();
        Some(item)
    }

    /// Undoes [`Self::dequeue`]; what has come meanwhile stays behind, even if it is more than the limits.
    pub(crate) fn put_back(&self, item: Bytes) {
        let mut state = lock(&self.state);
        state.bytes = state.bytes.saturating_add(item.len());
        state.items.push_front(item);
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Shared, Wake};
    use super::*;

    fn limits() -> SharedLimits {
        SharedLimits { items: 2, queue: 10, queues: 1, ..SharedLimits::default() }
    }

    #[test]
    fn items_come_in_order_and_their_owner_is_told_of_each() {
        let space = Shared::new(limits()).space("vm", None);
        let woken = Arc::new(Mutex::new(0));
        let count = Arc::clone(&woken);
        let inbox = Arc::new(Inbox::new(Some(Wake::new(move || *lock(&count) += 1))));
        let root = ContextId::VM;
        let id = space.register(b"q", &inbox, root);
        assert_eq!(space.register(b"q", &inbox, root), id, "again the same");
        assert_eq!(space.register(b"r", &inbox, root), Err(Status::InternalFailure), "too many");
        let queue = space.resolve(None, b"q").filter(|queue| Ok(queue.id()) == id);
        let Some(queue) = queue else { panic!("it is there") };
        assert!(queue.enqueue(b"1", space.limits()).is_ok() && queue.enqueue(b"", space.limits()).is_ok());
        assert_eq!(queue.enqueue(b"3", space.limits()), Err(Status::InternalFailure), "full");
        let told: Vec<_> = std::iter::from_fn(|| inbox.take()).collect();
        assert_eq!(told, [(root, queue.id()), (root, queue.id())]);
        assert_eq!(*lock(&woken), 2);
        assert_eq!(
            [queue.dequeue(), queue.dequeue(), queue.dequeue()],
            [Some(Bytes::from("1")), Some(Bytes::new()), None]
        );
        assert_eq!(queue.enqueue(&[0; 11], space.limits()), Err(Status::InternalFailure), "too long");
        assert_eq!(queue.enqueue(&[0; 10], space.limits()), Ok(()));
    }

    #[test]
    fn a_queue_outlives_the_vm_that_it_told() {
        let space = Shared::new(limits()).space("vm", None);
        let inbox = Arc::new(Inbox::new(None));
        assert!(space.register(b"q", &inbox, ContextId::VM).is_ok());
        drop(inbox);
        let queue = space.resolve(None, b"q");
        assert_eq!(queue.map(|queue| queue.enqueue(b"1", space.limits())), Some(Ok(())));
    }
}
