//! Plugins to be loaded, and their code.

mod chain;
mod error;
mod module;
mod snapshot;
mod tier;

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::model::Plugin;
use portcullis_core::resources::{ForeignFunctions, Shared, Wake};
use portcullis_core::sandbox::{SandboxKey, SandboxSpec, VmSpec};
use portcullis_core::vm::VmConfig;

pub use chain::Chain;
pub use error::{ChainError, LoadError, Resting};
pub use module::Module;
pub use snapshot::Snapshot;
pub use tier::Tier;

/// A plugin to be loaded, and the VM it asks for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PluginSpec {
    /// The plugin.
    pub plugin: Plugin,
    /// Its code.
    pub module: Arc<Module>,
    /// The configuration, directories and limits of its VM.
    pub vm: VmSpec,
    /// Its sandbox, if that is kept apart from others of its `vm_id`: [`schedule`](portcullis_core::sandbox::schedule) says so.
    pub isolated: Option<SandboxKey>,
    /// How long its VM rests when it has failed, with `FailurePolicy::Reload`; and how long a client's connection gets no VMs for its
    /// streams when one of them spent its deadline.
    pub reload: Backoff,
    /// How long its VMs last.
    pub isolation: Isolation,
    /// Its state after configure, taken of this spec as it is. Without one, a plugin with [`Isolation::Stream`] has a VM that
    /// lasts, which it shares with no other plugin.
    pub snapshot: Option<Arc<Snapshot>>,
    /// The engine that it is meant for, if `module` only serves until the plugin is compiled for that.
    pub tier: Option<Arc<Tier>>,
}

/// How long the VMs of a plugin last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isolation {
    /// As long as their worker. Plugins of one sandbox share a VM, and all their streams do.
    #[default]
    Worker,
    /// One stream: each stream gets a VM in the state after configure, and loses it when it is over and its HTTP and gRPC
    /// calls and lookups are; gRPC streams end with it. What a plugin breaks or leaks is gone then. It has no ticks, is not
    /// told of queues' items, and its root is never told that it ends. [`FailurePolicy::Reload`](portcullis_core::model::FailurePolicy)
    /// is as `Closed`. When one of its VMs has spent its deadline, those of the same client's connection end, and no other one is made
    /// for it while it rests ([`PluginSpec::reload`]); when those of three connections have within [`Backoff::max`], for none. Limits of memory, tables and files are for each VM, of which a plugin has at most 2048 in a worker;
    /// of callouts, lookups and metrics for all of them together. At most 256 VMs of a plugin wait for callouts without a
    /// stream.
    Stream,
}

impl Isolation {
    /// Returns its name in configurations: `worker` or `stream`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Stream => "stream",
        }
    }
}

/// How long a failed VM rests before it is started again: `base`, and twice as long each time it fails again, up to
/// `max`. A VM that ran for `max` begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backoff {
    /// The first rest. Default 1 s.
    pub base: Duration,
    /// The longest. Default 10 s.
    pub max: Duration,
}

impl Backoff {
    /// Rests for `base` first, and for `max` at most.
    pub const fn new(base: Duration, max: Duration) -> Self {
        Self { base, max }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(1), max: Duration::from_secs(10) }
    }
}

impl PluginSpec {
    /// Describes a plugin alone with its code: no VM configuration, no environment, no directories, default limits.
    pub fn new(plugin: Plugin, module: Arc<Module>) -> Self {
        Self {
            plugin,
            module,
            vm: VmSpec::default(),
            isolated: None,
            reload: Backoff::default(),
            isolation: Isolation::Worker,
            snapshot: None,
            tier: None,
        }
    }

    /// Returns it with other code.
    #[must_use]
    pub fn with_module(self, module: Arc<Module>) -> Self {
        Self { module, ..self }
    }

    /// Returns it with another VM: configuration, environment, directories and limits.
    #[must_use]
    pub fn with_vm(self, vm: VmSpec) -> Self {
        Self { vm, ..self }
    }

    /// Returns it with another [`isolated`](Self::isolated).
    #[must_use]
    pub fn with_isolated(self, isolated: impl Into<Option<SandboxKey>>) -> Self {
        Self { isolated: isolated.into(), ..self }
    }

    /// Returns it with another [`reload`](Self::reload).
    #[must_use]
    pub fn with_reload(self, reload: Backoff) -> Self {
        Self { reload, ..self }
    }

    /// Returns it with another [`isolation`](Self::isolation).
    #[must_use]
    pub fn with_isolation(self, isolation: Isolation) -> Self {
        Self { isolation, ..self }
    }

    /// Returns it with another [`snapshot`](Self::snapshot).
    #[must_use]
    pub fn with_snapshot(self, snapshot: impl Into<Option<Arc<Snapshot>>>) -> Self {
        Self { snapshot: snapshot.into(), ..self }
    }

    /// Returns it with another [`tier`](Self::tier).
    #[must_use]
    pub fn with_tier(self, tier: impl Into<Option<Arc<Tier>>>) -> Self {
        Self { tier: tier.into(), ..self }
    }

    /// Returns its code as it is to be run now.
    pub fn module_now(&self) -> &Arc<Module> {
        self.tier.as_ref().and_then(|tier| tier.compiled()).unwrap_or(&self.module)
    }

    /// Returns the configuration that its VM is made with.
    pub fn vm_config(&self, shared: Shared, foreign: ForeignFunctions, wake: Option<Wake>) -> VmConfig {
        VmConfig {
            abi: self.module.abi(),
            vm: self.vm.clone(),
            capabilities: self.plugin.capabilities,
            rules: self.plugin.rules.clone(),
            exports: self.module.exports(),
            sandbox: Some(self.sandbox()),
            isolated: self.isolated,
            vm_id: self.plugin.vm_id.clone(),
            shared,
            foreign,
            wake,
        }
    }

    /// Returns the identity of the VM that it runs in.
    pub fn sandbox(&self) -> SandboxKey {
        self.sandbox_spec().key()
    }

    /// Returns the parts of that identity.
    pub fn sandbox_spec(&self) -> SandboxSpec<'_> {
        SandboxSpec {
            vm_id: &self.plugin.vm_id,
            code: self.module.code(),
            engine: self.tier.as_ref().map_or_else(|| self.module.engine(), |tier| tier.engine()),
            vm: &self.vm,
            capabilities: self.plugin.capabilities,
            rules: &self.plugin.rules,
            alone: (self.isolation == Isolation::Stream).then_some(self.plugin.name.as_str()),
        }
    }
}
