//! The number of callouts that a driver has in flight: HTTP, and gRPC calls and streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A bound on callouts. What is beyond it fails as on Envoy, whose circuit breaker has tripped: 503, or UNAVAILABLE.
#[derive(Debug)]
pub(crate) struct InFlight {
    limit: usize,
    count: Arc<AtomicUsize>,
}

/// One callout in flight, until it is dropped.
#[derive(Debug)]
pub(crate) struct Flight(Arc<AtomicUsize>);

impl InFlight {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, count: Arc::default() }
    }

    /// Begins a callout, unless there are too many.
    pub(crate) fn begin(&self) -> Option<Flight> {
        // Whoever has read a count below the limit takes a place by writing the next one.
        let more = |count| (count < self.limit).then_some(count + 1);
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
        assert!(flights.begin().is_some());
    }
}
