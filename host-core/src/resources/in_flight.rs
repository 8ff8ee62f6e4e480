//! How much of something is in flight, in one VM or in all that each last for one stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::model::context::ContextId;

/// The owner of something in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The root that hears of its end.
    pub(crate) root: ContextId,
    /// The stream that asked for it.
    pub(crate) account: OnAccountOf,
}

/// The stream on whose account a guest runs; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OnAccountOf {
    /// Its number, which log lines carry; 0 for none.
    pub(crate) number: u64,
    /// Its context, which may be gone.
    pub(crate) context: ContextId,
}

/// How many there are, and how many bytes they take. VMs that were made from one snapshot have one together, so that a
/// plugin is not let have a limit for each stream.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    count: AtomicUsize,
    bytes: AtomicUsize,
}

/// A part of it, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    of: Arc<InFlight>,
    count: usize,
    bytes: usize,
}

impl InFlight {
    /// Takes so many, and so many bytes; `None` if there are more than `most` then, or more bytes than `most_bytes`.
    pub(crate) fn take(
        self: &Arc<Self>,
        (count, most): (usize, usize),
        (bytes, most_bytes): (usize, usize),
    ) -> Option<Held> {
        let held = Held { of: Arc::clone(self), count, bytes };
        let counted = self.count.fetch_add(count, Ordering::Relaxed).saturating_add(count);
        let sized = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        // What does not fit is given back as it is dropped.
        (counted <= most && sized <= most_bytes).then_some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.count.fetch_sub(self.count, Ordering::Relaxed);
        self.of.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_takes_nothing() {
        let all = Arc::new(InFlight::default());
        let one = all.take((1, 2), (10, 15));
        assert!(one.is_some() && all.take((1, 2), (6, 15)).is_none() && all.take((2, 2), (0, 15)).is_none());
        let two = all.take((1, 2), (5, 15));
        assert!(two.is_some() && all.take((1, 2), (0, 15)).is_none());
        drop(one);
        assert!(all.take((1, 2), (10, 15)).is_some());
    }
}
