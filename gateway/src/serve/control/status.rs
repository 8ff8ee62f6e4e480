//! The state of generations and reloads, for `/config`, `/ready` and metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::super::generation::{Held, Reloaded};
use super::wish::By;

/// The state of reloads. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Status(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    number: u64,
    since: SystemTime,
    sha256: Option<String>,
    last: Option<Last>,
    /// The error of files that have changed, while they may change again.
    pending: Option<String>,
}

/// The last reload that was not cancelled.
#[derive(Debug)]
struct Last {
    at: SystemTime,
    by: By,
    took: Duration,
    error: Option<String>,
}

/// The most bytes of an error that are kept.
const LONGEST_ERROR: usize = 16 << 10;

impl Status {
    /// Makes the state after the start.
    pub(super) fn of_start(sha256: Option<String>) -> Self {
        let state = State { number: 1, since: SystemTime::now(), sha256, last: None, pending: None };
        for result in ["success", "failure", "cancelled"] {
            metrics::counter!("portcullis_config_reloads_total", "result" => result).increment(0);
        }
        state.set_gauges();
        Self(Arc::new(Mutex::new(state)))
    }

    /// Notes a reload that has brought another generation.
    pub(super) fn succeeded(&self, by: By, took: Duration, reloaded: &Reloaded, sha256: Option<String>) {
        let mut state = self.lock();
        let now = SystemTime::now();
        *state = State {
            number: reloaded.generation,
            since: now,
            sha256,
            last: Some(Last { at: now, by, took, error: None }),
            pending: None,
        };
        metrics::counter!("portcullis_config_reloads_total", "result" => "success").increment(1);
        state.set_gauges();
    }

    /// Notes a reload that has changed nothing.
    pub(super) fn failed(&self, by: By, took: Duration, error: &str) {
        let mut state = self.lock();
        state.last = Some(Last { at: SystemTime::now(), by, took, error: Some(cut(error)) });
        state.pending = None;
        metrics::counter!("portcullis_config_reloads_total", "result" => "failure").increment(1);
        state.set_gauges();
    }

    /// Notes that files have changed and cannot be served yet.
    pub(super) fn pends(&self, error: &str) {
        self.lock().pending = Some(cut(error));
    }

    /// Counts a reload that a newer one has cancelled.
    pub(super) fn cancelled(&self) {
        metrics::counter!("portcullis_config_reloads_total", "result" => "cancelled").increment(1);
    }

    /// Returns the number of the generation that serves.
    pub(super) fn number(&self) -> u64 {
        self.lock().number
    }

    pub(super) fn members(&self, held: &[Held]) -> Map<String, Value> {
        let state = self.lock();
        // Whoever has reloaded it.
        let current = held.last().map_or((state.number, state.since), |last| (last.number, last.since));
        let sha256 = state.sha256.as_deref().filter(|_| current.0 == state.number);
        let generation = json!({ "number": current.0, "since": time(current.1), "sha256": sha256 });
        let last = state.last.as_ref().map(|last| {
            json!({
                "at": time(last.at),
                "by": last.by.name(),
                "seconds": last.took.as_secs_f64(),
                "result": if last.error.is_some() { "failure" } else { "success" },
                "error": last.error.as_deref(),
            })
        });
        let held = held.iter().map(|held| {
            json!({
                "number": held.number,
                "since": time(held.since),
                "requests": held.requests,
                "connections": held.connections,
                "plugins": held.plugins,
            })
        });
        [
            ("generation".to_owned(), generation),
            ("last_reload".to_owned(), last.unwrap_or_default()),
            ("pending_reload".to_owned(), state.pending.as_deref().into()),
            ("generations".to_owned(), held.collect()),
        ]
        .into_iter()
        .collect()
    }

    pub(super) fn failure(&self) -> Option<String> {
        let state = self.lock();
        let last = state.last.as_ref()?;
        let error = last.error.as_ref()?.lines().next().unwrap_or_default();
        Some(format!("reload: failed at {}, generation {} serves on: {error}\n", time(last.at), state.number))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn set_gauges(&self) {
        let is_good = self.last.as_ref().is_none_or(|last| last.error.is_none());
        #[expect(clippy::cast_precision_loss, reason = "Prometheus has only floating-point numbers")]
        metrics::gauge!("portcullis_config_generation").set(self.number as f64);
        metrics::gauge!("portcullis_config_last_reload_successful").set(if is_good { 1.0 } else { 0.0 });
        let since = self.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        metrics::gauge!("portcullis_config_last_reload_success_timestamp_seconds").set(since.as_secs_f64());
    }
}

fn cut(error: &str) -> String {
    error.get(..error.floor_char_boundary(LONGEST_ERROR)).unwrap_or_default().to_owned()
}

fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
