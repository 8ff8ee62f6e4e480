use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use super::lock;
use crate::context::ContextId;

/// Wakes the thread of a VM because a queue of its plugins has items. It is called on any thread,
/// while a guest runs there, and must do no more than wake.
#[derive(Clone)]
pub struct Wake(Arc<dyn Fn() + Send + Sync>);

impl Wake {
    /// Wakes by calling this.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
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
    told: Mutex<VecDeque<(ContextId, u32, usize)>>,
    wake: Option<Wake>,
}

impl Inbox {
    pub(crate) fn new(wake: Option<Wake>) -> Self {
        Self { told: Mutex::default(), wake }
    }

    pub(super) fn put(&self, root: ContextId, queue: u32) {
        let mut told = lock(&self.told);
        match told.iter_mut().find(|(to, from, _)| (*to, *from) == (root, queue)) {
            Some((_, _, count)) => *count = count.saturating_add(1),
            None => told.push_back((root, queue, 1)),
        }
        drop(told);
        if let Some(Wake(wake)) = &self.wake {
            wake();
        }
    }

    /// The next root to be told.
    pub(crate) fn next(&self) -> Option<ContextId> {
        lock(&self.told).front().map(|(root, _, _)| *root)
    }

    /// The next root to be told, and of which queue.
    pub(crate) fn take(&self) -> Option<(ContextId, u32)> {
        let mut told = lock(&self.told);
        let (root, queue, count) = told.front_mut()?;
        let next = (*root, *queue);
        *count -= 1;
        if *count == 0 {
            told.pop_front();
        }
        Some(next)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("told", &lock(&self.told).len()).finish_non_exhaustive()
    }
}
