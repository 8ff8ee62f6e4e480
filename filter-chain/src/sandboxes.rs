//! The VMs of a worker and the plugins in them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{
    ContextId, FailurePolicy, ForeignFunctions, GrpcId, Host, Plugin, SandboxKey, Shared, StartError, Vm, VmConfig,
    Wake,
};
use slab::Slab;

use crate::chain::PluginSpec;
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
}

/// One VM.
pub(crate) struct Sandbox {
    key: SandboxKey,
    spec: PluginSpec,
    pub(crate) vm: Vm,
    /// Which stream and plugin of it a context belongs to.
    pub(crate) contexts: HashMap<ContextId, (StreamId, usize)>,
    /// The same for TCP streams.
    pub(crate) connections: HashMap<ContextId, (ConnectionId, usize)>,
    /// Its gRPC callouts.
    pub(crate) grpc: HashMap<GrpcId, CalloutId>,
    /// A newer VM has taken its place; it goes when its last stream does.
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
}

impl Sandboxes {
    pub(crate) fn new(host: Box<dyn Fn() -> Box<dyn Host>>) -> Self {
        Self {
            host,
            shared: Shared::default(),
            wake: None,
            foreign: ForeignFunctions::default(),
            vms: Slab::new(),
            plugins: Vec::new(),
        }
    }

    /// The index of a plugin: started, or the same one that runs already.
    pub(crate) fn load(&mut self, spec: &PluginSpec) -> Result<usize, StartError> {
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
                let mut vm = self.start(spec)?;
                let started_at = clock(&mut vm);
                self.vms.insert(Sandbox {
                    key,
                    spec: spec.clone(),
                    vm,
                    contexts: HashMap::new(),
                    connections: HashMap::new(),
                    grpc: HashMap::new(),
                    replaced: false,
                    failed_at: None,
                    started_at,
                    rest: spec.reload.base,
                })
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
        self.plugins.push(Loaded { plugin, vm, root, next_tick: None, ended: false });
        Ok(self.plugins.len() - 1)
    }

    /// Starts the VM of a plugin again if it has failed, its policy says so, and it has rested; says
    /// which VM took its place.
    pub(crate) fn revive(&mut self, plugin: usize) -> Option<usize> {
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
        let (key, spec, rest) = (sandbox.key, sandbox.spec.clone(), sandbox.rest);
        // Why it does not start again is in the log; streams go on meeting the failed one.
        let mut vm = self.start(&spec).ok()?;
        let members: Vec<_> =
            self.plugins.iter().enumerate().filter(|(_, loaded)| loaded.vm == old).map(|(i, _)| i).collect();
        let mut roots = Vec::with_capacity(members.len());
        for member in &members {
            roots.push(vm.add_plugin(Arc::clone(&self.plugins.get(*member)?.plugin)).ok()?);
        }
        let new = self.vms.insert(Sandbox {
            key,
            spec,
            vm,
            contexts: HashMap::new(),
            connections: HashMap::new(),
            grpc: HashMap::new(),
            replaced: false,
            failed_at: None,
            started_at: now,
            rest,
        });
        for (member, root) in members.into_iter().zip(roots) {
            let loaded = self.plugins.get_mut(member)?;
            (loaded.vm, loaded.root, loaded.next_tick) = (new, root, None);
        }
        self.vms.get_mut(old)?.replaced = true;
        self.drop_if_unused(old);
        Some(new)
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

    /// Frees a VM that was replaced and has no stream left.
    pub(crate) fn drop_if_unused(&mut self, vm: usize) {
        let unused = |sandbox: &Sandbox| sandbox.contexts.is_empty() && sandbox.connections.is_empty();
        if self.vms.get(vm).is_some_and(|sandbox| sandbox.replaced && unused(sandbox)) {
            self.vms.remove(vm);
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
        let config = VmConfig {
            abi: spec.module.abi(),
            configuration: spec.vm_configuration.clone(),
            environment: spec.environment.clone(),
            preopens: spec.preopens.clone(),
            capabilities: spec.plugin.capabilities,
            rules: spec.plugin.rules.clone(),
            exports: spec.module.exports(),
            limits: spec.limits.clone(),
            any_effective_context: spec.any_effective_context,
            sandbox: Some(spec.sandbox()),
            partition: spec.partition,
            vm_id: spec.plugin.vm_id.clone(),
            shared: self.shared.clone(),
            foreign: self.foreign.clone(),
            wake: self.wake.clone(),
        };
        Vm::start(spec.module.compiled(), config, (self.host)())
    }
}

/// The time of a VM's monotonic clock.
fn clock(vm: &mut Vm) -> Duration {
    Duration::from_nanos(vm.state().host().monotonic_clock())
}
