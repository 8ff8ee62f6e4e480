//! How VMs are started, and others take their places.

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::abi::LogLevel;
use portcullis_core::engine::StartError;
use portcullis_core::model::FailurePolicy;
use portcullis_core::sandbox::SandboxKey;
use portcullis_core::vm::Vm;

use super::Vms;
use super::instance::{TierUp, VmInstance};
use super::per_stream::PerStream;
use super::plugins::LoadedPlugin;
use crate::id::{PluginId, VmId};
use crate::spec::{Backoff, LoadError, PluginSpec, Resting, Snapshot};

/// A VM that has taken the place of another, and what the plugins have left there.
type Successor = (VmId, Vec<LoadedPlugin>);

impl Vms {
    /// Starts a plugin, or finds the same one that runs already.
    ///
    /// # Errors
    /// The plugin did not start, or its VM has failed and still rests.
    pub(crate) fn load(&mut self, spec: &PluginSpec) -> Result<PluginId, LoadError> {
        if let Some(snapshot) = &spec.snapshot {
            self.threads.check(snapshot.module_now())?;
            return Ok(self.load_per_stream(spec, snapshot));
        }
        let key = spec.sandbox();
        let existing = self.working(key, spec)?;
        if let Some(vm) = existing {
            let same = |loaded: &LoadedPlugin| !loaded.is_shut_down() && **loaded.plugin() == spec.plugin;
            let found = self.plugins.of(vm).find(|(_, loaded)| same(loaded)).map(|(plugin, _)| plugin);
            if let Some(plugin) = found {
                return Ok(plugin);
            }
        }
        let plugin = Arc::new(spec.plugin.for_worker());
        let added = existing.and_then(|vm| Some((vm, self.get_mut(vm)?.add_plugin(Arc::clone(&plugin)))));
        let (vm, root) = match added {
            Some((vm, added)) => {
                self.collect(vm);
                (vm, added?)
            }
            None => {
                let vm = self.table.next_id();
                let mut instance = self.start(vm, key, &Arc::new(spec.clone()), TierUp::Expected, None)?;
                let root = instance.vm_mut().add_plugin(Arc::clone(&plugin))?;
                self.table.insert(vm, instance);
                self.watch(vm);
                self.collect(vm);
                (vm, root)
            }
        };
        self.note_change();
        Ok(self.plugins.insert(LoadedPlugin::new(plugin, vm, root)))
    }

    /// Finds a plugin that is there, whether its VM works or has failed.
    pub(crate) fn find(&self, spec: &PluginSpec) -> Option<PluginId> {
        let key = spec.sandbox();
        let same =
            |loaded: &LoadedPlugin| !loaded.is_shut_down() && !loaded.is_left() && **loaded.plugin() == spec.plugin;
        let vms = self.table.iter().filter(|(_, vm)| {
            spec.snapshot.is_none() && vm.key() == key && vm.spec().isolated == spec.isolated && vm.is_active()
        });
        let found =
            vms.filter_map(|(vm, _)| self.plugins.of(vm).find(|(_, loaded)| same(loaded)).map(|(plugin, _)| plugin));
        // One in a VM that works, if there is one.
        found.min_by_key(|plugin| self.vm_of(*plugin).is_none_or(|vm| self.has_failed(vm)))
    }

    /// Sets how long the VM of a plugin rests.
    pub(crate) fn set_backoff(&mut self, plugin: PluginId, backoff: Backoff) {
        let Some(loaded) = self.plugins.get_mut(plugin) else { return };
        if let Some(source) = loaded.source_mut() {
            return source.set_reload(backoff);
        }
        let Some(vm) = loaded.vm() else { return };
        let Some(instance) = self.table.known_mut(vm) else { return };
        if instance.set_reload(backoff) {
            self.note_change();
            if self.table.known(vm).is_some_and(VmInstance::is_active) {
                self.watch(vm);
            }
        }
    }

    /// Returns the VMs that others have taken the place of.
    pub(crate) fn drained(&self) -> Vec<VmId> {
        self.table.iter().filter(|(_, instance)| !instance.is_active()).map(|(vm, _)| vm).collect()
    }

