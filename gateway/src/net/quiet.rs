//! Log lines at a bounded rate, however often their cause occurs.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// Limit on repeated lines of the log, for one thread.
#[derive(Debug)]
pub struct Quiet {
    most: u64,
    time: Duration,
    /// The beginning of the current period, and the number of events in it.
    counted: Cell<Option<(Instant, u64)>>,
}

impl Quiet {
    /// Allows one line in `time`.
    pub const fn new(time: Duration) -> Self {
        Self::several(1, time)
    }

    /// Allows `most` lines in `time`.
    pub const fn several(most: u64, time: Duration) -> Self {
        Self { most, time, counted: Cell::new(None) }
    }

    /// Returns whether a line may be logged now, with how many were left out since the last one.
    pub fn may_tell(&self) -> Option<u64> {
        let now = Instant::now();
        match self.counted.get() {
            Some((begun, count)) if now.saturating_duration_since(begun) < self.time => {
                self.counted.set(Some((begun, count + 1)));
                (count < self.most).then_some(0)
            }
            counted => {
                self.counted.set(Some((now, 1)));
                Some(counted.map_or(0, |(_, count)| count.saturating_sub(self.most)))
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

    #[tokio::test(start_paused = true)]
    async fn several_lines_in_so_much_time() {
        let quiet = Quiet::several(2, Duration::from_secs(1));
        let told: Vec<_> = (0..4).map(|_| quiet.may_tell()).collect();
        assert_eq!(told, [Some(0), Some(0), None, None]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!([quiet.may_tell(), quiet.may_tell(), quiet.may_tell()], [Some(2), Some(0), None]);
    }
}
