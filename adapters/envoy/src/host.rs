//! Envoy as plugins see it: its log, clocks, randomness, clusters, metrics.

use std::path::Path;
use std::sync::Arc;

use portcullis::abi::{LogLevel, MetricType};
use portcullis::model::Plugin;
use portcullis::resources::{Directory, Host, LogRecord, Metric, NoRandomness};
use portcullis::system::SystemClock;

use crate::envoy::Log;
use crate::metrics::Metrics;

/// The host of a VM.
#[derive(Clone, Debug)]
pub(crate) struct EnvoyHost {
    pub(crate) clock: SystemClock,
    log: Arc<dyn Log>,
    pub(crate) metrics: Metrics,
    /// Room for a line.
    line: Vec<u8>,
}

impl EnvoyHost {
    pub(crate) fn new(log: Arc<dyn Log>) -> Self {
        Self { clock: SystemClock::new(), log, metrics: Metrics::default(), line: Vec::new() }
    }

    /// Writes a line of the module's own.
    pub(crate) fn say(&self, level: LogLevel, line: &str) {
        self.log.write(level, format!("portcullis: {line}").as_bytes());
    }
}

impl Host for EnvoyHost {
    /// As Envoy's own filter words it: `wasm log NAME ROOT VM: ...`.
    fn log(&mut self, record: &LogRecord<'_>) {
        self.line.clear();
        self.line.extend_from_slice(b"wasm log");
        if let Some(plugin) = record.plugin {
            for part in [&plugin.name, &plugin.root_id, &plugin.vm_id] {
                if !part.is_empty() {
                    self.line.push(b' ');
                    self.line.extend_from_slice(part.as_bytes());
                }
            }
        }
        self.line.extend_from_slice(b": ");
        self.line.extend_from_slice(record.message);
        self.log.write(record.level, &self.line);
    }

    fn log_level(&self) -> LogLevel {
        let levels = [LogLevel::Trace, LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];
        levels.into_iter().find(|level| self.log.is_enabled(*level)).unwrap_or(LogLevel::Critical)
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

    /// Returns true: whether there is such a cluster only the callout tells.
    ///
    /// differs: a callout to a cluster that is not there succeeds, and its answer says so; Envoy's own filter refuses the hostcall.
    fn has_upstream(&self, _: &str) -> bool {
        true
    }

    fn define_metric(&mut self, plugin: &Plugin, metric_type: MetricType, name: &str) -> Option<Arc<dyn Metric>> {
        Some(self.metrics.define(&plugin.name, metric_type, name))
    }

    fn open_directory(&mut self, path: &Path) -> std::io::Result<Box<dyn Directory>> {
        portcullis::files::open_directory(path)
    }
}
