//! How the plugins of a worker are doing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use portcullis_core::model::Plugin;
use portcullis_core::sandbox::SandboxKey;

/// How many VMs a worker has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VmCounts {
    /// How many run.
    pub running: usize,
    /// How many have failed.
    pub failed: usize,
}

/// A plugin of a worker, and how it is doing there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// The sandbox of its VMs, if it has one still.
    pub sandbox: Option<SandboxKey>,
    /// Whether streams come to it, as it is in a chain; if not, it is a service alone, or its chain has been unloaded.
    pub serves: bool,
    /// Its state.
    pub state: PluginState,
}

impl Health {
    /// Says how a plugin is doing.
    pub fn new(plugin: Arc<Plugin>, serves: bool, state: PluginState) -> Self {
        Self { plugin, sandbox: None, serves, state }
    }
}

/// How a plugin is doing in a worker.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PluginState {
    /// Its VM runs.
    Runs,
    /// Its VM has failed.
    Failed {
        /// The reason, as the log has it.
        reason: String,
        /// When it may be started again, on the host's monotonic clock; none if it is not, by the failure policies of the plugins
        /// in its VM.
        rests_until: Option<Duration>,
    },
    /// The plugin has been asked to end, or has ended.
    Ended,
    /// Each stream has a VM of its own, of which there are as many now.
    PerStream(LiveVms),
}

/// How many VMs there are. Clones count the same.
#[derive(Clone, Debug, Default)]
pub struct LiveVms(Arc<AtomicUsize>);

impl LiveVms {
    /// Reads the number.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn begin(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
