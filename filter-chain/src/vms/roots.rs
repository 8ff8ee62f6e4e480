//! The roots of plugins: their ticks, their queues, and how they end.

use std::time::Duration;

use portcullis_core::model::ContextId;
use portcullis_core::vm::{Pending, VmFailed};

use super::Vms;
use super::plugins::LoadedPlugin;
use crate::background::Account;
use crate::id::{PluginId, VmId};

impl Vms {
    /// Returns the ids of all plugins.
    pub(crate) fn plugin_ids(&self) -> Vec<PluginId> {
        self.plugins.iter().map(|(id, _)| id).collect()
    }

    /// Returns a plugin's VM and root, if it has a VM that lasts.
    pub(crate) fn root(&self, plugin: PluginId) -> Option<(VmId, ContextId)> {
        let loaded = self.plugins.get(plugin)?;
        Some((loaded.vm()?, loaded.root()))
    }

    /// Returns how many plugins have not ended yet, and VMs of streams that are over wait for callouts.
    pub(crate) fn pending_roots(&self) -> usize {
        let works = |vm: Option<VmId>| vm.is_some_and(|vm| !self.has_failed(vm));
        let roots = self.plugins.iter().filter(|(_, plugin)| !plugin.has_ended() && works(plugin.vm()));
        roots.count() + self.lingering()
    }

    fn is_failed_vm(&self, vm: Option<VmId>) -> bool {
        vm.is_some_and(|vm| self.has_failed(vm))
    }

    /// Returns when plugins that tick are due.
    pub(crate) fn due(&self) -> impl Iterator<Item = (PluginId, Duration)> {
        self.plugins.iter().filter_map(|(id, plugin)| Some((id, plugin.next_tick()?)))
    }

    /// Returns whether what [`Self::due`] and [`Self::next_upkeep`] say may have changed since the last call.
    #[inline]
    pub(crate) fn take_due_changed(&mut self) -> bool {
        self.plugins.take_touched() | self.upkeep.take_touched()
    }

    /// Begins the next period of a plugin's ticks, as its guest has set it.
    pub(crate) fn restart_ticks(&mut self, vm: VmId, root: ContextId) {
        let Some(instance) = self.table.known_mut(vm) else { return };
        let (now, period) = (instance.now(), instance.vm_mut().tick_period(root));
        // The guest may have set ticks for a root that then did not start.
        if let Some(plugin) = self.plugins.by_root(vm, root).and_then(|plugin| self.plugins.known_mut(plugin)) {
            plugin.set_next_tick(period.map(|period| now + period));
        }
    }

    /// Returns the time that a plugin has had for calls that no stream waits for.
    pub(crate) fn account(&self, plugin: PluginId) -> Option<&Account> {
        Some(self.plugins.get(plugin)?.account())
    }

    /// Returns the same, to be changed.
    pub(crate) fn account_mut(&mut self, plugin: PluginId) -> Option<&mut Account> {
        Some(self.plugins.get_mut(plugin)?.account_mut())
    }

    /// Returns how many plugins share what all calls get that no stream waits for: this one, those that tick, and those that have had more
    /// than their part by then.
    pub(crate) fn sharing(&self, plugin: PluginId, at: Duration) -> usize {
        let shares = |id: PluginId, loaded: &LoadedPlugin| {
            id == plugin || loaded.next_tick().is_some() || loaded.account().paid() > at
        };
        self.plugins.iter().filter(|(id, loaded)| shares(*id, loaded)).count()
    }

    /// Returns the plugin that has this root; of a VM for one stream, whose that is.
    pub(crate) fn plugin_of(&self, vm: VmId, root: ContextId) -> Option<PluginId> {
        let made_for = self.table.known(vm)?.made_for();
        made_for.map(|made_for| made_for.plugin).or_else(|| self.plugins.by_root(vm, root))
    }

    /// Returns the plugin that is told of an answer, and the stream in whose name it asked, if that is there still.
    pub(crate) fn told_of(&mut self, vm: VmId, pending: Pending) -> Option<(PluginId, Option<ContextId>)> {
        // A callout that is in flight has its VM: those of one that goes are given up before.
        let recipient = self.table.known_mut(vm)?.vm_mut().told_of(pending)?;
        Some((self.plugin_of(vm, recipient.root)?, recipient.stream))
    }

