//! What the gateway gives to its plugins: log, clocks, randomness, clusters, metrics, directories.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use portcullis::SystemClock;
use portcullis::core::{Denial, Directory, Host, LogLevel, LogRecord, Metric, MetricType, Plugin};
use tracing::level_filters::LevelFilter;

use crate::denials::Denials;
use crate::metrics::Metrics;

/// The target of log lines that plugins write.
pub(crate) const PLUGIN: &str = "plugin";

/// The target of log lines that the host writes about a plugin's VM.
pub(crate) const VM: &str = "portcullis::vm";

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
        let text: Cow<'_, str> = match (record.message.get(..MAX_LINE), std::str::from_utf8(record.message)) {
            (Some(start), _) if record.message.len() > MAX_LINE => {
                format!("{} [cut]", String::from_utf8_lossy(start)).into()
            }
            // Faster than from_utf8_lossy where there is nothing to replace.
            (_, Ok(text)) => text.into(),
            (_, Err(_)) => String::from_utf8_lossy(record.message),
        };
        // Fields that are empty are left out.
        let field = |of: fn(&Plugin) -> &str| record.plugin.map(of).filter(|text| !text.is_empty());
        let (plugin, root, vm) = (field(|p| &p.name), field(|p| &p.root_id), field(|p| &p.vm_id));
        let context = record.context;
        macro_rules! line {
            ($level:ident, $target:expr) => {
                tracing::$level!(target: $target, plugin, root, vm, %context, "{text}")
            };
        }
        match (record.from_host, record.level) {
            (true, LogLevel::Error | LogLevel::Critical) => line!(error, VM),
            (true, _) => line!(warn, VM),
            (false, LogLevel::Trace) => line!(trace, PLUGIN),
            (false, LogLevel::Debug) => line!(debug, PLUGIN),
            (false, LogLevel::Info) => line!(info, PLUGIN),
            (false, LogLevel::Warn) => line!(warn, PLUGIN),
            (false, LogLevel::Error | LogLevel::Critical) => line!(error, PLUGIN),
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
