//! Snapshots: a plugin in the state after configure, from which each stream gets a VM of its own (`isolation: stream`).
//!
//! The plugin is started once, on a module that exports its globals. Then its memory and globals are written into another
//! module, in place of its data and start section, so that every engine can make guests in that state and no code of the
//! plugin runs again; [`VmSnapshot`] is the host's side of it.
//!
//! **Randomness repeats.** Random bytes that the plugin drew and times that it read while it started are in its memory, and so
//! the same in each stream: a generator that it seeded then gives every stream the same numbers. Session ids, keys and nonces that
//! are made of them are the same for all clients. Nearly every plugin in Rust draws 16 bytes for its hash maps, whose order
//! is then the same in each stream, too. [`VmSnapshot::drawn`] says how many bytes it drew and how often it read a clock; bytes
//! that are drawn in a stream are new. A monotonic time of the snapshot is in the past of each stream.
//!
//! No snapshot can be taken of a plugin that ticks, registers queues, or has callouts in flight after it was configured, nor
//! of a module that changes its tables: their elements are not in a snapshot.
//!
//! ```
//! use std::sync::Arc;
//!
//! use portcullis::engine::EngineSettings;
//! use portcullis::model::Plugin;
//! use portcullis::resources::{ForeignFunctions, Shared};
//! use portcullis::snapshot::snapshot;
//! use portcullis::{DefaultEngine, Module, PluginSpec, SystemHost, Worker};
//! use portcullis::chain::Isolation;
//!
//! # let plugin = wat::parse_str(r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
//! #     (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096)))"#)?;
//! let engine = DefaultEngine::new(&EngineSettings::default())?;
//! let module = Arc::new(Module::load(&engine, plugin.into())?);
//! let mut spec = PluginSpec::new(Plugin::new("example"), module);
//! spec.isolation = Isolation::Stream;
//! let host = || -> Box<dyn portcullis::resources::Host> { Box::new(SystemHost::new(|_| {})) };
//! let taken = snapshot(&engine, &spec, Shared::default(), ForeignFunctions::default(), host)?;
//! spec.snapshot = Some(Arc::new(taken));
//!
//! // Each stream that is opened over this chain has a VM of its own.
//! let mut worker = Worker::new(host);
//! let chain = worker.load(&[spec])?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod image;
mod observed;

use bytes::Bytes;
use portcullis_chain::{LoadError, Module, PluginSpec, Snapshot};
use portcullis_core::engine::{AnyEngine, StartError};
use portcullis_core::resources::{ForeignFunctions, Host, Shared};
use portcullis_core::vm::{NeedsLongLivedVm, Vm, VmSnapshot};

/// Why no snapshot can be taken of a plugin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The plugin has asked for what needs a VM that lasts.
    #[error(
        "a VM for each stream needs a snapshot taken after proxy_on_configure, which this plugin does not allow: {0}"
    )]
    NeedsLongLivedVm(NeedsLongLivedVm),
    /// The module can change state that a snapshot does not hold.
    #[error(
        "a VM for each stream is restored from memory and globals alone, and the module has {0}: changed tables and dropped segments are not in a snapshot"
    )]
    Module(&'static str),
    /// Too much of the memory is in use.
    #[error(
        "{used} bytes of the plugin's memory are in use after proxy_on_configure, and a snapshot holds at most {limit}"
    )]
    TooLarge {
        /// Bytes.
        used: usize,
        /// Bytes.
        limit: usize,
    },
    /// The module, or the one that was made of it, cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The plugin did not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// A module that exports the globals of which a snapshot is made.
#[derive(Debug)]
pub struct Observed {
    original: Bytes,
    wasm: Bytes,
    globals: Vec<String>,
}

/// The state of a plugin after configure.
#[derive(Debug)]
#[non_exhaustive]
pub struct State {
    /// The host's side.
    pub snapshot: VmSnapshot,
    /// A module whose guests begin in that state.
    pub wasm: Bytes,
}

/// Starts a plugin once on an engine, and takes a snapshot of its state.
///
/// # Errors
/// The plugin does not start, or its state cannot be kept.
pub fn snapshot(
    engine: &dyn AnyEngine,
    spec: &PluginSpec,
    shared: Shared,
    foreign: ForeignFunctions,
    host: impl Fn() -> Box<dyn Host>,
) -> Result<Snapshot, SnapshotError> {
    let observed = Observed::new(Bytes::copy_from_slice(spec.module.code()))?;
    let module = Module::load(engine, observed.wasm())?;
    let State { snapshot, wasm } = observed.start(&module, spec, shared, foreign, host())?;
    let snapshot = Snapshot::new(Module::load(engine, wasm)?, snapshot);
    snapshot.try_out(host())?;
    Ok(snapshot)
}

impl Observed {
    /// Makes a module that exports its mutable globals.
    ///
    /// # Errors
    /// The module can change state that a snapshot does not hold.
    pub fn new(original: Bytes) -> Result<Self, SnapshotError> {
        let (wasm, globals) = observed::observed(&original)?;
        Ok(Self { original, wasm, globals })
    }

    /// Returns the module that exports them, to be compiled for [`Self::start`].
    pub fn wasm(&self) -> Bytes {
        self.wasm.clone()
    }

    /// Starts the plugin in a VM of the module that exports its globals, and takes a snapshot of its state.
    ///
    /// # Errors
    /// The plugin does not start, or its state cannot be kept.
    pub fn start(
        &self,
        module: &Module,
        spec: &PluginSpec,
        shared: Shared,
        foreign: ForeignFunctions,
        host: Box<dyn Host>,
    ) -> Result<State, SnapshotError> {
        let config = spec.vm_config(shared, foreign, None);
        let mut vm = Vm::start(module.compiled(), config, host)?;
        let root = vm.add_plugin(spec.plugin.clone().into())?;
        let snapshot = vm.snapshot(root).map_err(SnapshotError::NeedsLongLivedVm)?;
        let globals: Option<Vec<_>> = self.globals.iter().map(|export| vm.global(export)).collect();
        let globals = globals.ok_or(SnapshotError::Module("a global that the engine does not show"))?;
        let wasm = image::baked(&self.original, vm.memory(), &globals)?;
        Ok(State { snapshot, wasm })
    }
}

/// Returns the error of a module that cannot be read, although it was read before.
fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> SnapshotError {
    let operation = "rewrite the module";
    LoadError::from(portcullis_core::engine::EngineError::new("snapshot", operation, error)).into()
}
