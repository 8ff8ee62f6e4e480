//! The driver's timer of ticks, as far as the worker has told of it.

use std::time::Duration;

/// The time that a driver's timer was set to.
#[derive(Debug, Default)]
pub(super) struct Timer {
    /// When the next tick was due, as the driver was told last.
    due: Option<Duration>,
    /// The driver has called for a tick since, so that its timer has to be set even if nothing was ticked.
    has_expired: bool,
}

impl Timer {
    /// Notes that the driver has called for a tick.
    pub(super) fn expire(&mut self) {
        self.has_expired = true;
    }

    #[inline]
    pub(super) fn has_expired(&self) -> bool {
        self.has_expired
    }

    /// Notes when the next tick is due; says whether the driver has to be told.
    pub(super) fn set(&mut self, due: Option<Duration>) -> bool {
        let has_expired = std::mem::take(&mut self.has_expired);
        std::mem::replace(&mut self.due, due) != due || has_expired && due.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_is_told_of_changes_and_after_each_call_while_something_ticks() {
        let (mut timer, second) = (Timer::default(), Some(Duration::from_secs(1)));
        assert!(!timer.set(None));
        assert!(timer.set(second) && !timer.set(second));
        timer.expire();
        assert!(timer.has_expired() && timer.set(second) && !timer.has_expired());
        assert!(timer.set(None));
        timer.expire();
        assert!(!timer.set(None), "no tick, no timer");
    }
}
