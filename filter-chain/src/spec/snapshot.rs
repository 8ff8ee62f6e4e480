//! Plugins in the state after configure.

use std::sync::{Arc, OnceLock};

use portcullis_core::engine::StartError;
use portcullis_core::model::{ContextId, Drawn};
use portcullis_core::resources::Host;
use portcullis_core::vm::{Vm, VmSnapshot};

use super::error::LoadError;
use super::module::Module;

/// A plugin in the state after configure.
#[derive(Debug)]
pub struct Snapshot {
    module: Arc<Module>,
    /// The same on the engine that the plugin is meant for, once it is compiled.
    compiled: OnceLock<Arc<Module>>,
    snapshot: VmSnapshot,
    /// How many VMs a worker has of it at once.
    most: usize,
}

impl Snapshot {
    /// How many VMs a worker has of it at once, if [`Self::with_at_most`] does not say fewer.
    pub const MOST: usize = 2048;

    /// Creates a snapshot of a module whose guests begin in the state that the guest of the VM had.
    pub fn new(module: Module, snapshot: VmSnapshot) -> Self {
        Self { module: Arc::new(module), compiled: OnceLock::new(), snapshot, most: Self::MOST }
    }

    /// Limits how many VMs a worker makes of it at once to N, at least one and at most [`Self::MOST`]. An engine that makes no more than a number of
    /// VMs ([`EngineSettings::places`](portcullis_core::engine::EngineSettings::places)) makes them for all workers and plugins: where each has its
    /// part, none keeps another out.
    #[must_use]
    pub fn with_at_most(self, vms: usize) -> Self {
        Self { most: vms.clamp(1, Self::MOST), ..self }
    }

    /// Returns how many VMs a worker has of it at once.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Publishes the module that has been compiled for the engine that the plugin is meant for: streams that begin get VMs of it from now
    /// on. The first module counts.
    pub fn publish(&self, module: Module) {
        let _ = self.compiled.set(Arc::new(module));
    }

    /// Returns the same state, with something around the module.
    ///
    /// # Errors
    /// The errors of `wrap`.
    pub fn wrapped(&self, wrap: impl FnOnce(&Arc<Module>) -> Result<Module, LoadError>) -> Result<Self, LoadError> {
        Ok(Self::new(wrap(&self.module)?, self.snapshot.clone()).with_at_most(self.most))
    }

    /// Counts the random bytes and the readings of clocks that the plugin took while it was configured; their values are the same in each
    /// stream.
    pub fn drawn(&self) -> Drawn {
        self.snapshot.drawn()
    }

    /// Makes a VM in this state once, to see that it can be made.
    ///
    /// # Errors
    /// The VM cannot be made.
    pub fn try_out(&self, host: Box<dyn Host>) -> Result<(), StartError> {
        self.resume(host).map(drop)
    }

    /// Makes a VM in this state.
    pub(crate) fn resume(&self, host: Box<dyn Host>) -> Result<Vm, StartError> {
        Vm::resume(self.module_now().compiled(), &self.snapshot, host)
    }

    /// Returns the module that VMs are made of now.
    pub(crate) fn module_now(&self) -> &Module {
        self.compiled.get().unwrap_or(&self.module)
    }

    /// Returns the root of the plugin in each of these VMs.
    pub(crate) fn root(&self) -> ContextId {
        self.snapshot.root()
    }
}
