//! The VMs of a worker and the plugins in them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{
    ContextId, ContextMap, FailurePolicy, ForeignFunctions, GrpcId, Host, LogLevel, LogRecord, Plugin, SandboxKey,
    Shared, StartError, Vm, Wake,
};
use slab::Slab;

use crate::chain::{PluginSpec, Snapshot};
use crate::effect::{CalloutId, StreamId};
use crate::tcp::ConnectionId;

/// All VMs of a worker, one for each sandbox, and all plugins.
pub(crate) struct Sandboxes {
    host: Box<dyn Fn() -> Box<dyn Host>>,
    pub(crate) shared: Shared,
    pub(crate) wake: Option<Wake>,
    pub(crate) foreign: ForeignFunctions,
    pub(crate) vms: Slab<Sandbox>,
    pub(crate) plugins: Vec<Loaded>,
    /// How many VMs wait for callouts and have no stream any more.
    lingering: usize,
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
    /// Its gRPC callouts.
    pub(crate) grpc: HashMap<GrpcId, CalloutId>,
    /// HTTP callouts and lookups that have not ended.
    pub(crate) waits: usize,
    /// Its streams are over, and it waits for these.
    lingers: bool,
    /// Nothing new comes to it: a newer VM has taken its place, or it is of one stream. It goes with its last stream.
    replaced: bool,
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
    pub(crate) vm: usize,
    pub(crate) root: ContextId,
    pub(crate) next_tick: Option<Duration>,
    /// Its root has been deleted.
    pub(crate) ended: bool,
    /// What it was loaded from, if each stream has a VM of its own; it has none itself then.
    by_stream: Option<ByStream>,
}

/// Where the VMs of a plugin come from that has one for each stream.
struct ByStream {
    key: SandboxKey,
    spec: Arc<PluginSpec>,
    snapshot: Arc<Snapshot>,
}

/// The VM of a plugin that has one for each stream, before there is a stream.
pub(crate) const NOWHERE: usize = usize::MAX;

/// How many VMs of streams that are over may wait for their callouts. When there are more, callouts are given up.
const LINGERING: usize = 256;

impl Sandboxes {
    pub(crate) fn new(host: Box<dyn Fn() -> Box<dyn Host>>) -> Self {
        Self {
            host,
            shared: Shared::default(),
            wake: None,
            foreign: ForeignFunctions::default(),
            vms: Slab::new(),
            plugins: Vec::new(),
            lingering: 0,
        }
    }

    /// The index of a plugin: started, or the same one that runs already.
    pub(crate) fn load(&mut self, spec: &PluginSpec) -> Result<usize, StartError> {
        if let Some(snapshot) = &spec.snapshot {
            return Ok(self.load_by_stream(spec, snapshot));
        }
        let key = spec.sandbox();
        let existing = self
            .vms
            .iter()
            .find(|(_, vm)| vm.key == key && vm.spec.partition == spec.partition && !vm.replaced)
            .map(|(index, _)| index);
        if let Some(vm) = existing {
            let same = |loaded: &Loaded| loaded.vm == vm && *loaded.plugin == spec.plugin;
            if let Some(index) = self.plugins.iter().position(same) {
                return Ok(index);
            }
        }
        let vm = match existing {
            Some(vm) => vm,
            None => {
                let vm = self.start(spec)?;
                self.vms.insert(Sandbox::new(key, Arc::new(spec.clone()), vm))
            }
        };
        let plugin = Arc::new(spec.plugin.clone());
        let Some(sandbox) = self.vms.get_mut(vm) else { return Ok(0) };
        let root = match sandbox.vm.add_plugin(Arc::clone(&plugin)) {
            Ok(root) => root,
            Err(error) => {
                if existing.is_none() {
                    self.vms.remove(vm);
                }
                return Err(error);
            }
        };
        self.plugins.push(Loaded { plugin, vm, root, next_tick: None, ended: false, by_stream: None });
        Ok(self.plugins.len() - 1)
    }

    fn load_by_stream(&mut self, spec: &PluginSpec, snapshot: &Arc<Snapshot>) -> usize {
        let same = |loaded: &Loaded| loaded.by_stream.as_ref().is_some_and(|by| Arc::ptr_eq(&by.snapshot, snapshot));
        if let Some(index) = self.plugins.iter().position(same) {
            return index;
        }
        self.plugins.push(Loaded {
            plugin: Arc::new(spec.plugin.clone()),
            vm: NOWHERE,
            root: snapshot.root(),
            next_tick: None,
            ended: true,
            by_stream: Some(ByStream {
                key: spec.sandbox(),
                spec: Arc::new(spec.clone()),
                snapshot: Arc::clone(snapshot),
            }),
        });
        self.plugins.len() - 1
    }

    /// Where the root of a plugin is for a stream whose VM is `vm`: made now, if each stream has one and this one has
    /// none yet.
    pub(crate) fn root_for(&mut self, plugin: usize, vm: usize) -> Option<(usize, ContextId)> {
        let loaded = self.plugins.get(plugin)?;
        let Some(ByStream { key, spec, snapshot }) = &loaded.by_stream else {
            return (loaded.vm == vm).then_some((vm, loaded.root));
        };
        if vm != NOWHERE {
            return Some((vm, loaded.root));
        }
        let made = snapshot.resume((self.host)());
        let made = made.map_err(|error| {
            let message = format!("no VM can be made for a stream: {error}");
            let (level, plugin) = (LogLevel::Error, Some(&*loaded.plugin));
            let (message, context) = (message.as_bytes(), loaded.root);
            (self.host)().log(&LogRecord { level, message, plugin, context, from_host: true });
        });
        let sandbox = Sandbox::new(*key, Arc::clone(spec), made.ok()?);
        let root = loaded.root;
        Some((self.vms.insert(Sandbox { replaced: true, ..sandbox }), root))
    }

