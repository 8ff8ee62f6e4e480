use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::lock::lock;
use crate::model::context::ContextId;

/// Wakes the thread of a VM because a queue of its plugins has items. It is called on any thread,
/// while a guest runs there, and must do no more than wake.
#[derive(Clone)]
pub struct Wake(Arc<dyn Fn() + Send + Sync>);

impl Wake {
    /// Wakes by calling this.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    /// Wakes the thread.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wake")
    }
}

/// Where queues tell a VM of their items. What it holds is bounded by the number of queues: equal
/// messages are counted.
pub(crate) struct Inbox {
    told: Mutex<Told>,
    wake: Option<Wake>,
    /// Its VM is told of items of queues only that no other VM is told of.
    is_last_resort: AtomicBool,
}

/// Messages: which root is to be told of which queue, and how often. There may be as many queues as a budget pays for, so none is looked
/// for one by one.
#[derive(Default)]
struct Told {
    order: VecDeque<(ContextId, u32)>,
    count: HashMap<(ContextId, u32), usize>,
}

impl Inbox {
    pub(crate) fn new(wake: Option<Wake>) -> Self {
        Self { told: Mutex::default(), wake, is_last_resort: AtomicBool::new(false) }
    }

    /// Tells a root of `more` items of a queue, at least one.
    pub(super) fn put(&self, root: ContextId, queue: u32, more: usize) {
        let mut told = lock(&self.told);
        let count = told.count.entry((root, queue)).or_default();
        let is_first = *count == 0;
        *count = count.saturating_add(more);
        if is_first {
            told.order.push_back((root, queue));
        }
        drop(told);
        if let Some(wake) = &self.wake {
            wake.wake();
        }
    }

    /// Has other VMs told of items first, from now on.
    pub(super) fn make_last_resort(&self) {
        self.is_last_resort.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_last_resort(&self) -> bool {
        self.is_last_resort.load(Ordering::Relaxed)
    }

    /// Takes all messages, the oldest queue first: root, queue and number of items.
    pub(super) fn drain(&self) -> Vec<(ContextId, u32, usize)> {
        let mut told = lock(&self.told);
        let mut count = std::mem::take(&mut told.count);
        let order = std::mem::take(&mut told.order);
        order.into_iter().filter_map(|(root, queue)| Some((root, queue, count.remove(&(root, queue))?))).collect()
    }

    /// Takes the messages to a root about a queue; returns of how many items.
    pub(super) fn take_all(&self, root: ContextId, queue: u32) -> usize {
        let mut told = lock(&self.told);
        let items = told.count.remove(&(root, queue)).unwrap_or_default();
        if items > 0 {
            told.order.retain(|message| *message != (root, queue));
        }
        items
    }

    /// Returns the next root to notify.
    pub(crate) fn next(&self) -> Option<ContextId> {
        lock(&self.told).order.front().map(|(root, _)| *root)
    }

    /// Takes away all that there is to tell the next root of its next queue.
    pub(crate) fn skip(&self) {
        let mut told = lock(&self.told);
        if let Some(next) = told.order.pop_front() {
            told.count.remove(&next);
        }
    }

    /// Returns the next root to notify, and its queue. A queue with more messages goes behind the others.
    pub(crate) fn take(&self) -> Option<(ContextId, u32)> {
        let mut told = lock(&self.told);
        let next = *told.order.front()?;
        let left = told.count.get_mut(&next).map_or(0, |count| {
            *count = count.saturating_sub(1);
            *count
        });
        told.order.pop_front();
        match left {
            0 => drop(told.count.remove(&next)),
            _ => told.order.push_back(next),
        }
        Some(next)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("told", &lock(&self.told).order.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_take_turns() {
        let inbox = Inbox::new(None);
        let root = ContextId::VM;
        for queue in [1, 1, 1, 2, 3, 3] {
            inbox.put(root, queue, 1);
        }
        let take = || inbox.take().map(|(_, queue)| queue);
        assert_eq!([take(), take(), take()], [Some(1), Some(2), Some(3)]);
        inbox.put(root, 2, 1);
        assert_eq!([take(), take(), take()], [Some(1), Some(3), Some(2)]);
        inbox.put(root, 4, 1);
        inbox.skip();
        assert_eq!([take(), take()], [Some(4), None], "the rest of a queue is passed over as one");
    }

    #[test]
    fn all_messages_are_taken_at_once_in_their_order() {
        let inbox = Inbox::new(None);
        let root = ContextId::VM;
        inbox.put(root, 2, 3);
        inbox.put(root, 1, 1);
        inbox.put(root, 2, 2);
        assert_eq!(inbox.drain(), [(root, 2, 5), (root, 1, 1)]);
        assert_eq!((inbox.drain(), inbox.next(), inbox.take()), (vec![], None, None));
        inbox.put(root, 2, 3);
        inbox.put(root, 1, 1);
        assert_eq!((inbox.take_all(root, 2), inbox.take_all(root, 2)), (3, 0));
        assert_eq!((inbox.take(), inbox.take()), (Some((root, 1)), None));
    }
}
