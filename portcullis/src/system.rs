//! A host with the system's clocks and randomness.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use portcullis_core::abi::{LogLevel, MetricType};
use portcullis_core::model::Plugin;
use portcullis_core::resources::{Host, LogRecord, Metric, NoRandomness};

/// The system's clocks and randomness, for hosts.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Makes a clock. The monotonic time of all clocks of a process has one beginning, because a plugin may keep a time in a
    /// snapshot from which VMs with other hosts begin, and time never goes back.
    pub fn new() -> Self {
        static START: OnceLock<Instant> = OnceLock::new();
        Self { start: *START.get_or_init(Instant::now) }
    }

    /// Returns the nanoseconds since the Unix epoch.
    pub fn wall(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Returns the nanoseconds since the first clock of the process was made.
    pub fn monotonic(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Returns the instant of a monotonic time.
    pub fn instant(&self, monotonic: std::time::Duration) -> Instant {
        self.start + monotonic
    }

    /// Fills `buffer` with random bytes that are fit for keys.
    ///
    /// # Errors
    /// The system has no random bytes, which does not happen on Linux after boot.
    pub fn random(buffer: &mut [u8]) -> Result<(), NoRandomness> {
        getrandom::fill(buffer).map_err(|error| NoRandomness(error.to_string()))
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes log lines.
pub type Log = Arc<dyn Fn(&LogRecord<'_>) + Send + Sync>;

/// A host for embedders: it logs to a closure, keeps metrics in memory, knows upstreams by name and has the
/// system's directories.
/// Clones share the metrics.
///
/// ```
/// use portcullis::abi::LogLevel;
/// use portcullis::resources::Host;
/// use portcullis::SystemHost;
///
/// let host = SystemHost::new(|line| eprintln!("{}", String::from_utf8_lossy(line.message)))
///     .with_level(LogLevel::Warn)
///     .with_upstreams(["auth".to_owned()]);
/// assert_eq!(host.log_level(), LogLevel::Warn);
/// assert_eq!(host.metric("counter_plugin", "requests"), None);
/// ```
#[derive(Clone)]
pub struct SystemHost {
    clock: SystemClock,
    log: Log,
    level: LogLevel,
    upstreams: Arc<[String]>,
    metrics: Arc<Mutex<Numbers>>,
}

impl SystemHost {
    /// Makes a host that passes log lines at info and above to `log`, and knows no upstream.
    pub fn new(log: impl Fn(&LogRecord<'_>) + Send + Sync + 'static) -> Self {
        Self {
            clock: SystemClock::new(),
            log: Arc::new(log),
            level: LogLevel::Info,
            upstreams: Arc::new([]),
            metrics: Arc::default(),
        }
    }

    /// Sets the lowest level that is logged.
    #[must_use]
    pub fn with_level(self, level: LogLevel) -> Self {
        Self { level, ..self }
    }

    /// Lets callouts to these upstreams be tried.
    #[must_use]
    pub fn with_upstreams(self, names: impl IntoIterator<Item = String>) -> Self {
        Self { upstreams: names.into_iter().collect(), ..self }
    }

    /// Returns the value of a plugin's metric. Of several types with one name, the counter's is preferred, and then the gauge's.
    pub fn metric(&self, plugin: &str, name: &str) -> Option<u64> {
        let metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |of| metrics.get(&(plugin.to_owned(), of, name.to_owned()));
        let metric = of(MetricType::Counter).or_else(|| of(MetricType::Gauge)).or_else(|| of(MetricType::Histogram));
        metric.map(|metric| metric.value())
    }
}

impl Host for SystemHost {
    fn log(&mut self, record: &LogRecord<'_>) {
        (self.log)(record);
    }

    fn log_level(&self) -> LogLevel {
        self.level
    }

    fn wall_clock(&self) -> u64 {
        self.clock.wall()
    }

    fn monotonic_clock(&self) -> u64 {
        self.clock.monotonic()
    }

    fn random(&mut self, buffer: &mut [u8]) -> Result<(), NoRandomness> {
        SystemClock::random(buffer)
    }

    fn has_upstream(&self, name: &str) -> bool {
        self.upstreams.iter().any(|known| known == name)
    }

    fn define_metric(&mut self, plugin: &Plugin, metric_type: MetricType, name: &str) -> Option<Arc<dyn Metric>> {
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (plugin.name.clone(), metric_type, name.to_owned());
        // One whose VM is started again finds what it has counted; when there are many, those that no VM has are forgotten.
        if metrics.len() >= MOST_METRICS && !metrics.contains_key(&key) {
            metrics.retain(|_, metric| Arc::strong_count(metric) > 1);
        }
        let metric: Arc<Number> = Arc::clone(metrics.entry(key).or_default());
        Some(metric)
    }

    #[cfg(feature = "files")]
    fn open_directory(
        &mut self,
        path: &std::path::Path,
    ) -> std::io::Result<Box<dyn portcullis_core::resources::Directory>> {
        crate::files::open_directory(path)
    }
}

impl fmt::Debug for SystemHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemHost").field("level", &self.level).finish_non_exhaustive()
    }
}

/// Maximum number of metrics that are kept though no VM has them.
const MOST_METRICS: usize = 10_000;

/// Metrics by plugin, type and name.
type Numbers = HashMap<(String, MetricType, String), Arc<Number>>;

#[derive(Debug, Default)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_that_no_vm_has_are_forgotten_when_they_are_many() {
        let mut host = SystemHost::new(|_: &LogRecord<'_>| {});
        let held = host.define_metric(&Plugin::new("held"), MetricType::Counter, "n");
        held.iter().for_each(|held| held.add(7));
        for number in 0..MOST_METRICS {
            let plugin = Plugin::new(number.to_string());
            host.define_metric(&plugin, MetricType::Counter, "n").iter().for_each(|metric| metric.add(1));
        }
        assert_eq!((host.metric("held", "n"), host.metric("0", "n")), (Some(7), None));
        assert_eq!(host.metrics.lock().map_or(0, |metrics| metrics.len()), 2);
    }

    #[test]
    fn metrics_of_two_types_with_one_name_are_two() {
        let mut host = SystemHost::new(|_: &LogRecord<'_>| {});
        let plugin = Plugin::new("p");
        let mut define = |metric_type| host.define_metric(&plugin, metric_type, "n");
        let (counter, gauge) = (define(MetricType::Counter), define(MetricType::Gauge));
        counter.iter().for_each(|counter| counter.add(2));
        gauge.iter().for_each(|gauge| gauge.record(9));
        assert_eq!(gauge.map(|gauge| gauge.value()), Some(9));
        assert_eq!((host.metric("p", "n"), host.metric("q", "n")), (Some(2), None));
    }
}
