//! What a chain is made of.

pub(crate) mod tier;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use portcullis_core::{
    AbiVersion, AnyEngine, AnyModule, Bytecode, BytecodeError, Capabilities, ContextId, Drawn, EngineError,
    ForeignFunctions, Host, Limits, Plugin, Preopen, SandboxKey, SandboxSpec, Shared, StartError, Template, Vm,
    VmConfig, Wake,
};

use crate::id::PluginId;
use crate::spec::tier::Tier;

/// A compiled module, shared by all workers.
#[derive(Debug)]
pub struct Module {
    engine: &'static str,
    code: Bytes,
    abi: AbiVersion,
    exports: Option<Capabilities>,
    compiled: Box<dyn AnyModule>,
}

/// A plugin to be loaded, and the VM it asks for.
#[derive(Clone, Debug)]
pub struct PluginSpec {
    /// The plugin.
    pub plugin: Plugin,
    /// Its code.
    pub module: Arc<Module>,
    /// What plugins read as the VM's configuration.
    pub vm_configuration: Bytes,
    /// What WASI shows as the environment, `(key, value)`.
    pub environment: Vec<(String, String)>,
    /// Whether it may act on contexts of other plugins of its VM.
    pub any_effective_context: bool,
    /// Its sandbox, if that is kept apart from others of its `vm_id`: [`schedule`](portcullis_core::schedule) says so.
    pub partition: Option<SandboxKey>,
    /// The directories that WASI shows. The host opens them when the VM starts.
    pub preopens: Vec<Preopen>,
    /// How long its VM rests when it has failed, with `FailurePolicy::Reload`; and how long a client's connection gets no VMs for its
    /// streams when one of them spent its deadline.
    pub reload: Backoff,
    /// What its VM may use.
    pub limits: Limits,
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
pub enum Isolation {
    /// As long as their worker. Plugins of one sandbox share a VM, and all their streams do.
    #[default]
    Worker,
    /// One stream: each stream gets a VM in the state after configure, and loses it when it is over and its HTTP and gRPC
    /// calls and lookups are; gRPC streams end with it. What a plugin breaks or leaks is gone then. It has no ticks, is not
    /// told of queues' items, and its root is never told that it ends. [`FailurePolicy::Reload`](portcullis_core::FailurePolicy)
    /// is as `Closed`. When one of its VMs has spent its deadline, those of the same client's connection end, and no other one is made
    /// for it while it rests ([`PluginSpec::reload`]); when those of three connections have within [`Backoff::max`], for none. Limits of memory, tables and files are for each VM, of which a plugin has at most 2048 in a worker;
    /// of callouts, lookups and metrics for all of them together. At most 256 VMs of a plugin wait for callouts without a
    /// stream.
    Stream,
}

impl Isolation {
    /// `worker` or `stream`, as configurations call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Stream => "stream",
        }
    }
}

/// A plugin in the state after configure.
#[derive(Debug)]
pub struct Snapshot {
    module: Arc<Module>,
    /// The same on the engine that the plugin is meant for, once it is compiled.
    compiled: OnceLock<Arc<Module>>,
    template: Template,
    /// How many VMs a worker has of it at once.
    most: usize,
}

/// How long a failed VM rests before it is started again: `base`, and twice as long each time it fails again, up to
/// `max`. A VM that ran for `max` begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first rest. Default 1 s.
    pub base: Duration,
    /// The longest. Default 10 s.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(1), max: Duration::from_secs(10) }
    }
}

/// A chain of plugins that a worker has started, in the order in which requests pass them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain(pub(crate) Arc<[PluginId]>);

/// Why a plugin cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The module is not one that this host runs.
    #[error(transparent)]
    Bytecode(#[from] BytecodeError),
    /// The engine cannot compile it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The VM that it shares has failed, and rests.
    #[error(transparent)]
    Resting(Box<Resting>),
}

/// A VM that has failed, in whose place another one cannot be started yet.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "its VM failed {ago:.1?} ago, in {during} of plugin {plugin:?}: {reason}; another one may be started in {rest:.1?} \
     (reload_config sets how long a failed VM rests)"
)]
#[non_exhaustive]
pub struct Resting {
    /// The plugin that ran when the VM failed; empty if none did.
    pub plugin: String,
    /// The callback that failed.
    pub during: &'static str,
    /// Why it failed.
    pub reason: String,
    /// How long ago the VM failed, or did not start again.
    pub ago: Duration,
    /// How long it still rests.
    pub rest: Duration,
}

impl Module {
    /// Judges and compiles a module.
    ///
    /// Compiling happens in this thread, and takes the time and memory that the module asks for: 60 kB of code can take half a
    /// minute, and some megabytes more than a GiB. Bound the size of modules that you do not trust, or compile them in a
    /// process that can be ended, and take the code with [`Self::load_by`].
    ///
    /// # Errors
    /// It is no Proxy-Wasm module, or the engine cannot compile it.
    pub fn load(engine: &dyn AnyEngine, code: Bytes) -> Result<Self, LoadError> {
        Self::load_by(engine.name(), code, |bytecode| engine.load(bytecode))
    }

