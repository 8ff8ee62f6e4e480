//! Log lines at a bounded rate, however often their cause occurs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Allows one line a second, of all threads together.
#[derive(Debug)]
pub(crate) struct Quiet {
    begun: Instant,
    /// The first second that has had no line.
    next: AtomicU64,
    /// The lines that were left out since the last one.
    left_out: AtomicU64,
}

impl Quiet {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), next: AtomicU64::new(0), left_out: AtomicU64::new(0) }
    }

    /// Returns whether a line may be logged now, with how many were left out since the last one.
    pub(crate) fn may_tell(&self) -> Option<u64> {
        self.may_tell_in(self.begun.elapsed().as_secs())
    }

    fn may_tell_in(&self, second: u64) -> Option<u64> {
        if self.next.fetch_max(second + 1, Ordering::Relaxed) <= second {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second() {
        let quiet = Quiet::new();
        let told = [0, 0, 1, 1, 0, 5].map(|second| quiet.may_tell_in(second));
        assert_eq!(told, [Some(0), None, Some(1), None, None, Some(2)]);
    }
}
