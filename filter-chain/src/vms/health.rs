//! How the plugins of a worker are doing, and what the log says when that changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use portcullis_core::{ContextId, FailurePolicy, LogLevel, LogRecord, Plugin};

use super::{Loaded, Sandboxes};
use crate::id::{PluginId, VmId};

/// A plugin of a worker, and how it is doing there.
#[derive(Clone, Debug)]
pub struct Health {
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// Whether streams come to it, as it is in a chain; if not, it is a service alone.
    pub serves: bool,
    /// Its state.
    pub state: PluginState,
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
    ByStream(LiveVms),
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

impl Sandboxes {
    /// Notes that streams come to a plugin.
    pub(crate) fn serve(&mut self, plugin: PluginId) {
        if let Some(loaded) = self.plugins.get_mut(plugin.index()) {
            loaded.serves = true;
        }
    }

    /// Notes that the health of a plugin has changed.
    pub(crate) fn note_change(&mut self) {
        self.changed = true;
    }

    /// Says whether the health of a plugin has changed since the last call, but for the number of VMs of streams.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Describes each plugin, in the order in which they were loaded.
    pub(crate) fn health(&self) -> impl Iterator<Item = Health> {
        let current = self.plugins.iter().filter(|loaded| !loaded.retired);
        current.map(|loaded| Health {
            plugin: Arc::clone(&loaded.plugin),
            serves: loaded.serves,
            state: self.state_of(loaded),
        })
    }

    fn state_of(&self, loaded: &Loaded) -> PluginState {
        if let Some(by) = &loaded.by_stream {
            return PluginState::ByStream(by.live.clone());
        }
        let Some(sandbox) = self.vms.get(loaded.vm) else { return PluginState::Ended };
        match sandbox.vm.failure() {
            Some(reason) => PluginState::Failed {
                reason: reason.to_owned(),
                rests_until: sandbox
                    .failed_at
                    .filter(|_| loaded.vm.is_some_and(|vm| self.reloads(vm)) && !loaded.asked)
                    .map(|at| at.saturating_add(sandbox.rest)),
            },
            None if loaded.asked || loaded.ended => PluginState::Ended,
            None => PluginState::Runs,
        }
    }

    /// Says what becomes of traffic from now on, for each plugin of a VM that has just failed. VMs that nothing new comes to take
    /// nothing with them.
    pub(super) fn tell_consequences(&mut self, vm: VmId) {
        let Some(sandbox) = self.vms.get(vm).filter(|sandbox| !sandbox.replaced) else { return };
        let culprit = sandbox.vm.failed_in().and_then(|(_, plugin)| plugin).unwrap_or_default();
        let (mut host, rest) = ((self.host)(), Some(sandbox.rest).filter(|_| self.reloads(vm)));
        for loaded in self.plugins.iter().filter(|loaded| loaded.vm == Some(vm) && !loaded.retired && !loaded.asked) {
            let message = consequences(loaded, rest, culprit);
            log(&mut *host, LogLevel::Warn, &message, Some(&loaded.plugin), loaded.root);
        }
    }

    /// Says that a VM has taken the place of one that had failed, or could not.
    pub(super) fn tell_revival(&self, plugin: PluginId, revived: Result<(), String>) {
        let Some(loaded) = self.plugins.get(plugin.index()) else { return };
        let rest = self.vms.get(loaded.vm).map_or(Duration::ZERO, |sandbox| sandbox.rest);
        let (level, message) = match revived {
            Ok(()) => (LogLevel::Info, "it has been started again".to_owned()),
            Err(error) => (
                LogLevel::Error,
                format!("it cannot be started again: {error}; tried anew by what comes in {rest:?} or later"),
            ),
        };
        log(&mut *(self.host)(), level, &message, Some(&loaded.plugin), loaded.root);
    }

    /// Tells the host of a plugin that waits because it has had more than its part of a worker.
    pub(crate) fn tell_throttled(&self, plugin: PluginId) {
        if let Some(loaded) = self.plugins.get(plugin.index()) {
            (self.host)().throttled(&loaded.plugin);
        }
    }

    /// Tells the operator, once, that a chain was not loaded in this worker.
    pub(super) fn tell_of_stray(&mut self) {
        if std::mem::replace(&mut self.told_of_stray, true) {
            return;
        }
        let message = "a stream came over a chain that its worker has not loaded, and is answered 503";
        log(&mut *(self.host)(), LogLevel::Error, message, None, ContextId::VM);
    }

    /// Tells the operator something about a plugin that may happen in every stream; at most once a second.
    pub(super) fn tell(&mut self, plugin: PluginId, message: &str) {
        let mut host = (self.host)();
        let now = Duration::from_nanos(host.monotonic_clock());
        let Some(loaded) = self.plugins.get_mut(plugin.index()) else { return };
        let more = match &mut loaded.told {
            Some((at, more)) if now.saturating_sub(*at) < Duration::from_secs(1) => {
                *more += 1;
                return;
            }
            told => told.replace((now, 0)).map_or(0, |(_, more)| more),
        };
        let more = if more > 0 { format!(" ({more} such lines before it were left out)") } else { String::new() };
        log(&mut *host, LogLevel::Error, &format!("{message}{more}"), Some(&loaded.plugin), loaded.root);
    }
}

/// Logs a line in the host's own name.
pub(super) fn log(
    host: &mut dyn portcullis_core::Host,
    level: LogLevel,
    message: &str,
    plugin: Option<&Plugin>,
    context: ContextId,
) {
    if level >= host.log_level() {
        let message = message.as_bytes();
        host.log(&LogRecord { level, message, plugin, context, stream: 0, from_host: true });
    }
}

/// Words what a failure means for one of the plugins of its VM, which is started again after a rest or, without one, is not.
fn consequences(loaded: &Loaded, rest: Option<Duration>, culprit: &str) -> String {
    let plugin = &loaded.plugin;
    let shared = if culprit.is_empty() || culprit == plugin.name {
        String::new()
    } else {
        format!(" (it shares a VM with {culprit:?})")
    };
    let (what, next) = match plugin.failure_policy {
        _ if !loaded.serves => ("the service does nothing in this worker", "it is started again"),
        FailurePolicy::Open => {
            ("what comes to this worker passes it by", "the next request or connection starts it again")
        }
        FailurePolicy::Closed | FailurePolicy::Reload => {
            ("requests to it in this worker get 503 and connections are closed", "the next one starts it again")
        }
    };
    let until = match rest {
        Some(rest) => format!("for {rest:?}, then {next}; reload_config.backoff sets how long it rests"),
        None => format!(
            "from now on, since its failure_policy is {}; FAIL_RELOAD would start it again",
            if plugin.failure_policy == FailurePolicy::Open { "FAIL_OPEN" } else { "FAIL_CLOSED" }
        ),
    };
    format!("its VM has failed{shared}: {what} {until}")
}
