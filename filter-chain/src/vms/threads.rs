//! The threads that may use a worker's VMs.

use portcullis_core::engine::EngineError;

use crate::spec::Module;

/// Whether VMs may have to move from one thread to another, and whether they all can.
#[derive(Clone, Debug, Default)]
pub(super) struct Threads {
    /// Several threads use the worker, one after the other.
    several: bool,
}

impl Threads {
    /// Lets several threads use the worker from now on, whose VMs are of these modules.
    ///
    /// # Errors
    /// A VM of the worker stays on its thread.
    pub(super) fn allow_several<'m>(
        &mut self,
        mut modules: impl Iterator<Item = &'m Module>,
    ) -> Result<(), EngineError> {
        if let Some(module) = modules.find(|module| !module.compiled().moves()) {
            return Err(stays(module.engine()));
        }
        self.several = true;
        Ok(())
    }

    /// Checks that VMs of a module may be used by the threads that use the worker.
    ///
    /// # Errors
    /// They stay on the thread that makes them, and several threads use the worker.
    pub(super) fn check(&self, module: &Module) -> Result<(), EngineError> {
        if module.compiled().moves() {
            return Ok(());
        }
        if self.several { Err(stays(module.engine())) } else { Ok(()) }
    }
}

fn stays(engine: &'static str) -> EngineError {
    let source =
        "its guests stay on the thread that made them; take wasmtime or wasmi, or a driver that stays on one thread";
    EngineError::new(engine, "make a VM that several threads use", source)
}
