//! The VMs of a worker and the plugins in them.

mod health;
mod per_stream;
mod places;
mod ready;
mod rests;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::background::Account;
use crate::id::{ConnectionId, PluginId, StreamId, VmId};
use crate::spec::{LoadError, PluginSpec, Resting};
pub use health::{Health, LiveVms, PluginState};
use per_stream::ByStream;
use portcullis_core::{
    ContextId, ContextMap, FailurePolicy, ForeignFunctions, Host, LogLevel, Plugin, SandboxKey, Shared, StartError, Vm,
    Wake,
};
use ready::Ready;
use table::Vms;

/// All VMs of a worker, one for each sandbox, and all plugins.
pub(crate) struct Sandboxes {
    host: Box<dyn Fn() -> Box<dyn Host>>,
    pub(crate) shared: Shared,
    pub(crate) wake: Option<Wake>,
    pub(crate) foreign: ForeignFunctions,
    pub(crate) vms: Vms,
    pub(crate) plugins: Vec<Loaded>,
    ready: Ready,
    told_of_stray: bool,
    /// The health of a plugin has changed.
    changed: bool,
}

/// One VM.
pub(crate) struct Sandbox {
    key: SandboxKey,
    spec: Arc<PluginSpec>,
    pub(crate) vm: Vm,
    /// Which stream and plugin of it a context belongs to.
    pub(crate) contexts: ContextMap<(StreamId, usize)>,
    /// The same for TCP streams.
    pub(crate) connections: ContextMap<(ConnectionId, usize)>,
    /// Roots that may be deleted when no stream is left.
    pub(crate) ended_roots: Vec<ContextId>,
    /// The plugin whose VM it is for one stream.
    of: Option<PluginId>,
    /// The client's connection of that stream; [`UNKNOWN`] if it has no number.
    connection: u64,
    /// Its streams are over, and it waits for these.
    lingers: bool,
    /// Nothing new comes to it: a newer VM has taken its place, or it is of one stream. It goes with its last stream.
    replaced: bool,
    /// It runs the code that it is meant for, or cannot.
    settled: bool,
    /// Its plugins do not start on what they have been compiled to.
    stays: bool,
    /// When it failed, or last failed to start again.
    failed_at: Option<Duration>,
    /// When it was started.
    started_at: Duration,
    /// How long it rests before it is started again.
    rest: Duration,
}

/// One plugin of a worker.
pub(crate) struct Loaded {
    pub(crate) plugin: Arc<Plugin>,
    /// None if each stream has one, and for what has gone with its VM.
    pub(crate) vm: Option<VmId>,
    pub(crate) root: ContextId,
    pub(crate) next_tick: Option<Duration>,
    /// Its root has been deleted.
    pub(crate) ended: bool,
    /// It is what was left behind in an old VM, for the streams there.
    retired: bool,
    /// Its root has been asked to end.
    pub(crate) asked: bool,
    /// What it was loaded from, if each stream has a VM of its own; it has none itself then.
    by_stream: Option<ByStream>,
    /// Streams come to it: it is in a chain.
    serves: bool,
    /// When the host last logged something of it in its own name, at most once a second, and how often it did not since.
    told: Option<(Duration, u64)>,
    /// Time that it has had for calls that no stream waits for.
    pub(crate) account: Account,
}

/// A VM that has taken the place of another, and what the plugins have left there.
type Successor = (VmId, Vec<Loaded>);

/// The [`connection_id`](portcullis_core::StreamInfo::connection_id) of a stream whose connection is not known: nothing is beside it.
const UNKNOWN: u64 = 0;

impl Sandboxes {
    pub(crate) fn new(host: Box<dyn Fn() -> Box<dyn Host>>) -> Self {
        Self {
            host,
            shared: Shared::default(),
            wake: None,
            foreign: ForeignFunctions::default(),
            vms: Vms::default(),
            plugins: Vec::new(),
            ready: Ready::default(),
            told_of_stray: false,
            changed: false,
        }
    }

