//! Log lines and metrics about seats.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge};
use tokio::time::Instant;

/// Time after a line for which events of a full listener are counted and not logged.
const QUIET: Duration = Duration::from_secs(60);

/// Metrics of a listener's connections, and the log line about a listener whose seats are all taken.
pub(super) struct Told {
    listener: String,
    limit: AtomicUsize,
    remedy: &'static str,
    active: Gauge,
    refused: Counter,
    closed: Counter,
    since: Mutex<Since>,
}

/// The events since a line was logged.
#[derive(Debug, Default)]
struct Since {
    line: Option<Instant>,
    refused: u64,
    closed: u64,
}

impl Told {
    pub(super) fn new(listener: &str, limit: usize, remedy: &'static str) -> Self {
        let name = || listener.to_owned();
        Self {
            limit: AtomicUsize::new(limit),
            remedy,
            active: metrics::gauge!("portcullis_connections_active", "listener" => name()),
            refused: metrics::counter!("portcullis_connections_refused_total", "listener" => name()),
            closed: metrics::counter!("portcullis_connections_closed_for_others_total", "listener" => name()),
            since: Mutex::default(),
            listener: name(),
        }
    }

    /// Returns how many connections the listener may have.
    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    pub(super) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    #[expect(clippy::cast_precision_loss, reason = "Prometheus has only floating-point numbers")]
    pub(super) fn active(&self, connections: usize) {
        self.active.set(connections as f64);
    }

    /// Notes that all seats or descriptors were taken, and that some connections have been ended for it.
    pub(super) fn full(&self, closed: usize) {
        self.closed(closed);
        self.note(0, closed as u64);
    }

    /// Counts connections that have been ended for others.
    pub(super) fn closed(&self, closed: usize) {
        self.closed.increment(closed as u64);
    }

    /// Notes that a newcomer was refused.
    pub(super) fn refused(&self) {
        self.refused.increment(1);
        self.note(1, 0);
    }

    fn note(&self, refused: u64, closed: u64) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.refused += refused;
        since.closed += closed;
        let now = Instant::now();
        if since.line.is_some_and(|line| now.saturating_duration_since(line) < QUIET) {
            return;
        }
        let Since { refused, closed, .. } =
            std::mem::replace(&mut *since, Since { line: Some(now), ..Since::default() });
        drop(since);
        tracing::warn!(
            listener = self.listener,
            max_connections = self.limit(),
            closed,
            refused,
            "all connections that the listener may have are taken: those that have waited for their client longest are closed \
             for new ones, which are refused if there is none; {}. For the next minute this is only counted",
            self.remedy
        );
    }
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Told").field("listener", &self.listener).finish_non_exhaustive()
    }
}
