//! Log lines that come once in a while, however often what they tell happens.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// When a line was logged last, and how many were not since. For one thread.
#[derive(Debug)]
pub struct Quiet {
    time: Duration,
    last: Cell<Option<(Instant, u64)>>,
}

impl Quiet {
    /// At most one line in so much time.
    pub const fn new(time: Duration) -> Self {
        Self { time, last: Cell::new(None) }
    }

    /// Returns whether a line may be logged now, with how many were left out since the last one.
    pub fn may_tell(&self) -> Option<u64> {
        let now = Instant::now();
        match self.last.get() {
            Some((at, left_out)) if now.saturating_duration_since(at) < self.time => {
                self.last.set(Some((at, left_out + 1)));
                None
            }
            last => {
                self.last.set(Some((now, 0)));
                Some(last.map_or(0, |(_, left_out)| left_out))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_in_so_much_time() {
        let quiet = Quiet::new(Duration::from_secs(60));
        assert_eq!([quiet.may_tell(), quiet.may_tell(), quiet.may_tell()], [Some(0), None, None]);
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(quiet.may_tell(), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!([quiet.may_tell(), quiet.may_tell()], [Some(3), None]);
    }
}
