//! The number of callouts that a worker has in flight: HTTP, and gRPC calls and streams.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::net::quiet::Quiet;

/// A bound on callouts. What is beyond it fails as on Envoy, whose circuit breaker has tripped: 503, or UNAVAILABLE.
#[derive(Debug)]
pub(crate) struct InFlight {
    limit: usize,
    count: Rc<Cell<usize>>,
    told: Quiet,
}

/// One callout in flight, until it is dropped.
#[derive(Debug)]
pub(super) struct Flight(Rc<Cell<usize>>);

impl InFlight {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, count: Rc::default(), told: Quiet::new(Duration::from_secs(60)) }
    }

    /// Begins a callout, unless there are too many.
    pub(super) fn begin(&self) -> Option<Flight> {
        let count = self.count.get();
        if count < self.limit {
            self.count.set(count + 1);
            return Some(Flight(Rc::clone(&self.count)));
        }
        metrics::counter!("portcullis_callouts_refused_total").increment(1);
        if let Some(left_out) = self.told.may_tell() {
            tracing::warn!(
                limit = self.limit,
                left_out = Some(left_out).filter(|count| *count > 0),
                "a worker has as many callouts in flight as it may have, so more fail with 503; look for a plugin that makes \
                 too many, or raise max_callouts"
            );
        }
        None
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
