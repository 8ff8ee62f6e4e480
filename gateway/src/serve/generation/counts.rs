//! Numbers of what belongs to generations, which workers write and other threads read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Numbers of what belongs to a generation in one worker, which alone writes them. A generation lives there as long as this.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    requests: AtomicUsize,
    connections: AtomicUsize,
}

/// The numbers of one generation in all workers. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct LiveCounts(Arc<Mutex<Vec<Weak<Counts>>>>);

/// The kind of what belongs to a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    Request,
    /// A TCP stream.
    Connection,
}

impl Counts {
    /// Counts one that begins.
    #[inline]
    pub(crate) fn begin(&self, member: Member) {
        self.change(member, |count| count + 1);
    }

    /// Counts one that has ended.
    #[inline]
    pub(crate) fn end(&self, member: Member) {
        self.change(member, |count| count.saturating_sub(1));
    }

    fn change(&self, member: Member, change: impl FnOnce(usize) -> usize) {
        let counted = match member {
            Member::Request => &self.requests,
            Member::Connection => &self.connections,
        };
        // No other thread writes it.
        counted.store(change(counted.load(Ordering::Relaxed)), Ordering::Relaxed);
    }
}

impl LiveCounts {
    /// Begins the generation in one more worker.
    pub(crate) fn begin(&self) -> Arc<Counts> {
        let counts = Arc::<Counts>::default();
        self.lock().push(Arc::downgrade(&counts));
        counts
    }

    /// Returns the numbers of requests and of TCP streams; none if the generation lives in no worker any more.
    pub(crate) fn read(&self) -> Option<(usize, usize)> {
        let mut counts = self.lock();
        counts.retain(|counts| counts.strong_count() > 0);
        let living = counts.iter().filter_map(Weak::upgrade);
        let of =
            |counts: Arc<Counts>| (counts.requests.load(Ordering::Relaxed), counts.connections.load(Ordering::Relaxed));
        living.map(of).reduce(|one, other| (one.0 + other.0, one.1 + other.1))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Counts>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_workers_count_and_none_is_the_end() {
        let counts = LiveCounts::default();
        assert_eq!(counts.read(), None);
        let (one, other) = (counts.begin(), counts.begin());
        one.begin(Member::Request);
        other.begin(Member::Request);
        other.begin(Member::Connection);
        assert_eq!(counts.read(), Some((2, 1)));
        drop(one);
        other.end(Member::Connection);
        assert_eq!(counts.read(), Some((1, 0)));
        drop(other);
        assert_eq!(counts.read(), None);
    }
}
