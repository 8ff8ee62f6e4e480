//! [`WasmEngine`] with its types erased, for choosing the engine at run time.

use std::fmt;

use crate::engine::error::{EngineError, StartError};
use crate::engine::{EngineFeatures, EngineSettings, Guest, WasmEngine};
use crate::model::limits::Limits;
use crate::module::bytecode::{Begins, Bytecode};
use crate::module::sealed_code::SealedCode;
use crate::vm::state::VmState;

/// An engine chosen at run time. Every [`WasmEngine`] is one.
pub trait AnyEngine: Send + Sync {
    /// Returns the engine's name.
    fn name(&self) -> &'static str;
    /// Returns the version of the runtime beneath it.
    fn version(&self) -> &'static str;
    /// Returns the limits that the engine can enforce.
    fn features(&self) -> EngineFeatures;
    /// Returns the settings that the engine was started with.
    fn settings(&self) -> &EngineSettings;
    /// Calls [`WasmEngine::fingerprint`].
    fn fingerprint(&self) -> String;
    /// Compiles and links a module.
    ///
    /// # Errors
    /// As [`WasmEngine::load`].
    fn load(&self, bytecode: &Bytecode<'_>) -> Result<Box<dyn AnyModule>, EngineError>;
    /// Calls [`WasmEngine::restore`].
    ///
    /// # Errors
    /// Calls [`WasmEngine::restore`].
    fn restore(&self, bytecode: &Bytecode<'_>, code: &SealedCode<'_>) -> Result<Box<dyn AnyModule>, EngineError>;
}

/// A module of an engine chosen at run time.
pub trait AnyModule: Send + Sync {
    /// Makes a guest.
    ///
    /// # Errors
    /// As [`WasmEngine::instantiate`]; or the limits are lower than what the module begins with, or
    /// want another stack than the engine's.
    fn instantiate(&self, state: VmState, limits: &Limits) -> Result<Box<dyn Guest>, StartError>;

    /// Calls [`WasmEngine::save`].
    ///
    /// # Errors
    /// Calls [`WasmEngine::save`].
    fn save(&self) -> Result<Option<Vec<u8>>, EngineError>;

    /// Returns whether its guests may be used by another thread than the one that made them, one after the other
    /// ([`EngineFeatures::moves`]).
    fn moves(&self) -> bool;
}

impl<E: WasmEngine> AnyEngine for E {
    fn name(&self) -> &'static str {
        E::NAME
    }

    fn version(&self) -> &'static str {
        E::VERSION
    }

    fn features(&self) -> EngineFeatures {
        E::FEATURES
    }

    fn settings(&self) -> &EngineSettings {
        WasmEngine::settings(self)
    }

    fn fingerprint(&self) -> String {
        WasmEngine::fingerprint(self)
    }

    fn load(&self, bytecode: &Bytecode<'_>) -> Result<Box<dyn AnyModule>, EngineError> {
        let module = WasmEngine::load(self, bytecode)?;
        Ok(Box::new(Loaded { engine: self.clone(), module, begins: bytecode.begins }))
    }

    fn restore(&self, bytecode: &Bytecode<'_>, code: &SealedCode<'_>) -> Result<Box<dyn AnyModule>, EngineError> {
        let module = WasmEngine::restore(self, bytecode, code)?;
        Ok(Box::new(Loaded { engine: self.clone(), module, begins: bytecode.begins }))
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
    begins: Begins,
}

impl<E: WasmEngine> AnyModule for Loaded<E> {
    fn instantiate(&self, state: VmState, limits: &Limits) -> Result<Box<dyn Guest>, StartError> {
        self.begins.check(limits)?;
        if limits.stack != self.engine.settings().stack {
            let own = self.engine.settings().stack;
            let source = format!("the VM's stack limit is {}, the engine's {own}", limits.stack);
            let operation = "make a VM with settings that are not its own";
            return Err(EngineError { engine: E::NAME, operation, source: source.into() }.into());
        }
        Ok(Box::new(self.engine.instantiate(&self.module, state, limits)?))
    }

    fn save(&self) -> Result<Option<Vec<u8>>, EngineError> {
        self.engine.save(&self.module)
    }

    fn moves(&self) -> bool {
        E::FEATURES.moves
    }
}
