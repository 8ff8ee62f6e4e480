use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use super::SharedStore;
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

/// The state of a VM, as far as queues choose by it whom they tell: one of the lowest rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Rank {
    /// Nothing keeps it from being told.
    Works,
    /// Another VM has taken its place, or it is about to go.
    Drains,
    /// Nothing in it is called any more.
    Failed,
}

/// The inbox of a VM, together with the store whose queues put messages there. When it is dropped, as its VM has gone or did not start, the
/// messages are handed over to other VMs.
#[derive(Debug)]
pub(crate) struct OwnInbox {
    store: Arc<SharedStore>,
    inbox: Arc<Inbox>,
}

impl OwnInbox {
    pub(crate) fn new(store: &Arc<SharedStore>, wake: Option<Wake>) -> Self {
        Self { store: Arc::clone(store), inbox: Arc::new(Inbox::new(wake)) }
    }
}

impl Deref for OwnInbox {
    type Target = Arc<Inbox>;

    fn deref(&self) -> &Arc<Inbox> {
        &self.inbox
    }
}

impl Drop for OwnInbox {
    fn drop(&mut self) {
        self.store.forget(&self.inbox, None);
    }
}

/// Where queues tell a VM of their items. What it holds is bounded by the number of queues: equal
/// messages are counted.
pub(crate) struct Inbox {
    told: Mutex<Told>,
    wake: Option<Wake>,
    /// The [`Rank`] of its VM, which only rises.
    rank: AtomicU8,
}

/// Messages: which root is to be told of which queue, and how often. There may be as many queues as a budget pays for, so none is looked
/// for one by one.
#[derive(Default)]
struct Told {
    order: VecDeque<(ContextId, u32)>,
    count: HashMap<(ContextId, u32), usize>,
    /// The queues that each root has registered.
    registered: HashSet<(ContextId, u32)>,
}

impl Inbox {
    pub(crate) fn new(wake: Option<Wake>) -> Self {
        Self { told: Mutex::default(), wake, rank: AtomicU8::new(Rank::Works as u8) }
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

    /// Has VMs of a lower rank told of items first, from now on.
    pub(super) fn retire(&self, rank: Rank) {
        self.rank.fetch_max(rank as u8, Ordering::Relaxed);
    }

    pub(super) fn rank(&self) -> u8 {
        self.rank.load(Ordering::Relaxed)
    }

    /// Notes that a root has registered a queue.
    pub(super) fn note(&self, root: ContextId, queue: u32) {
        lock(&self.told).registered.insert((root, queue));
    }

    /// Returns whether a root has registered a queue.
    pub(crate) fn has_registered(&self) -> bool {
        !lock(&self.told).registered.is_empty()
    }

    /// Takes away what a root, or any, has registered: root and queue.
    pub(super) fn take_registered(&self, root: Option<ContextId>) -> Vec<(ContextId, u32)> {
        lock(&self.told).registered.extract_if(|(of, _)| root.is_none_or(|root| root == *of)).collect()
    }

    /// Takes all messages to a root, or to any, the oldest queue first: queue and number of items.
    pub(super) fn drain(&self, root: Option<ContextId>) -> Vec<(u32, usize)> {
        let mut told = lock(&self.told);
        let (taken, left) =
            std::mem::take(&mut told.order).into_iter().partition(|(of, _)| root.is_none_or(|root| root == *of));
        told.order = left;
        let taken: VecDeque<_> = taken;
        taken.into_iter().filter_map(|message| Some((message.1, told.count.remove(&message)?))).collect()
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
        assert_eq!([take(), take()], [Some(1), None]);
    }

    #[test]
    fn all_messages_are_taken_at_once_in_their_order() {
        let inbox = Inbox::new(None);
        let root = ContextId::VM;
        inbox.put(root, 2, 3);
        inbox.put(root, 1, 1);
        inbox.put(root, 2, 2);
        inbox.put(ContextId(1), 1, 4);
        assert_eq!(inbox.drain(Some(root)), [(2, 5), (1, 1)]);
        assert_eq!((inbox.drain(Some(root)), inbox.drain(None)), (vec![], vec![(1, 4)]));
        assert_eq!((inbox.drain(None), inbox.next(), inbox.take()), (vec![], None, None));
        inbox.put(root, 2, 3);
        inbox.put(root, 1, 1);
        assert_eq!((inbox.take_all(root, 2), inbox.take_all(root, 2)), (3, 0));
        assert_eq!((inbox.take(), inbox.take()), (Some((root, 1)), None));
    }
}
