//! The number of callouts that a driver has in flight: HTTP, and gRPC calls and streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A bound on callouts. What is beyond it fails as on Envoy, whose circuit breaker has tripped: 503, or UNAVAILABLE.
#[derive(Debug)]
pub(crate) struct InFlight {
    limit: AtomicUsize,
    count: Arc<AtomicUsize>,
}

/// One callout in flight, until it is dropped.
#[derive(Debug)]
pub(crate) struct Flight(Arc<AtomicUsize>);

impl InFlight {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: AtomicUsize::new(limit), count: Arc::default() }
    }

    /// Sets another bound. Those beyond it that are in flight stay.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Begins a callout, unless there are too many.
    pub(crate) fn begin(&self) -> Option<Flight> {
        // Whoever has read a count below the limit takes a place by writing the next one.
        let limit = self.limit.load(Ordering::Relaxed);
        let more = |count| (count < limit).then_some(count + 1);
        self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Flight(Arc::clone(&self.count)))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_are_in_flight() {
        let flights = InFlight::new(2);
        let (first, second) = (flights.begin(), flights.begin());
        assert!(first.is_some() && second.is_some() && flights.begin().is_none());
        drop(first);
        let third = flights.begin();
        assert!(third.is_some());
        flights.set_limit(1);
        drop(third);
        assert!(flights.begin().is_none(), "one is in flight");
        flights.set_limit(2);
        assert!(flights.begin().is_some());
    }
}
