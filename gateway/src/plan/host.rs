//! The host of plugins: log, clocks, randomness, clusters, metrics, directories.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use portcullis::abi::{LogLevel, MetricType};
use portcullis::model::Plugin;
use portcullis::resources::{Directory, Failure, Host, LogRecord, Metric, NoRandomness};
use portcullis::rights::Denial;
use portcullis::system::SystemClock;
use tracing::level_filters::LevelFilter;

use crate::observe::denials::Denials;
use crate::observe::health::PluginHealth;
use crate::observe::log;
use crate::observe::metrics::Metrics;

/// The gateway as plugins see it.
#[derive(Clone, Debug)]
pub(crate) struct GatewayHost {
    /// Its clocks.
    pub(crate) clock: SystemClock,
    /// Its metrics.
    pub(crate) metrics: Metrics,
    /// The number of the worker that it is part of; none for what serves no traffic.
    pub(crate) worker: Option<usize>,
    /// The health of the plugins of all workers.
    pub(crate) health: PluginHealth,
    /// Denied calls.
    pub(crate) denials: Denials,
    /// The names of its clusters.
    pub(crate) clusters: ClusterNames,
    /// Names of missing clusters that plugins asked for; each is logged once.
    pub(crate) missing: Arc<Mutex<HashSet<String>>>,
    /// Room for a line of the log.
    pub(crate) line: Vec<u8>,
}

/// The names of clusters that plugins of a worker may send to. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterNames(Arc<RwLock<HashSet<String>>>);

impl ClusterNames {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    /// Replaces them.
    pub(crate) fn set(&self, names: HashSet<String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// Returns the same names, which change apart from these.
    pub(crate) fn apart(&self) -> Self {
        self.0.read().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn sorted(&self) -> Vec<String> {
        let mut names: Vec<_> = self.0.read().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        names.sort_unstable();
        names
    }
}

impl FromIterator<String> for ClusterNames {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        Self(Arc::new(RwLock::new(names.into_iter().collect())))
    }
}

impl GatewayHost {
    /// Returns the host of another worker, or of plugins that are tried: what it says of clusters is its own.
    pub(crate) fn of_worker(&self, worker: Option<usize>) -> Self {
        Self { worker, clusters: self.clusters.apart(), ..self.clone() }
    }

    /// Logs that something goes to a cluster that is not there, once for each name and for a hundred names: plugins choose them.
    pub(crate) fn tell_missing(&self, plugin: Option<&Plugin>, what: &str, name: &str) {
        const MOST: usize = 100;
        const LONGEST: usize = 256;
        let name = name.get(..name.floor_char_boundary(LONGEST)).unwrap_or_default();
        let is_news = {
            let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
            missing.len() < MOST && !missing.contains(name) && missing.insert(name.to_owned())
        };
        if is_news {
            tracing::warn!(
                plugin = plugin.map(|plugin| plugin.name.as_str()),
                "{what} to the cluster {name:?}, which is not there (there are {}); define it under clusters",
                self.clusters.sorted().join(", ")
            );
        }
    }
}

impl Host for GatewayHost {
    fn log(&mut self, record: &LogRecord<'_>) {
        log::say(record, self.worker, &mut self.line);
    }

    fn log_level(&self) -> LogLevel {
        match LevelFilter::current() {
            LevelFilter::TRACE => LogLevel::Trace,
            LevelFilter::DEBUG => LogLevel::Debug,
            LevelFilter::INFO => LogLevel::Info,
            LevelFilter::WARN => LogLevel::Warn,
            LevelFilter::ERROR => LogLevel::Error,
            _ => LogLevel::Critical,
        }
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
        self.clusters.has(name)
    }

    fn lacks_upstream(&mut self, plugin: Option<&Plugin>, name: &str) {
        self.tell_missing(plugin, "a callout goes", name);
    }

    fn define_metric(&mut self, plugin: &Plugin, metric_type: MetricType, name: &str) -> Option<Arc<dyn Metric>> {
        Some(self.metrics.define(plugin, metric_type, name))
    }

    fn denied(&mut self, denial: &Denial<'_>) {
        self.denials.note(denial, self.clock.wall());
    }

    fn failed(&mut self, failure: &Failure<'_>) {
        let plugin = failure.plugin.map_or_else(String::new, |plugin| plugin.name.clone());
        metrics::counter!("portcullis_plugin_failures_total", "plugin" => plugin, "reason" => failure.reason)
            .increment(1);
    }

    fn throttled(&mut self, plugin: &Plugin) {
        metrics::counter!("portcullis_plugin_throttled_total", "plugin" => plugin.name.clone()).increment(1);
    }

    fn open_directory(&mut self, path: &Path) -> std::io::Result<Box<dyn Directory>> {
        portcullis::files::open_directory(path)
    }
}