    /// The index of a plugin: started, or the same one that runs already.
    pub(crate) fn load(&mut self, spec: &PluginSpec) -> Result<PluginId, LoadError> {
        if let Some(snapshot) = &spec.snapshot {
            return Ok(self.load_by_stream(spec, snapshot));
        }
        let key = spec.sandbox();
        let existing = self.working(key, spec)?;
        if let Some(vm) = existing {
            let same = |loaded: &Loaded| loaded.vm == Some(vm) && !loaded.asked && *loaded.plugin == spec.plugin;
            if let Some(index) = self.plugins.iter().position(same) {
                return Ok(PluginId::at(index));
            }
        }
        let vm = match existing {
            Some(vm) => vm,
            None => {
                let number = self.vms.number();
                let (vm, settled) = self.start(number, spec, false)?;
                self.vms.insert(number, Sandbox { settled, ..Sandbox::new(key, Arc::new(spec.clone()), vm) });
                number
            }
        };
        let plugin = Arc::new(spec.plugin.for_worker());
        let Some(sandbox) = self.vms.get_mut(vm) else { return Ok(PluginId::at(0)) };
        let root = match sandbox.vm.add_plugin(Arc::clone(&plugin)) {
            Ok(root) => root,
            Err(error) => {
                if existing.is_none() {
                    self.vms.remove(vm);
                }
                return Err(error.into());
            }
        };
        self.note_change();
        self.plugins.push(Loaded {
            plugin,
            vm: Some(vm),
            root,
            next_tick: None,
            ended: false,
            retired: false,
            asked: false,
            serves: false,
            by_stream: None,
            told: None,
            account: Account::default(),
        });
        Ok(PluginId::at(self.plugins.len() - 1))
    }

    /// The VM of a sandbox, if there is one. One that has failed is replaced when it has rested, with all its plugins.
    fn working(&mut self, key: SandboxKey, spec: &PluginSpec) -> Result<Option<VmId>, LoadError> {
        let same = |vm: &Sandbox| vm.key == key && vm.spec.partition == spec.partition && !vm.replaced;
        // At most one of them works: another one is started only where none does.
        let works = |(_, vm): &(VmId, &Sandbox)| vm.vm.failure().is_none();
        let of_sandbox = || self.vms.iter().filter(|(_, vm)| same(vm));
        let Some((vm, sandbox)) = of_sandbox().find(works).or_else(|| of_sandbox().next()) else { return Ok(None) };
        let Some(reason) = sandbox.vm.failure().map(str::to_owned) else { return Ok(Some(vm)) };
        if self.is_shut_down(vm) {
            return Ok(None);
        }
        let (during, plugin) = sandbox.vm.failed_in().unwrap_or_default();
        let (plugin, failed_at) = (plugin.unwrap_or_default().to_owned(), sandbox.failed_at);
        if let Some(rest) = self.rests(vm) {
            let now = self.now(vm);
            let ago = failed_at.map_or(Duration::ZERO, |at| now.saturating_sub(at));
            return Err(LoadError::Resting(Box::new(Resting { plugin, during, reason, ago, rest })));
        }
        Ok(self.succeed(vm)?.map(|(new, _)| new))
    }

    /// The VMs that others have taken the place of.
    pub(crate) fn replaced(&self) -> Vec<VmId> {
        self.vms.iter().filter(|(_, sandbox)| sandbox.replaced).map(|(vm, _)| vm).collect()
    }

    /// The VM of a plugin now; none if the plugin does not exist in this worker.
    pub(crate) fn vm_of(&self, plugin: PluginId) -> Option<VmId> {
        self.plugins.get(plugin.index()).and_then(|loaded| loaded.vm)
    }

    /// Starts the VM of a plugin again if it has failed, the policy of a plugin in it says so, and it has rested; says which VM
    /// that was, and which took its place.
    pub(crate) fn revive(&mut self, plugin: PluginId) -> Option<(VmId, VmId)> {
        let old = self.plugins.get(plugin.index())?.vm?;
        self.vms.get(old)?.vm.failure()?;
        if !self.reloads(old) || self.is_shut_down(old) || self.rests(old).is_some() {
            return None;
        }
        // Where it does not start again, streams go on meeting the failed one.
        let succeeded = self.succeed(old);
        self.tell_revival(plugin, succeeded.as_ref().map(drop).map_err(ToString::to_string));
        let (new, _) = succeeded.ok()??;
        Some((old, new))
    }

    /// Whether a VM that has failed is started again: all its plugins are, if one of them is to be.
    fn reloads(&self, vm: VmId) -> bool {
        let mut members = self.plugins.iter().filter(|loaded| loaded.vm == Some(vm) && !loaded.retired);
        members.any(|loaded| loaded.plugin.failure_policy == FailurePolicy::Reload)
    }

    /// Whether a plugin of a VM has been asked to end. Nothing begins there that would not be asked to.
    fn is_shut_down(&self, vm: VmId) -> bool {
        self.plugins.iter().any(|loaded| loaded.vm == Some(vm) && loaded.asked)
    }

    /// For how long a VM that has failed still rests before another one may be started in its place. If it does not, the
    /// next rest begins.
    fn rests(&mut self, vm: VmId) -> Option<Duration> {
        let now = self.now(vm);
        let sandbox = self.vms.get_mut(vm)?;
        let rested = sandbox.failed_at.map_or(Duration::ZERO, |at| now.saturating_sub(at));
        if rested < sandbox.rest {
            return Some(sandbox.rest.saturating_sub(rested));
        }
        sandbox.failed_at = Some(now);
        sandbox.rest = sandbox.rest.saturating_mul(2).min(sandbox.spec.reload.max);
        self.note_change();
        None
    }

