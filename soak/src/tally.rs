//! Results of requests.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

/// The results of the requests of a time, of all clients.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

/// Results of requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Microseconds from when a request was due to its answer.
    latencies: Vec<u32>,
    /// Requests that were not answered, on connections that nobody had announced to close, and why.
    lost: Vec<String>,
    /// Answers that are not those of a plugin of any configuration, and what they were.
    wrong: Vec<String>,
    /// Connections that ended without an announcement while they were idle.
    closed: u64,
    /// Connections that were announced to end.
    announced: u64,
}

/// The number of reasons that are kept.
const REASONS: usize = 20;

impl Tally {
    pub(crate) fn answered(&self, latency: Duration) {
        self.with(|counts| counts.latencies.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX)));
    }

    pub(crate) fn lost(&self, why: String) {
        self.with(|counts| counts.lost.push(why));
    }

    pub(crate) fn wrong(&self, what: String) {
        self.with(|counts| counts.wrong.push(what));
    }

    pub(crate) fn closed(&self) {
        self.with(|counts| counts.closed += 1);
    }

    pub(crate) fn announced(&self) {
        self.with(|counts| counts.announced += 1);
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        counts.latencies.sort_unstable();
        counts
    }

    fn with(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Counts {
    /// Returns how many requests were answered as they should be.
    pub(crate) fn answered(&self) -> usize {
        self.latencies.len()
    }

    pub(crate) fn lost(&self) -> usize {
        self.lost.len()
    }

    pub(crate) fn wrong(&self) -> usize {
        self.wrong.len()
    }

    pub(crate) fn closed(&self) -> u64 {
        self.closed
    }

    pub(crate) fn announced(&self) -> u64 {
        self.announced
    }

    /// Returns some of the reasons for which requests were lost or answered wrongly.
    pub(crate) fn reasons(&self) -> impl Iterator<Item = &str> {
        self.lost.iter().chain(&self.wrong).map(String::as_str).take(REASONS)
    }

    /// Returns the latency that this part of the requests did not exceed, in milliseconds.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let rank = (part * self.latencies.len() as f64).ceil() as usize;
        self.latencies
            .get(rank.clamp(1, self.latencies.len().max(1)) - 1)
            .map_or(0.0, |micros| f64::from(*micros) / 1e3)
    }

    /// Adds those of another time.
    pub(crate) fn add(&mut self, other: &Self) {
        self.latencies.extend_from_slice(&other.latencies);
        self.latencies.sort_unstable();
        self.lost.extend_from_slice(&other.lost);
        self.wrong.extend_from_slice(&other.wrong);
        self.closed += other.closed;
        self.announced += other.announced;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_latency_that_was_measured() {
        let tally = Tally::default();
        assert_eq!(tally.counts().quantile(0.5), 0.0);
        (1..=1000).rev().for_each(|millis| tally.answered(Duration::from_millis(millis)));
        let counts = tally.counts();
        let found = [0.0, 0.5, 0.999, 1.0].map(|part| counts.quantile(part));
        assert_eq!(found, [1.0, 500.0, 999.0, 1000.0]);
    }
}
