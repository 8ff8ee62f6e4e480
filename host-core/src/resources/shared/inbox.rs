use std::collections::{HashMap, VecDeque};
use std::fmt;
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
        Self { told: Mutex::default(), wake }
    }

    pub(super) fn put(&self, root: ContextId, queue: u32) {
        let mut told = lock(&self.told);
        let count = told.count.entry((root, queue)).or_default();
        *count = count.saturating_add(1);
        if *count == 1 {
            told.order.push_back((root, queue));
        }
        drop(told);
        if let Some(wake) = &self.wake {
            wake.wake();
        }
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
            inbox.put(root, queue);
        }
        let take = || inbox.take().map(|(_, queue)| queue);
        assert_eq!([take(), take(), take()], [Some(1), Some(2), Some(3)]);
        inbox.put(root, 2);
        assert_eq!([take(), take(), take()], [Some(1), Some(3), Some(2)]);
        inbox.put(root, 4);
        inbox.skip();
        assert_eq!([take(), take()], [Some(4), None], "the rest of a queue is passed over as one");
    }
}