    /// Starts the VM of a plugin again if it has failed, the policy of a plugin in it says so, and it has rested; returns the one whose
    /// place was taken.
    pub(crate) fn revive(&mut self, plugin: PluginId) -> Option<VmId> {
        let old = self.vm_of(plugin)?;
        if !self.table.known(old)?.has_failed()
            || !self.reloads(old)
            || self.is_shut_down(old)
            || self.rests(old).is_some()
        {
            return None;
        }
        // Where it does not start again, streams go on meeting the failed one.
        let replaced = self.replace(old);
        self.tell_revival(plugin, replaced.as_ref().map(drop).map_err(ToString::to_string));
        let Some((new, _)) = replaced.ok().flatten() else {
            self.watch(old);
            return None;
        };
        self.collect(new);
        Some(old)
    }

    /// Returns the VMs whose plugins have been compiled since they were started.
    pub(crate) fn awaiting_tier_up(&self) -> Vec<VmId> {
        let vms = self.table.iter().filter(|(vm, instance)| instance.awaits_tier_up() && !self.is_shut_down(*vm));
        vms.map(|(vm, _)| vm).collect()
    }

    /// Starts a VM of the compiled module in the place of one; says whether it runs. It is tried once. The old roots go on, for the
    /// streams that are there, and tick: nothing bounds how long a stream may wait there for its plugin to continue it in a tick.
    pub(crate) fn tier_up(&mut self, old: VmId) -> bool {
        let replaced = self.replace(old);
        let Some(instance) = self.table.known_mut(old) else { return false };
        match replaced {
            Ok(successor) => {
                instance.set_tier_up(TierUp::Done);
                let Some((new, left)) = successor else { return false };
                for left in left {
                    self.plugins.insert(left);
                }
                self.collect(new);
                true
            }
            Err(error) => {
                instance.set_tier_up(TierUp::Refused);
                let engine = instance.spec().module_now().engine();
                let message = format!("its VM cannot move to {engine}, and stays: {error}");
                instance.vm_mut().state().note(LogLevel::Error, &message);
                false
            }
        }
    }

    /// Says whether a VM that has failed is started again: all its plugins are, if one of them is to be.
    pub(super) fn reloads(&self, vm: VmId) -> bool {
        let mut members = self.plugins.of(vm).filter(|(_, loaded)| !loaded.is_left());
        members.any(|(_, loaded)| loaded.policy() == FailurePolicy::Reload)
    }

    /// Finds or adds a plugin that has a VM for each stream.
    fn load_per_stream(&mut self, spec: &PluginSpec, snapshot: &Arc<Snapshot>) -> PluginId {
        let same =
            |loaded: &LoadedPlugin| !loaded.is_left() && loaded.source().is_some_and(|source| source.is_of(snapshot));
        if let Some((plugin, _)) = self.plugins.iter().find(|(_, loaded)| same(loaded)) {
            return plugin;
        }
        self.note_change();
        self.has_per_stream = true;
        let (plugin, source) = (Arc::new(spec.plugin.clone()), PerStream::new(spec, snapshot));
        self.plugins.insert(LoadedPlugin::per_stream(plugin, snapshot.root(), source))
    }

    /// Returns the VM of a sandbox, if there is one. One that has failed is replaced when it has rested, with all its plugins.
    fn working(&mut self, key: SandboxKey, spec: &PluginSpec) -> Result<Option<VmId>, LoadError> {
        let same = |vm: &VmInstance| vm.key() == key && vm.spec().isolated == spec.isolated && vm.is_active();
        // At most one of them works: another one is started only where none does.
        let works = |(_, vm): &(VmId, &VmInstance)| !vm.has_failed();
        let of_sandbox = || self.table.iter().filter(|(_, vm)| same(vm));
        let Some((vm, instance)) = of_sandbox().find(works).or_else(|| of_sandbox().next()) else {
            // The first plugin of the sandbox.
            return Ok(None);
        };
        let Some(reason) = instance.vm().failure().map(str::to_owned) else { return Ok(Some(vm)) };
        if self.is_shut_down(vm) {
            return Ok(None);
        }
        let place = instance.vm().failed_in();
        let during = place.map_or("", |place| place.callback);
        let plugin = place.and_then(|place| place.plugin).unwrap_or_default().to_owned();
        let failed_at = instance.restart().failed_at();
        if let Some(rest) = self.rests(vm) {
            let now = self.now(vm);
            let ago = failed_at.map_or(Duration::ZERO, |at| now.saturating_sub(at));
            return Err(LoadError::Resting(Box::new(Resting { plugin, during, reason, ago, rest })));
        }
        let Some((new, _)) = self.replace(vm)? else { return Ok(None) };
        self.collect(new);
        Ok(Some(new))
    }