    /// Judges a module, and lets `compile` make it run on the engine of this name.
    ///
    /// # Errors
    /// It is no Proxy-Wasm module, or `compile` fails.
    pub fn load_by(
        engine: &'static str,
        code: Bytes,
        compile: impl FnOnce(&Bytecode<'_>) -> Result<Box<dyn AnyModule>, EngineError>,
    ) -> Result<Self, LoadError> {
        let bytecode = Bytecode::judge(&code)?;
        let (compiled, abi) = (compile(&bytecode)?, bytecode.abi);
        let exports = Some(Capabilities::of_callbacks(&bytecode.callbacks));
        Ok(Self { engine, code, abi, exports, compiled })
    }

    /// A module that an engine made without bytecode, for tests. `exports` are its callbacks, if that is known.
    pub fn from_compiled(
        engine: &'static str,
        abi: AbiVersion,
        exports: Option<Capabilities>,
        compiled: Box<dyn AnyModule>,
    ) -> Self {
        Self { engine, code: Bytes::new(), abi, exports, compiled }
    }

    /// The ABI that it declares.
    pub fn abi(&self) -> AbiVersion {
        self.abi
    }

    /// The callbacks that it exports, if that is known.
    pub fn exports(&self) -> Option<Capabilities> {
        self.exports
    }

    /// Its bytecode; empty for one that an engine made without.
    pub fn code(&self) -> &[u8] {
        &self.code
    }

    /// The engine that compiled it.
    pub fn engine(&self) -> &'static str {
        self.engine
    }

    /// What makes its guests.
    pub fn compiled(&self) -> &dyn AnyModule {
        &*self.compiled
    }
}

impl PluginSpec {
    /// A plugin alone with its code: no VM configuration, no environment, no directories, default limits.
    pub fn new(plugin: Plugin, module: Arc<Module>) -> Self {
        Self {
            plugin,
            module,
            vm_configuration: Bytes::new(),
            environment: Vec::new(),
            any_effective_context: false,
            partition: None,
            reload: Backoff::default(),
            preopens: Vec::new(),
            limits: Limits::default(),
            isolation: Isolation::Worker,
            snapshot: None,
            tier: None,
        }
    }

    /// Its code as it is to be run now.
    pub fn module_now(&self) -> &Arc<Module> {
        self.tier.as_ref().and_then(|tier| tier.compiled()).unwrap_or(&self.module)
    }

    /// What its VM is made with.
    pub fn vm_config(&self, shared: Shared, foreign: ForeignFunctions, wake: Option<Wake>) -> VmConfig {
        VmConfig {
            abi: self.module.abi(),
            configuration: self.vm_configuration.clone(),
            environment: self.environment.clone(),
            preopens: self.preopens.clone(),
            capabilities: self.plugin.capabilities,
            rules: self.plugin.rules.clone(),
            exports: self.module.exports(),
            limits: self.limits.clone(),
            any_effective_context: self.any_effective_context,
            sandbox: Some(self.sandbox()),
            partition: self.partition,
            vm_id: self.plugin.vm_id.clone(),
            shared,
            foreign,
            wake,
        }
    }

    /// The identity of the VM that it runs in.
    pub fn sandbox(&self) -> SandboxKey {
        self.sandbox_spec().key()
    }

    /// What that identity is made of.
    pub fn sandbox_spec(&self) -> SandboxSpec<'_> {
        SandboxSpec {
            vm_id: &self.plugin.vm_id,
            code: &self.module.code,
            configuration: &self.vm_configuration,
            engine: self.tier.as_ref().map_or(self.module.engine, |tier| tier.engine()),
            limits: &self.limits,
            environment: &self.environment,
            any_effective_context: self.any_effective_context,
            preopens: &self.preopens,
            capabilities: self.plugin.capabilities,
            rules: &self.plugin.rules,
            alone: (self.isolation == Isolation::Stream).then_some(self.plugin.name.as_str()),
        }
    }
}

impl Snapshot {
    /// How many VMs a worker has of it at once, if [`Self::with_at_most`] does not say fewer.
    pub const MOST: usize = 2048;

    /// A module whose guests begin in the state that the guest of the template had.
    pub fn new(module: Module, template: Template) -> Self {
        Self { module: Arc::new(module), compiled: OnceLock::new(), template, most: Self::MOST }
    }

    /// Has a worker make so many VMs of it at once, at least one and at most [`Self::MOST`]. An engine that makes no more than a number of
    /// VMs ([`EngineSettings::places`](portcullis_core::EngineSettings::places)) makes them for all workers and plugins: where each has its
    /// part, none keeps another out.
    #[must_use]
    pub fn with_at_most(self, vms: usize) -> Self {
        Self { most: vms.clamp(1, Self::MOST), ..self }
    }

    /// How many VMs a worker has of it at once.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// The module has been compiled for the engine that the plugin is meant for: streams that begin get VMs of it from now
    /// on. The first module counts.
    pub fn reach(&self, module: Module) {
        let _ = self.compiled.set(Arc::new(module));
    }

    /// The same state, with something around the module.
    ///
    /// # Errors
    /// Those of `wrap`.
    pub fn wrapped(&self, wrap: impl FnOnce(&Arc<Module>) -> Result<Module, LoadError>) -> Result<Self, LoadError> {
        Ok(Self::new(wrap(&self.module)?, self.template.clone()).with_at_most(self.most))
    }

    /// Counts the random bytes and the readings of clocks that the plugin took while it was configured; their values are the same in each
    /// stream.
    pub fn drawn(&self) -> Drawn {
        self.template.drawn()
    }

    /// Makes a VM in this state once, to see that it can be made.
    ///
    /// # Errors
    /// It cannot.
    pub fn try_out(&self, host: Box<dyn Host>) -> Result<(), StartError> {
        self.resume(host).map(drop)
    }

    /// Makes a VM in this state.
    pub(crate) fn resume(&self, host: Box<dyn Host>) -> Result<Vm, StartError> {
        Vm::resume(self.compiled.get().unwrap_or(&self.module).compiled(), &self.template, host)
    }

    /// The root of the plugin in each of these VMs.
    pub(crate) fn root(&self) -> ContextId {
        self.template.root()
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ABI {} on {}", self.abi, self.engine)
    }
}
