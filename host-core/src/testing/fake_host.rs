use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fake_files::FakeFiles;
use crate::abi::{LogLevel, MetricType};
use crate::model::plugin::Plugin;
use crate::resources::files::Directory;
use crate::resources::host::{Failure, Host, LogRecord, Metric, NoRandomness};
use crate::rights::Denial;

/// A host that remembers. Clones share what they remember, so a test keeps one and gives one away.
#[derive(Clone, Debug, Default)]
pub struct FakeHost(Arc<Mutex<Memory>>);

/// A log line that [`FakeHost`] remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedLine {
    /// Its level.
    pub level: LogLevel,
    /// Its text.
    pub message: String,
    /// The plugin's name; empty before a plugin exists.
    pub plugin: String,
    /// The number of the stream that it concerns; 0 for none.
    pub stream: u64,
    /// Whether the host said it.
    pub from_host: bool,
}

/// A metric that [`FakeHost`] remembers: the sum of what was added, or the last that was recorded.
#[derive(Debug, Default)]
pub struct FakeMetric(AtomicU64);

#[derive(Debug, Default)]
struct Memory {
    lines: Vec<LoggedLine>,
    denials: Vec<String>,
    failures: Vec<String>,
    throttled: Vec<String>,
    metrics: BTreeMap<String, Arc<FakeMetric>>,
    upstreams: Vec<String>,
    time: u64,
    /// How far a line moves the clocks.
    line: u64,
    random: u8,
    has_no_randomness: bool,
    quiet_below: Option<LogLevel>,
    files: FakeFiles,
}

impl FakeHost {
    /// Returns a host at time 0 that knows no upstream and logs every level.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets callouts to this upstream through.
    #[must_use]
    pub fn with_upstream(self, name: &str) -> Self {
        self.memory().upstreams.push(name.to_owned());
        self
    }

    /// Has these files.
    pub fn set_files(&self, files: &FakeFiles) {
        self.memory().files = files.clone();
    }

    /// Sets both clocks, in nanoseconds.
    pub fn set_time(&self, nanoseconds: u64) {
        self.memory().time = nanoseconds;
    }

    /// Has no random bytes from now on.
    pub fn exhaust_randomness(&self) {
        self.memory().has_no_randomness = true;
    }

    /// Moves both clocks, by nanoseconds.
    pub fn advance(&self, nanoseconds: u64) {
        self.memory().time += nanoseconds;
    }

    /// Has each line that is logged move both clocks, by nanoseconds.
    pub fn take_for_each_line(&self, nanoseconds: u64) {
        self.memory().line = nanoseconds;
    }

    /// Sets the lowest level that is logged.
    pub fn set_log_level(&self, level: LogLevel) {
        self.memory().quiet_below = Some(level);
    }

    /// Lists what was denied so far, as the log words it.
    pub fn denials(&self) -> Vec<String> {
        self.memory().denials.clone()
    }

    /// Lists the failures so far, as `plugin: reason in callback`.
    pub fn failures(&self) -> Vec<String> {
        self.memory().failures.clone()
    }

    /// Lists the plugins that had to wait for more than their part, as often as they had to.
    pub fn throttled(&self) -> Vec<String> {
        self.memory().throttled.clone()
    }

    /// Lists what was logged so far, as text.
    pub fn messages(&self) -> Vec<String> {
        self.memory().lines.iter().map(|line| line.message.clone()).collect()
    }

    /// Lists what was logged so far.
    pub fn lines(&self) -> Vec<LoggedLine> {
        self.memory().lines.clone()
    }

    /// Returns the value of a metric, by name.
    pub fn metric(&self, name: &str) -> Option<u64> {
        self.memory().metrics.get(name).map(|metric| metric.value())
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host for FakeHost {
    fn failed(&mut self, failure: &Failure<'_>) {
        let plugin = failure.plugin.map_or("", |plugin| &plugin.name);
        self.memory().failures.push(format!("{plugin}: {} in {}", failure.reason, failure.during));
    }

    fn throttled(&mut self, plugin: &Plugin) {
        self.memory().throttled.push(plugin.name.clone());
    }

    fn denied(&mut self, denial: &Denial<'_>) {
        self.memory().denials.push(denial.to_string());
    }

    fn log(&mut self, record: &LogRecord<'_>) {
        let mut memory = self.memory();
        memory.time += memory.line;
        memory.lines.push(LoggedLine {
            level: record.level,
            message: String::from_utf8_lossy(record.message).into_owned(),
            plugin: record.plugin.map(|plugin| plugin.name.clone()).unwrap_or_default(),
            stream: record.stream,
            from_host: record.from_host,
        });
    }

    fn log_level(&self) -> LogLevel {
        self.memory().quiet_below.unwrap_or(LogLevel::Trace)
    }

    fn wall_clock(&self) -> u64 {
        self.memory().time
    }

    fn monotonic_clock(&self) -> u64 {
        self.memory().time
    }

    fn random(&mut self, buffer: &mut [u8]) -> Result<(), NoRandomness> {
        let mut memory = self.memory();
        if memory.has_no_randomness {
            return Err(NoRandomness("none in this test".to_owned()));
        }
        for byte in buffer {
            memory.random = memory.random.wrapping_add(1);
            *byte = memory.random;
        }
        Ok(())
    }

    fn has_upstream(&self, name: &str) -> bool {
        self.memory().upstreams.iter().any(|known| known == name)
    }

    fn define_metric(&mut self, _: &Plugin, _: MetricType, name: &str) -> Option<Arc<dyn Metric>> {
        let metric = Arc::clone(self.memory().metrics.entry(name.to_owned()).or_default());
        Some(metric)
    }

    fn open_directory(&mut self, path: &Path) -> io::Result<Box<dyn Directory>> {
        let files = self.memory().files.clone();
        let found = path.to_str().and_then(|path| files.directory(path));
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is none"))
    }
}

impl Metric for FakeMetric {
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
