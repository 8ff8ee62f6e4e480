//! Reports of how plugins are doing, to the log and to the driver.

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::abi::LogLevel;
use portcullis_core::model::{ContextId, FailurePolicy, Plugin};
use portcullis_core::resources::{Host, LogRecord};
use portcullis_core::sandbox::SandboxKey;

use super::Vms;
use super::health::{Health, PluginState};
use super::per_stream::PerStream;
use super::plugins::LoadedPlugin;
use crate::id::{PluginId, VmId};

impl Vms {
    /// Notes that streams come to a plugin.
    pub(crate) fn serve(&mut self, plugin: PluginId) {
        if let Some(loaded) = self.plugins.get_mut(plugin) {
            loaded.serve();
        }
    }

    /// Notes that no new stream comes to a plugin.
    pub(crate) fn serve_no_more(&mut self, plugin: PluginId) {
        if let Some(loaded) = self.plugins.get_mut(plugin) {
            loaded.serve_no_more();
            self.note_change();
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
        let current = self.plugins.in_order().into_iter().filter(|loaded| !loaded.is_left());
        current.map(|loaded| Health {
            plugin: Arc::clone(loaded.plugin()),
            sandbox: self.sandbox_of(loaded),
            serves: loaded.serves(),
            state: self.state_of(loaded),
        })
    }

    fn sandbox_of(&self, loaded: &LoadedPlugin) -> Option<SandboxKey> {
        let of_vm = || Some(self.table.get(loaded.vm()?)?.key());
        loaded.source().map(PerStream::key).or_else(of_vm)
    }

    fn state_of(&self, loaded: &LoadedPlugin) -> PluginState {
        if let Some(source) = loaded.source() {
            return PluginState::PerStream(source.live().clone());
        }
        let Some((vm, instance)) = loaded.vm().and_then(|vm| Some((vm, self.table.get(vm)?))) else {
            return PluginState::Ended;
        };
        match instance.vm().failure() {
            Some(reason) => PluginState::Failed {
                reason: reason.to_owned(),
                rests_until: instance.restart().rests_until().filter(|_| self.reloads(vm) && !loaded.is_shut_down()),
            },
            None if loaded.is_shut_down() || loaded.has_ended() => PluginState::Ended,
            None => PluginState::Runs,
        }
    }

    /// Logs what becomes of traffic from now on, for each plugin of a VM that has just failed. VMs that nothing new comes to take
    /// nothing with them.
    pub(super) fn tell_consequences(&mut self, vm: VmId) {
        let Some(instance) = self.table.known(vm).filter(|instance| instance.is_active()) else { return };
        let culprit = instance.vm().failed_in().and_then(|place| place.plugin).unwrap_or_default();
        let (mut host, rest) = (self.new_host(), Some(instance.restart().rest()).filter(|_| self.reloads(vm)));
        let concerned = self.plugins.of(vm).filter(|(_, loaded)| !loaded.is_left() && !loaded.is_shut_down());
        for (_, loaded) in concerned {
            let message = consequences(loaded, rest, culprit);
            log(&mut *host, LogLevel::Warn, &message, Some(loaded.plugin()), loaded.root());
        }
    }

    /// Logs that a VM has taken the place of one that had failed, or could not.
    pub(super) fn tell_revival(&self, plugin: PluginId, revived: Result<(), String>) {
        let Some(loaded) = self.plugins.known(plugin) else { return };
        let rest = loaded.vm().and_then(|vm| self.table.get(vm)).map_or(Duration::ZERO, |vm| vm.restart().rest());
        let (level, message) = match revived {
            Ok(()) => (LogLevel::Info, "it has been started again".to_owned()),
            Err(error) => (LogLevel::Error, format!("it cannot be started again: {error}; tried anew in {rest:?}")),
        };
        log(&mut *self.new_host(), level, &message, Some(loaded.plugin()), loaded.root());
    }

    /// Logs something about a VM, in the name of its first plugin.
    pub(super) fn tell_of_vm(&self, vm: VmId, level: LogLevel, message: &str) {
        let plugin = self.plugins.of(vm).min_by_key(|(_, loaded)| loaded.root()).map(|(_, loaded)| loaded);
        let root = plugin.map_or(ContextId::VM, LoadedPlugin::root);
        log(&mut *self.new_host(), level, message, plugin.map(|loaded| &**loaded.plugin()), root);
    }

    /// Tells the host of a plugin that waits because it has had more than its part of a worker.
    pub(crate) fn tell_throttled(&self, plugin: PluginId) {
        if let Some(loaded) = self.plugins.get(plugin) {
            self.new_host().throttled(loaded.plugin());
        }
    }

    /// Tells the operator, once, that a chain was not loaded in this worker.
    pub(super) fn tell_of_stray(&mut self) {
        if std::mem::replace(&mut self.told_of_stray, true) {
            return;
        }
        let message = "a stream came over a chain that its worker has not loaded, and is answered 503";
        log(&mut *self.new_host(), LogLevel::Error, message, None, ContextId::VM);
    }

    /// Tells the operator something about a plugin that may happen in every stream; at most once a second.
    pub(super) fn tell(&mut self, plugin: PluginId, message: &str) {
        let mut host = self.new_host();
        let now = Duration::from_nanos(host.monotonic_clock());
        // The VM of a stream may outlive its plugin, for callouts.
        let Some(loaded) = self.plugins.get_mut(plugin) else { return };
        let Some(more) = loaded.may_tell(now) else { return };
        let more = if more > 0 { format!(" ({more} such lines before it were left out)") } else { String::new() };
        log(&mut *host, LogLevel::Error, &format!("{message}{more}"), Some(loaded.plugin()), loaded.root());
    }
}

/// Logs a line in the host's own name.
fn log(host: &mut dyn Host, level: LogLevel, message: &str, plugin: Option<&Plugin>, context: ContextId) {
    if level >= host.log_level() {
        let message = message.as_bytes();
        host.log(&LogRecord::new(level, message).with_plugin(plugin).with_context(context));
    }
}

/// Words what a failure means for one of the plugins of its VM, which is started again after a rest or, without one, is not.
fn consequences(loaded: &LoadedPlugin, rest: Option<Duration>, culprit: &str) -> String {
    let plugin = loaded.plugin();
    let shared = if culprit.is_empty() || culprit == plugin.name {
        String::new()
    } else {
        format!(" (it shares a VM with {culprit:?})")
    };
    let (what, next) = match plugin.failure_policy {
        _ if !loaded.serves() => ("the service does nothing in this worker", "it is started again"),
        FailurePolicy::Open => ("what comes to this worker passes it by", "it is started again"),
        FailurePolicy::Closed | FailurePolicy::Reload => {
            ("requests to it in this worker get 503 and connections are closed", "it is started again")
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