    /// Says whether a plugin of a VM has been asked to end. Nothing begins there that would not be asked to.
    pub(super) fn is_shut_down(&self, vm: VmId) -> bool {
        self.plugins.of(vm).any(|(_, loaded)| loaded.is_shut_down() && !loaded.is_left())
    }

    /// Returns for how long a VM that has failed still rests before another one may be started in its place. If it does not, the
    /// next rest begins.
    fn rests(&mut self, vm: VmId) -> Option<Duration> {
        let instance = self.table.known_mut(vm)?;
        let (now, backoff) = (instance.now(), instance.spec().reload);
        let rest = instance.restart_mut().take_turn(now, backoff);
        if rest.is_none() {
            self.note_change();
        }
        rest
    }

    /// Starts another VM in the place of one, with all its plugins. Items of queues that the old one has not been told of are told to the
    /// new one, which has registered them as well.
    pub(super) fn replace(&mut self, old: VmId) -> Result<Option<Successor>, StartError> {
        let new = self.table.next_id();
        let Some(replaced) = self.table.known(old) else { return Ok(None) };
        let (key, spec, tier_up) = (replaced.key(), Arc::clone(replaced.spec()), replaced.tier_up());
        let mut instance = self.start(new, key, &spec, tier_up, Some(replaced))?;
        let mut roots = Vec::new();
        for (_, member) in self.plugins.of(old).filter(|(_, member)| !member.is_left()) {
            roots.push(instance.vm_mut().add_plugin(Arc::clone(member.plugin()))?);
        }
        self.table.insert(new, instance);
        self.watch(new);
        let members = self.plugins.of_mut(old).filter(|member| !member.is_left());
        let left = members.zip(roots).map(|(member, root)| member.move_to(new, root)).collect();
        if let Some(instance) = self.table.known_mut(old) {
            instance.drain();
            self.upkeep.set(old, None);
        }
        self.note_change();
        Ok(Some((new, left)))
    }

    /// Starts the VM of an id, in the place of one that may be: of the first module if the plugins did not start on the one that they are meant for.
    fn start(
        &self,
        vm: VmId,
        key: SandboxKey,
        spec: &Arc<PluginSpec>,
        tier_up: TierUp,
        old: Option<&VmInstance>,
    ) -> Result<VmInstance, StartError> {
        let wake = self.ready.wake(vm, self.wake.clone());
        let config = spec.vm_config(self.shared.clone(), self.foreign.clone(), Some(wake));
        let is_compiled = spec.tier.as_ref().is_none_or(|tier| tier.compiled().is_some());
        let (module, tier_up) = match tier_up {
            TierUp::Refused => (&spec.module, TierUp::Refused),
            _ if is_compiled => (spec.module_now(), TierUp::Done),
            _ => (spec.module_now(), TierUp::Expected),
        };
        self.threads.check(module)?;
        let started = Vm::start(module.compiled(), config, self.new_host())?;
        Ok(VmInstance::new(key, Arc::clone(spec), started, tier_up, old, self.part_of_age(spec)))
    }

    /// Draws the part by which a VM becomes less old than the bound of its age. Without randomness there is none.
    fn part_of_age(&self, spec: &PluginSpec) -> u16 {
        let mut part = [0; 2];
        if spec.vm.recycle.age.is_some() && self.new_host().random(&mut part).is_err() {
            part = [0; 2];
        }
        u16::from_le_bytes(part)
    }

    /// Takes what the guests of a VM asked for while they were started, and notes if it has failed.
    pub(super) fn collect(&mut self, vm: VmId) {
        self.call(vm, |_| Ok(()));
        if self.table.known(vm).is_some_and(VmInstance::has_failed) {
            self.note_failure(vm);
        }
    }
}