    /// Returns the VMs that have items of queues to tell, each with the plugin that is told next. Costs what these are, not what all VMs are.
    pub(crate) fn next_told(&mut self) -> Vec<(VmId, PluginId)> {
        let mut told = Vec::new();
        for vm in self.ready.take() {
            if self.has_failed(vm) {
                continue;
            }
            while let Some(root) = self.get_mut(vm).and_then(|vm| vm.told_of_queue()) {
                if let Some(plugin) = self.plugin_of(vm, root) {
                    told.push((vm, plugin));
                    break;
                }
                // Its root went while the message came. Others would wait behind it for ever.
                if let Some(vm) = self.get_mut(vm) {
                    vm.skip_queue();
                }
            }
        }
        self.ready.put(told.iter().map(|(vm, _)| *vm));
        told
    }

    /// Asks the root of a plugin to end; says whether it has, `None` if there is nothing to ask.
    pub(crate) fn end_root(&mut self, plugin: PluginId) -> Option<(VmId, ContextId, Result<bool, VmFailed>)> {
        let loaded = self.plugins.known_mut(plugin)?;
        if !loaded.request_shutdown() {
            return None;
        }
        let (vm, root) = (loaded.vm(), loaded.root());
        self.note_change();
        let vm = vm?;
        let ended = self.call(vm, |vm| vm.end_root(root))?;
        if let (Ok(false), Some(loaded)) = (ended, self.plugins.known_mut(plugin))
            && loaded.next_tick().is_none()
        {
            loaded.tick_to_the_end();
            self.restart_ticks(vm, root);
        }
        Some((vm, root, ended))
    }

    /// Says whether a plugin that no chain has any more is there still.
    pub(crate) fn is_ending(&self, plugin: PluginId) -> bool {
        self.plugins.peek(plugin).is_some_and(|loaded| !loaded.has_ended() && !self.is_failed_vm(loaded.vm()))
    }

    /// Returns the root of a plugin that was asked to end and has not, with its VM.
    pub(crate) fn asked_root(&self, plugin: PluginId) -> Option<(VmId, ContextId)> {
        let loaded = self.plugins.peek(plugin).filter(|loaded| loaded.is_shut_down() && !loaded.has_ended())?;
        Some((loaded.vm()?, loaded.root()))
    }

    /// Unloads a plugin whose root has been asked to end; returns its VM, to which nothing comes any more if it has no other plugin.
    pub(crate) fn unload(&mut self, plugin: PluginId) -> Option<VmId> {
        self.note_change();
        let loaded = self.plugins.get_mut(plugin)?;
        let Some(vm) = loaded.vm() else {
            // The VMs of its streams go with these.
            self.plugins.remove(plugin);
            self.has_per_stream = self.plugins.iter().any(|(_, loaded)| loaded.source().is_some());
            return None;
        };
        loaded.leave_behind();
        if loaded.has_ended() {
            self.plugins.remove(plugin);
        }
        if self.plugins.of(vm).all(|(_, loaded)| loaded.is_left())
            && let Some(instance) = self.table.known_mut(vm)
        {
            if instance.is_active() {
                self.upkeep.set(vm, None);
            }
            instance.drain();
        }
        Some(vm)
    }

    /// Deletes a root that has ended, once no stream of its VM is left: a stream keeps its plugin to its end.
    pub(crate) fn delete_root(&mut self, vm: VmId, root: ContextId) {
        let Some(instance) = self.table.known_mut(vm) else { return };
        if instance.has_streams() {
            return instance.keep_root(root);
        }
        self.call(vm, |vm| vm.delete(root));
        if let Some(plugin) = self.plugins.by_root(vm, root) {
            self.plugins.end(plugin);
            // Not now: something may be due that it asked for.
            self.release_later(vm);
        }
    }

    /// Takes the roots of a VM that have waited for its streams, once these are over.
    pub(crate) fn take_kept_roots(&mut self, vm: VmId) -> Vec<ContextId> {
        self.table.get_mut(vm).map_or_else(Vec::new, |instance| instance.take_kept_roots())
    }

    /// Returns a plugin whose root in a VM has not ended, and whether it has been asked to; those that have not come first.
    pub(crate) fn root_left(&self, vm: VmId) -> Option<(PluginId, bool)> {
        let left = self.plugins.of(vm).filter(|(_, loaded)| !loaded.has_ended());
        left.map(|(plugin, loaded)| (plugin, loaded.is_shut_down())).min_by_key(|(_, asked)| *asked)
    }

    /// Says whether nothing new comes to a VM, and its streams are over.
    pub(crate) fn is_over(&self, vm: VmId) -> bool {
        self.table.get(vm).is_some_and(|instance| instance.is_over())
    }

    /// Retires a VM that is over: it waits for answers, or for its roots to end.
    pub(crate) fn retire(&mut self, vm: VmId) {
        if let Some(instance) = self.table.known_mut(vm) {
            instance.retire();
        }
    }
}
