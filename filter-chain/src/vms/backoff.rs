//! How long a VM that has failed rests before another one takes its place.

use std::time::Duration;

use crate::spec::Backoff;

/// When a VM was started and has failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Restart {
    started_at: Duration,
    /// When the VM failed, or last failed to start again.
    failed_at: Option<Duration>,
    rest: Duration,
}

impl Restart {
    /// A VM that was started now, and rests for so long if it fails soon.
    pub(super) fn new(started_at: Duration, rest: Duration) -> Self {
        Self { started_at, failed_at: None, rest }
    }

    /// Notes that the VM has failed; says whether that is news. One that ran for the longest rest begins with the first.
    pub(super) fn fail(&mut self, now: Duration, backoff: Backoff) -> bool {
        if self.failed_at.is_some() {
            return false;
        }
        self.failed_at = Some(now);
        if now.saturating_sub(self.started_at) >= backoff.max {
            self.rest = backoff.base;
        }
        true
    }

    /// Returns how long the VM still rests. If it does not, the next rest begins, which is twice as long.
    pub(super) fn take_turn(&mut self, now: Duration, backoff: Backoff) -> Option<Duration> {
        let rested = self.failed_at.map_or(Duration::ZERO, |at| now.saturating_sub(at));
        if rested < self.rest {
            return Some(self.rest.saturating_sub(rested));
        }
        self.failed_at = Some(now);
        self.rest = self.rest.saturating_mul(2).min(backoff.max);
        None
    }

    /// Rests by another rule from now on: it begins anew.
    pub(super) fn renew(&mut self, backoff: Backoff) {
        self.rest = backoff.base;
    }

    pub(super) fn failed_at(&self) -> Option<Duration> {
        self.failed_at
    }

    pub(super) fn rest(&self) -> Duration {
        self.rest
    }

    /// Returns when another VM is started, if nothing comes before: when one may be, and not at once where there is no rest.
    pub(super) fn starts_again(&self) -> Option<Duration> {
        const LEAST: Duration = Duration::from_millis(1);
        self.failed_at.map(|at| at.saturating_add(self.rest.max(LEAST)))
    }

    /// Returns when another VM may be started.
    pub(super) fn rests_until(&self) -> Option<Duration> {
        self.failed_at.map(|at| at.saturating_add(self.rest))
    }
}
