use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portcullis::abi::{LogLevel, MetricType};
use portcullis::model::Plugin;
use portcullis::resources::{Directory, Host, LogRecord, Metric, NoRandomness};

/// Time of the wall clock, which never changes, in nanoseconds.
pub const WALL: u64 = 1_700_000_000_123_456_789;
/// Time of the monotonic clock, which never changes, in nanoseconds.
pub const MONOTONIC: u64 = 42;

/// A host that remembers what it is told. Time stands still, random bytes count from 1, and the one
/// upstream is `auth`. Clones share what they remember.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Records>>);

#[derive(Default)]
struct Records {
    lines: Vec<Line>,
    metrics: BTreeMap<String, Arc<Number>>,
    random: u8,
}

/// A log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its level.
    pub level: LogLevel,
    /// Its text, with other bytes than printable ASCII escaped; or the number that a guest reports.
    pub text: String,
    /// The plugin's name; empty before a plugin exists.
    pub plugin: String,
    /// The id of the context that ran.
    pub context: String,
    /// Whether the host said it.
    pub from_host: bool,
}

impl Recorder {
    /// Returns the lines since the last time.
    pub fn take(&self) -> Vec<Line> {
        std::mem::take(&mut self.records().lines)
    }

    /// Returns the values of all metrics, by name.
    pub fn metrics(&self) -> Vec<(String, u64)> {
        self.records().metrics.iter().map(|(name, metric)| (name.clone(), metric.value())).collect()
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Undoes what the guest's helpers do.
fn text(level: LogLevel, message: &[u8]) -> String {
    match message.try_into().map(i32::from_le_bytes) {
        Ok(number) if level == LogLevel::Trace => return number.to_string(),
        _ => {}
    }
    match message.try_into().map(i64::from_le_bytes) {
        Ok(number) if level == LogLevel::Trace => number.to_string(),
        _ => message.escape_ascii().to_string(),
    }
}

impl Host for Recorder {
    fn log(&mut self, record: &LogRecord<'_>) {
        self.records().lines.push(Line {
            level: record.level,
            text: text(record.level, record.message),
            plugin: record.plugin.map(|plugin| plugin.name.clone()).unwrap_or_default(),
            context: record.context.to_string(),
            from_host: record.from_host,
        });
    }

    fn log_level(&self) -> LogLevel {
        LogLevel::Trace
    }

    fn wall_clock(&self) -> u64 {
        WALL
    }

    fn monotonic_clock(&self) -> u64 {
        MONOTONIC
    }

    fn random(&mut self, buffer: &mut [u8]) -> Result<(), NoRandomness> {
        let mut records = self.records();
        for byte in buffer {
            records.random = records.random.wrapping_add(1);
            *byte = records.random;
        }
        Ok(())
    }

    fn has_upstream(&self, name: &str) -> bool {
        name == "auth"
    }

    fn define_metric(&mut self, _: &Plugin, _: MetricType, name: &str) -> Option<Arc<dyn Metric>> {
        let metric = Arc::clone(self.records().metrics.entry(name.to_owned()).or_default());
        Some(metric)
    }

    fn open_directory(&mut self, path: &Path) -> std::io::Result<Box<dyn Directory>> {
        portcullis::files::open_directory(path)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.records().lines).finish()
    }
}

#[derive(Default)]
struct Number(AtomicU64);

impl Metric for Number {
    fn add(&self, delta: i64) {
        self.0.fetch_add(delta.cast_unsigned(), Ordering::Relaxed);
    }

    fn record(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