    /// The VMs whose plugins have been compiled since they were started.
    pub(crate) fn reached(&self) -> Vec<VmId> {
        let reached = |sandbox: &Sandbox| {
            let waits = !sandbox.settled && !sandbox.replaced && sandbox.vm.failure().is_none();
            waits && sandbox.spec.tier.as_ref().is_some_and(|tier| tier.compiled().is_some())
        };
        let vms = self.vms.iter().filter(|(vm, sandbox)| reached(sandbox) && !self.is_shut_down(*vm));
        vms.map(|(vm, _)| vm).collect()
    }

    /// Starts a VM of the compiled module in the place of one; says which. It is tried once. The old roots go on, for the
    /// streams that are there.
    pub(crate) fn move_on(&mut self, old: VmId) -> Option<VmId> {
        self.vms.get_mut(old)?.settled = true;
        match self.succeed(old) {
            Ok(successor) => {
                let (new, left) = successor?;
                self.plugins.extend(left);
                Some(new)
            }
            Err(error) => {
                let sandbox = self.vms.get_mut(old)?;
                sandbox.stays = true;
                let engine = sandbox.spec.module_now().engine();
                let message = format!("its VM cannot move to {engine}, and stays: {error}");
                sandbox.vm.state().note(LogLevel::Error, &message);
                None
            }
        }
    }

    /// A root of a VM that has not ended, and whether it has been asked to; those that have not come first.
    pub(crate) fn root_left(&self, vm: VmId) -> Option<(PluginId, bool)> {
        let left = self.plugins.iter().enumerate().filter(|(_, loaded)| loaded.vm == Some(vm) && !loaded.ended);
        left.map(|(index, loaded)| (PluginId::at(index), loaded.asked)).min_by_key(|(_, asked)| *asked)
    }

    /// Starts another VM in the place of one, with all its plugins.
    fn succeed(&mut self, old: VmId) -> Result<Option<Successor>, StartError> {
        let Some(sandbox) = self.vms.get(old) else { return Ok(None) };
        let (key, spec, rest, stays) = (sandbox.key, Arc::clone(&sandbox.spec), sandbox.rest, sandbox.stays);
        let new = self.vms.number();
        let (mut vm, settled) = self.start(new, &spec, stays)?;
        let is_member = |loaded: &&mut Loaded| loaded.vm == Some(old) && !loaded.retired;
        let mut roots = Vec::new();
        for member in self.plugins.iter_mut().filter(is_member) {
            roots.push(vm.add_plugin(Arc::clone(&member.plugin))?);
        }
        self.vms.insert(new, Sandbox { rest, settled, stays, ..Sandbox::new(key, spec, vm) });
        let mut left = Vec::new();
        for (member, root) in self.plugins.iter_mut().filter(is_member).zip(roots) {
            let next_tick = member.next_tick.take();
            left.push(Loaded {
                plugin: Arc::clone(&member.plugin),
                vm: Some(old),
                root: member.root,
                next_tick,
                ended: member.ended,
                retired: true,
                asked: member.asked,
                serves: member.serves,
                by_stream: None,
                told: member.told,
                account: member.account,
            });
            (member.vm, member.root) = (Some(new), root);
        }
        if let Some(sandbox) = self.vms.get_mut(old) {
            sandbox.replaced = true;
        }
        self.note_change();
        Ok(Some((new, left)))
    }

    /// Notes that a VM has failed; says whether that is news. Its ticks end.
    pub(crate) fn failed(&mut self, vm: VmId) -> bool {
        let now = self.now(vm);
        let Some(sandbox) = self.vms.get_mut(vm).filter(|sandbox| sandbox.failed_at.is_none()) else { return false };
        sandbox.failed_at = Some(now);
        if now.saturating_sub(sandbox.started_at) >= sandbox.spec.reload.max {
            sandbox.rest = sandbox.spec.reload.base;
        }
        for plugin in self.plugins.iter_mut().filter(|plugin| plugin.vm == Some(vm)) {
            plugin.next_tick = None;
        }
        // A VM of one stream takes its failure with it, and there may be many.
        match self.vms.get(vm).and_then(|sandbox| sandbox.of) {
            Some(plugin) => self.note_failure_of_stream(plugin, vm, now),
            None => {
                self.note_change();
                self.tell_consequences(vm);
            }
        }
        true
    }

    /// Whether nothing new comes to a VM, and its streams are over.
    pub(crate) fn is_over(&self, vm: VmId) -> bool {
        self.vms.get(vm).is_some_and(|sandbox| sandbox.replaced && !sandbox.has_streams())
    }

