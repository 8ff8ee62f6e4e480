use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portcullis::abi::{LogLevel, MetricType};
use portcullis::model::Plugin;
use portcullis::resources::{Host, LogRecord, Metric, NoRandomness};

use crate::engine::recorder::Recorder;

/// Writes a transcript's lines, and is the host of the guest that it is about. Clones write to the same
/// transcript.
#[derive(Clone, Default)]
pub(super) struct Witness {
    recorder: Recorder,
    written: Arc<Mutex<Written>>,
}

#[derive(Default)]
struct Written {
    lines: Vec<String>,
    is_void: bool,
    is_digest: bool,
}

impl Witness {
    pub(super) fn write(&self, line: String) {
        self.written().lines.push(line);
    }

    /// Says that nothing can be said of this guest.
    pub(super) fn give_up(&self) {
        self.written().is_void = true;
    }

    /// Runs `of`, and takes each log line meanwhile as the guest's memory.
    pub(super) fn take_digest(&self, of: impl FnOnce()) {
        self.written().is_digest = true;
        of();
        self.written().is_digest = false;
    }

    /// Returns the values of the guest's metrics, by name.
    pub(super) fn metrics(&self) -> Vec<(String, u64)> {
        self.recorder.metrics()
    }

    /// Returns the lines, and whether nothing can be said.
    pub(super) fn finish(self) -> (Vec<String>, bool) {
        let mut written = self.written();
        (std::mem::take(&mut written.lines), written.is_void)
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host for Witness {
    fn log(&mut self, record: &LogRecord<'_>) {
        let is_digest = self.written().is_digest;
        let LogRecord { level, message, context, from_host, .. } = *record;
        let plugin = record.plugin.map(|plugin| plugin.name.as_str()).unwrap_or_default();
        self.write(match (is_digest, from_host) {
            (true, _) => format!("  memory: {} bytes, digest {:016x}", message.len(), digest(message)),
            (_, true) => format!(
                "  the host says: {level:?} [{plugin} {context}] {}",
                without_stack(&message.escape_ascii().to_string())
            ),
            _ => format!("  the guest says: {level:?} [{plugin} {context}] {}", text(message)),
        });
    }

    fn log_level(&self) -> LogLevel {
        LogLevel::Trace
    }

    fn wall_clock(&self) -> u64 {
        self.recorder.wall_clock()
    }

    fn monotonic_clock(&self) -> u64 {
        self.recorder.monotonic_clock()
    }

    fn random(&mut self, buffer: &mut [u8]) -> Result<(), NoRandomness> {
        self.recorder.random(buffer)
    }

    fn has_upstream(&self, name: &str) -> bool {
        self.recorder.has_upstream(name)
    }

    fn define_metric(&mut self, plugin: &Plugin, metric_type: MetricType, name: &str) -> Option<Arc<dyn Metric>> {
        self.recorder.define_metric(plugin, metric_type, name)
    }
}

/// Removes the functions that were running: engines name them differently; the rest must be equal.
pub(super) fn without_stack(reason: &str) -> &str {
    let reason = reason.split_once(" in ").map_or(reason, |(reason, _)| reason);
    reason.strip_suffix(')').unwrap_or(reason)
}

fn text(message: &[u8]) -> String {
    const SHOWN: usize = 100;
    match message.get(..SHOWN) {
        Some(start) => {
            format!("{}... {} bytes, digest {:016x}", start.escape_ascii(), message.len(), digest(message))
        }
        None => message.escape_ascii().to_string(),
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
