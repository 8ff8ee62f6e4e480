//! Machine code that was compiled just now.

use portcullis_core::engine::{AnyEngine, AnyModule, EngineError};
use portcullis_core::module::{Bytecode, SealKey};

/// A module that was compiled, and its code, if it can be kept.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fresh {
    /// The module.
    pub module: Box<dyn AnyModule>,
    /// Its machine code.
    pub code: Option<Vec<u8>>,
}

impl Fresh {
    /// Compiles a module in this thread.
    ///
    /// # Errors
    /// The engine cannot compile it.
    pub fn compile(engine: &dyn AnyEngine, bytecode: &Bytecode<'_>) -> Result<Self, EngineError> {
        let module = engine.load(bytecode)?;
        // What cannot be saved is compiled again next time.
        let code = module.save().unwrap_or_default();
        Ok(Self { module, code })
    }

    /// Takes machine code that a process of the caller's own compiled, from the engine of the same fingerprint and this very
    /// module.
    ///
    /// The code is run without being checked. So whoever calls this vouches for it: that it came by a pipe of which that
    /// process alone had the other end, that the process is the caller's own program, and that it ended well.
    ///
    /// # Errors
    /// The engine cannot use the code, or the system has no randomness.
    pub fn of_own_process(engine: &dyn AnyEngine, bytecode: &Bytecode<'_>, code: Vec<u8>) -> Result<Self, EngineError> {
        let unsealed = |reason: String| EngineError::new(engine.name(), "take the compiled module", reason);
        // Nobody else has this key, and it is gone when this function returns.
        let mut secret = [0; SealKey::LEN];
        getrandom::fill(&mut secret).map_err(|error| unsealed(error.to_string()))?;
        let (key, subject) = (SealKey::new(secret), super::subject(bytecode.wasm, engine));
        let sealed = key.seal(&subject, &code);
        let opened = key.open(&subject, &sealed).ok_or_else(|| unsealed("its seal is broken".to_owned()))?;
        Ok(Self { module: engine.restore(bytecode, &opened)?, code: Some(code) })
    }
}
