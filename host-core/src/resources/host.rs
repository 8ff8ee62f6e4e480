//! The embedder, as the core needs it. Nothing here may block, but files.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::abi::{LogLevel, MetricType};
use crate::model::context::ContextId;
use crate::model::plugin::Plugin;
use crate::resources::files::Directory;
use crate::rights::Denial;
use crate::setters::setters;

/// The world around a VM: log, clocks, randomness, upstream names, metrics.
///
/// Time and randomness are inputs, so that a run can be repeated. It is `Send` because some engines
/// want all their data to be.
pub trait Host: Send {
    /// Takes a log line. Called only for levels that [`Host::log_level`] lets through.
    fn log(&mut self, record: &LogRecord<'_>);
    /// Returns the lowest level that is logged.
    fn log_level(&self) -> LogLevel;
    /// Nanoseconds since the Unix epoch.
    fn wall_clock(&self) -> u64;
    /// Nanoseconds since any fixed point.
    fn monotonic_clock(&self) -> u64;
    /// Fills the buffer with random bytes fit for keys.
    ///
    /// # Errors
    /// The system has no random bytes; the error says why. The guest that asked is ended: without them it is as good as an attacker's.
    fn random(&mut self, buffer: &mut [u8]) -> Result<(), NoRandomness>;
    /// Returns whether a callout to this upstream can be tried.
    fn has_upstream(&self, name: &str) -> bool;
    /// Takes note of a callout to an upstream that is not there. The plugin is answered as the ABI says.
    fn lacks_upstream(&mut self, plugin: Option<&Plugin>, name: &str) {
        let _ = (plugin, name);
    }
    /// Defines a metric of a plugin, or finds it again by its name. `None` refuses it.
    fn define_metric(&mut self, plugin: &Plugin, metric_type: MetricType, name: &str) -> Option<Arc<dyn Metric>>;
    /// Takes note of a denial. Every one is told here; the log has some of them.
    fn denied(&mut self, denial: &Denial<'_>) {
        let _ = denial;
    }
    /// Takes note of a plugin that failed: it trapped, was ended, or refused to start. The log has been told why.
    fn failed(&mut self, failure: &Failure<'_>) {
        let _ = failure;
    }
    /// Takes note of a plugin one of whose calls had to wait, because it has had more than its part of what calls get that no
    /// stream waits for.
    fn throttled(&mut self, plugin: &Plugin) {
        let _ = plugin;
    }
    /// Opens a directory of the system that a VM is to have, when the VM starts.
    ///
    /// # Errors
    /// The directory cannot be opened; the operator reads why. By default no host has files.
    fn open_directory(&mut self, path: &Path) -> io::Result<Box<dyn Directory>> {
        let _ = path;
        Err(io::Error::new(io::ErrorKind::Unsupported, "this host has no files"))
    }
}

/// Why a host has no random bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system has no random bytes: {0}")]
pub struct NoRandomness(pub String);

/// A metric that a plugin defined.
pub trait Metric: Send + Sync {
    /// Adds to a counter or gauge. A counter is only given positive numbers.
    fn add(&self, delta: i64);
    /// Sets a gauge or a counter, or notes a value in a histogram.
    fn record(&self, value: u64);
    /// Returns the value of a counter or gauge.
    fn value(&self) -> u64;
}

/// A line that a plugin logs, or that the host logs about it.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct LogRecord<'a> {
    /// Its level.
    pub level: LogLevel,
    /// Its bytes; any bytes.
    pub message: &'a [u8],
    /// The plugin that runs; none before a plugin exists.
    pub plugin: Option<&'a Plugin>,
    /// The context that runs.
    pub context: ContextId,
    /// The number of the stream that it concerns ([`StreamInfo::id`](crate::model::StreamInfo::id)); 0 for none.
    pub stream: u64,
    /// Whether the host says it, and not the guest.
    pub from_host: bool,
}

impl<'a> LogRecord<'a> {
    /// Makes a line of the host's, about no plugin.
    pub fn new(level: LogLevel, message: &'a [u8]) -> Self {
        Self { level, message, plugin: None, context: ContextId::VM, stream: 0, from_host: true }
    }

    setters! {
        with_plugin(impl Into<Option<&'a Plugin>>) -> plugin;
        with_context(ContextId) -> context;
        with_stream(u64) -> stream;
        with_from_host(bool) -> from_host;
    }
}

/// A failure of a plugin.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Failure<'a> {
    /// The plugin that ran; none before a plugin exists.
    pub plugin: Option<&'a Plugin>,
    /// The callback that failed.
    pub during: &'static str,
    /// The reason in one word, as metrics have it: [`Trap::kind`](crate::engine::Trap::kind), or `refused` for a plugin that returned
    /// false from `proxy_on_vm_start` or `proxy_on_configure`.
    pub reason: &'static str,
}

impl fmt::Debug for LogRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} {:?}", self.level, self.context, String::from_utf8_lossy(self.message))
    }
}

impl fmt::Debug for dyn Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Host")
    }
}

impl fmt::Debug for dyn Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metric({})", self.value())
    }
}
