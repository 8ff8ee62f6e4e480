//! What the gateway gives to its plugins: log, clocks, randomness, clusters, metrics, directories.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use portcullis::SystemClock;
use portcullis::core::{Denial, Directory, Host, LogLevel, LogRecord, Metric, MetricType, Plugin};
use tracing::level_filters::LevelFilter;

use crate::denials::Denials;
use crate::metrics::Metrics;

/// The most bytes of one log line; what is longer is cut, and says so.
const MAX_LINE: usize = 16 << 10;

/// The gateway as plugins see it.
#[derive(Clone, Debug)]
pub(crate) struct GatewayHost {
    /// Its clocks.
    pub(crate) clock: SystemClock,
    /// Its metrics.
    pub(crate) metrics: Metrics,
    /// What was denied.
    pub(crate) denials: Denials,
    /// The names of its clusters.
    pub(crate) clusters: Arc<HashSet<String>>,
}

impl Host for GatewayHost {
    fn log(&mut self, record: &LogRecord<'_>) {
        let (message, cut) = match record.message.get(..MAX_LINE) {
            Some(start) if record.message.len() > MAX_LINE => (start, " [cut]"),
            _ => (record.message, ""),
        };
        let text = String::from_utf8_lossy(message);
        // Fields that are empty are left out.
        let field = |of: fn(&Plugin) -> &str| record.plugin.map(of).filter(|text| !text.is_empty());
        let (plugin, root, vm) = (field(|p| &p.name), field(|p| &p.root_id), field(|p| &p.vm_id));
        let context = record.context;
        macro_rules! line {
            ($level:ident, $target:literal) => {
                tracing::$level!(target: $target, plugin, root, vm, %context, "{text}{cut}")
            };
        }
        match (record.from_host, record.level) {
            (true, LogLevel::Error | LogLevel::Critical) => line!(error, "portcullis::vm"),
            (true, _) => line!(warn, "portcullis::vm"),
            (false, LogLevel::Trace) => line!(trace, "plugin"),
            (false, LogLevel::Debug) => line!(debug, "plugin"),
            (false, LogLevel::Info) => line!(info, "plugin"),
            (false, LogLevel::Warn) => line!(warn, "plugin"),
            (false, LogLevel::Error | LogLevel::Critical) => line!(error, "plugin"),
        }
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

    fn random(&mut self, buffer: &mut [u8]) {
        SystemClock::random(buffer);
    }

    fn has_upstream(&self, name: &str) -> bool {
        self.clusters.contains(name)
    }

    fn define_metric(&mut self, plugin: &Plugin, metric_type: MetricType, name: &str) -> Option<Arc<dyn Metric>> {
        self.metrics.define(plugin, metric_type, name)
    }

    fn denied(&mut self, denial: &Denial<'_>) {
        self.denials.note(denial, self.clock.wall());
    }

    fn open_directory(&mut self, path: &Path) -> Result<Box<dyn Directory>, String> {
        portcullis::open_directory(path)
    }
}