    /// Starts the VM of a plugin again if it has failed, its policy says so, and it has rested; says
    /// which VM that was, and which took its place.
    pub(crate) fn revive(&mut self, plugin: usize) -> Option<(usize, usize)> {
        let reloads = |loaded: &&Loaded| loaded.plugin.failure_policy == FailurePolicy::Reload;
        let old = self.plugins.get(plugin).filter(reloads)?.vm;
        self.vms.get(old)?.vm.failure()?;
        let now = self.now(old);
        let sandbox = self.vms.get_mut(old)?;
        if sandbox.failed_at.is_some_and(|at| now.saturating_sub(at) < sandbox.rest) {
            return None;
        }
        sandbox.failed_at = Some(now);
        sandbox.rest = sandbox.rest.saturating_mul(2).min(sandbox.spec.reload.max);
        let (key, spec, rest) = (sandbox.key, Arc::clone(&sandbox.spec), sandbox.rest);
        // Why it does not start again is in the log; streams go on meeting the failed one.
        let mut vm = self.start(&spec).ok()?;
        let members: Vec<_> =
            self.plugins.iter().enumerate().filter(|(_, loaded)| loaded.vm == old).map(|(i, _)| i).collect();
        let mut roots = Vec::with_capacity(members.len());
        for member in &members {
            roots.push(vm.add_plugin(Arc::clone(&self.plugins.get(*member)?.plugin)).ok()?);
        }
        let new = self.vms.insert(Sandbox { rest, ..Sandbox::new(key, spec, vm) });
        for (member, root) in members.into_iter().zip(roots) {
            let loaded = self.plugins.get_mut(member)?;
            (loaded.vm, loaded.root, loaded.next_tick) = (new, root, None);
        }
        self.vms.get_mut(old)?.replaced = true;
        Some((old, new))
    }

    /// Notes that a VM has failed; says whether that is news. Its ticks end.
    pub(crate) fn failed(&mut self, vm: usize) -> bool {
        let now = self.now(vm);
        let Some(sandbox) = self.vms.get_mut(vm).filter(|sandbox| sandbox.failed_at.is_none()) else { return false };
        sandbox.failed_at = Some(now);
        if now.saturating_sub(sandbox.started_at) >= sandbox.spec.reload.max {
            sandbox.rest = sandbox.spec.reload.base;
        }
        for plugin in self.plugins.iter_mut().filter(|plugin| plugin.vm == vm) {
            plugin.next_tick = None;
        }
        true
    }

    /// Whether a VM can be freed: nothing new comes to it, its streams are over, and it waits for nothing, or too many
    /// do so that have no stream any more.
    pub(crate) fn is_over(&mut self, vm: usize) -> bool {
        let Some(sandbox) = self.vms.get_mut(vm) else { return false };
        if !sandbox.replaced || !sandbox.contexts.is_empty() || !sandbox.connections.is_empty() {
            return false;
        }
        if sandbox.waits == 0 {
            return true;
        }
        if !sandbox.lingers && self.lingering >= LINGERING {
            let message = format!("more than {LINGERING} streams are over whose callouts are not; these are given up");
            sandbox.vm.state().note(LogLevel::Warn, &message);
            return true;
        }
        if !std::mem::replace(&mut sandbox.lingers, true) {
            self.lingering += 1;
        }
        false
    }

    /// Frees a VM.
    pub(crate) fn free(&mut self, vm: usize) {
        if self.vms.try_remove(vm).is_some_and(|sandbox| sandbox.lingers) {
            self.lingering -= 1;
        }
    }

    /// The plugin with this root.
    pub(crate) fn by_root(&mut self, vm: usize, root: ContextId) -> Option<&mut Loaded> {
        self.plugins.iter_mut().find(|plugin| plugin.vm == vm && plugin.root == root)
    }

    /// The time of the host's monotonic clock.
    pub(crate) fn now(&mut self, vm: usize) -> Duration {
        let sandbox = self.vms.get_mut(vm);
        sandbox.map_or(Duration::ZERO, |sandbox| clock(&mut sandbox.vm))
    }

    fn start(&self, spec: &PluginSpec) -> Result<Vm, StartError> {
        let config = spec.vm_config(self.shared.clone(), self.foreign.clone(), self.wake.clone());
        Vm::start(spec.module.compiled(), config, (self.host)())
    }
}

impl Sandbox {
    fn new(key: SandboxKey, spec: Arc<PluginSpec>, mut vm: Vm) -> Self {
        Self {
            key,
            started_at: clock(&mut vm),
            vm,
            contexts: ContextMap::default(),
            connections: ContextMap::default(),
            grpc: HashMap::new(),
            waits: 0,
            lingers: false,
            replaced: false,
            failed_at: None,
            rest: spec.reload.base,
            spec,
        }
    }
}

/// The time of a VM's monotonic clock.
fn clock(vm: &mut Vm) -> Duration {
    Duration::from_nanos(vm.state().host().monotonic_clock())
}
