//! [`WasmEngine`] with its types erased, for choosing the engine at run time.

use std::fmt;

use crate::bytecode::Bytecode;
use crate::engine::{EngineFeatures, Guest, Limits, WasmEngine};
use crate::error::EngineError;
use crate::vm_state::VmState;

/// An engine chosen at run time. Every [`WasmEngine`] is one.
pub trait AnyEngine: Send + Sync {
    /// The engine's name.
    fn name(&self) -> &'static str;
    /// What the engine can enforce.
    fn features(&self) -> EngineFeatures;
    /// Compiles and links a module.
    ///
    /// # Errors
    /// As [`WasmEngine::load`].
    fn load(&self, bytecode: &Bytecode<'_>) -> Result<Box<dyn AnyModule>, EngineError>;
}

/// A module of an engine chosen at run time.
pub trait AnyModule: Send + Sync {
    /// Makes a guest.
    ///
    /// # Errors
    /// As [`WasmEngine::instantiate`].
    fn instantiate(&self, state: VmState, limits: &Limits) -> Result<Box<dyn Guest>, EngineError>;
}

impl<E: WasmEngine> AnyEngine for E {
    fn name(&self) -> &'static str {
        E::NAME
    }

    fn features(&self) -> EngineFeatures {
        E::FEATURES
    }

    fn load(&self, bytecode: &Bytecode<'_>) -> Result<Box<dyn AnyModule>, EngineError> {
        Ok(Box::new(Loaded { engine: self.clone(), module: WasmEngine::load(self, bytecode)? }))
    }
}

impl fmt::Debug for dyn AnyEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for dyn AnyModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyModule")
    }
}

struct Loaded<E: WasmEngine> {
    engine: E,
    module: E::Module,
}

impl<E: WasmEngine> AnyModule for Loaded<E> {
    fn instantiate(&self, state: VmState, limits: &Limits) -> Result<Box<dyn Guest>, EngineError> {
        Ok(Box::new(self.engine.instantiate(&self.module, state, limits)?))
    }
}