    /// Frees a VM. What plugins have left there goes with it.
    pub(crate) fn free(&mut self, vm: VmId) {
        for left in self.plugins.iter_mut().filter(|loaded| loaded.retired && loaded.vm == Some(vm)) {
            (left.vm, left.ended, left.next_tick) = (None, true, None);
        }
        let Some(sandbox) = self.vms.remove(vm) else { return };
        let plugin = sandbox.of.and_then(|plugin| self.plugins.get_mut(plugin.index()));
        if let Some(by) = plugin.and_then(|loaded| loaded.by_stream.as_mut()) {
            by.freed(vm, &sandbox);
        }
    }

    /// Takes the context of an HTTP stream out of a VM.
    pub(crate) fn forget_stream(&mut self, vm: VmId, context: ContextId) {
        if let Some(sandbox) = self.vms.get_mut(vm) {
            sandbox.contexts.remove(&context);
            self.note_over(vm);
        }
    }

    /// Takes the context of a TCP stream out of a VM.
    pub(crate) fn forget_connection(&mut self, vm: VmId, context: ContextId) {
        if let Some(sandbox) = self.vms.get_mut(vm) {
            sandbox.connections.remove(&context);
            self.note_over(vm);
        }
    }

    /// Returns the VMs that have items of queues to tell, each with its root that is told next. Costs what these are, not what all VMs are.
    pub(crate) fn to_tell(&mut self) -> Vec<(VmId, PluginId)> {
        let mut told = Vec::new();
        for vm in self.ready.take() {
            let Some(sandbox) = self.vms.get_mut(vm).filter(|sandbox| sandbox.vm.failure().is_none()) else { continue };
            while let Some(root) = sandbox.vm.told_of_queue() {
                if let Some(index) = index_of(&self.plugins, (vm, sandbox), root) {
                    told.push((vm, index));
                    break;
                }
                // A plugin that did not start leaves queues behind, and others would wait behind their messages for ever.
                sandbox.vm.skip_queue();
            }
        }
        self.ready.put(told.iter().map(|(vm, _)| *vm));
        told
    }

    /// The plugin with this root.
    pub(crate) fn by_root(&mut self, vm: VmId, root: ContextId) -> Option<&mut Loaded> {
        self.plugins.iter_mut().find(|plugin| plugin.vm == Some(vm) && plugin.root == root)
    }

    /// Which plugin has this root; of a VM for one stream, whose that is.
    pub(crate) fn index_of(&self, vm: VmId, root: ContextId) -> Option<PluginId> {
        index_of(&self.plugins, (vm, self.vms.get(vm)?), root)
    }

    /// The time of the host's monotonic clock.
    pub(crate) fn now(&mut self, vm: VmId) -> Duration {
        let sandbox = self.vms.get_mut(vm);
        sandbox.map_or(Duration::ZERO, |sandbox| clock(&mut sandbox.vm))
    }

    /// Starts the VM of a number, of the first module if it `stays` there; says whether nothing better is to be expected.
    fn start(&self, number: VmId, spec: &PluginSpec, stays: bool) -> Result<(Vm, bool), StartError> {
        let wake = self.ready.wake(number, self.wake.clone());
        let config = spec.vm_config(self.shared.clone(), self.foreign.clone(), Some(wake));
        let settled = stays || spec.tier.as_ref().is_none_or(|tier| tier.compiled().is_some());
        let module = if stays { &spec.module } else { spec.module_now() };
        Ok((Vm::start(module.compiled(), config, (self.host)())?, settled))
    }
}

impl Sandbox {
    /// Whether a stream has a context here.
    pub(crate) fn has_streams(&self) -> bool {
        !self.contexts.is_empty() || !self.connections.is_empty()
    }

    fn new(key: SandboxKey, spec: Arc<PluginSpec>, mut vm: Vm) -> Self {
        Self {
            key,
            started_at: clock(&mut vm),
            vm,
            contexts: ContextMap::default(),
            connections: ContextMap::default(),
            ended_roots: Vec::new(),
            of: None,
            connection: UNKNOWN,
            lingers: false,
            replaced: false,
            settled: true,
            stays: false,
            failed_at: None,
            rest: spec.reload.base,
            spec,
        }
    }
}

/// Which plugin has this root of a VM; of a VM for one stream, whose that is.
fn index_of(plugins: &[Loaded], (vm, sandbox): (VmId, &Sandbox), root: ContextId) -> Option<PluginId> {
    let position = || plugins.iter().position(|plugin| plugin.vm == Some(vm) && plugin.root == root);
    sandbox.of.or_else(|| position().map(PluginId::at))
}

/// The time of a VM's monotonic clock.
fn clock(vm: &mut Vm) -> Duration {
    Duration::from_nanos(vm.state().host().monotonic_clock())
}
