//! Compiled modules.

use std::fmt;

use bytes::Bytes;
use portcullis_core::abi::AbiVersion;
use portcullis_core::engine::{AnyEngine, AnyModule, EngineError};
use portcullis_core::module::Bytecode;
use portcullis_core::rights::Capabilities;

use super::error::LoadError;

/// A compiled module, shared by all workers.
#[derive(Debug)]
pub struct Module {
    engine: &'static str,
    code: Bytes,
    abi: AbiVersion,
    exports: Option<Capabilities>,
    compiled: Box<dyn AnyModule>,
}

impl Module {
    /// Judges and compiles a module.
    ///
    /// Compiling happens in this thread, and takes the time and memory that the module asks for: 60 kB of code can take half a
    /// minute, and some megabytes more than a GiB. Bound the size of modules that you do not trust, or compile them in a
    /// process that can be ended, and take the code with [`Self::load_by`].
    ///
    /// # Errors
    /// The code is no Proxy-Wasm module, or the engine cannot compile it.
    pub fn load(engine: &dyn AnyEngine, code: Bytes) -> Result<Self, LoadError> {
        Self::load_by(engine.name(), code, |bytecode| engine.load(bytecode))
    }

    /// Judges a module, and lets `compile` make it run on the engine of this name.
    ///
    /// # Errors
    /// The code is no Proxy-Wasm module, or `compile` fails.
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

    /// Wraps a module that an engine made without bytecode, for tests. `exports` are its callbacks, if that is known.
    pub fn from_compiled(
        engine: &'static str,
        abi: AbiVersion,
        exports: Option<Capabilities>,
        compiled: Box<dyn AnyModule>,
    ) -> Self {
        Self { engine, code: Bytes::new(), abi, exports, compiled }
    }

    /// Returns the ABI that it declares.
    pub fn abi(&self) -> AbiVersion {
        self.abi
    }

    /// Returns the callbacks that it exports, if that is known.
    pub fn exports(&self) -> Option<Capabilities> {
        self.exports
    }

    /// Returns its bytecode; empty for one that an engine made without.
    pub fn code(&self) -> &[u8] {
        &self.code
    }

    /// Returns the name of the engine that compiled it.
    pub fn engine(&self) -> &'static str {
        self.engine
    }

    /// Returns the compiled module, which makes guests.
    pub fn compiled(&self) -> &dyn AnyModule {
        &*self.compiled
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ABI {} on {}", self.abi, self.engine)
    }
}
