//! Loading modules: from code that is kept, or by compiling them.

use std::time::Instant;

use bytes::Bytes;
use portcullis::Module;
use portcullis::chain::LoadError;
use portcullis::code_cache::{CodeCache, CodeSource, Fresh, PrecompileError, RejectedCode};
use portcullis::engine::{AnyEngine, EngineError};
use portcullis::module::Bytecode;

use crate::CompileLimits;
use crate::plan::compile::CompilerProcess;

/// Loads the modules of a plugin.
#[derive(Clone, Debug)]
pub struct Loader {
    /// The process that compiles them; without one, they are compiled in this process.
    process: Option<CompilerProcess>,
    limits: CompileLimits,
    gives_way: bool,
}

impl Loader {
    /// Makes a loader that compiles within these limits.
    pub const fn new(process: Option<CompilerProcess>, limits: CompileLimits) -> Self {
        Self { process, limits, gives_way: false }
    }

    /// Makes it compile on one thread and with a low priority.
    pub(crate) fn giving_way(self) -> Self {
        Self { gives_way: true, ..self }
    }

    /// Compiles a module, or takes the code that is kept of it.
    ///
    /// # Errors
    /// The code is no Proxy-Wasm module, or cannot be compiled within its limits.
    pub fn load(
        &self,
        cache: Option<&CodeCache>,
        engine: &dyn AnyEngine,
        code: Bytes,
        what: &str,
    ) -> Result<Module, LoadError> {
        let (start, name) = (Instant::now(), engine.name());
        let mut ahead = None;
        if cache.is_none_or(|cache| !cache.has(engine, &code)) {
            tracing::info!(module = what, engine = name, "compiling");
            // Before the module is judged here: that takes time, too, and how much is the module's choice.
            ahead = self.compile(engine, &code)?;
        }
        let compile = |bytecode: &Bytecode<'_>| self.fresh(engine, bytecode, ahead);
        let Some(cache) = cache else {
            let module = Module::load_by(name, code, |bytecode| compile(bytecode).map(|fresh| fresh.module))?;
            tracing::debug!(module = what, engine = name, elapsed = ?start.elapsed(), "compiled");
            return Ok(module);
        };
        let loaded = cache.load_by(engine, &code, compile)?;
        let elapsed = start.elapsed();
        if let Some(RejectedCode { path: file, reason: why, .. }) = &loaded.rejected {
            tracing::warn!(module = what, file = %file.display(), "compiled code {why}; the module was compiled anew");
        }
        match &loaded.source {
            CodeSource::Folder(file) => {
                tracing::debug!(module = what, engine = name, ?elapsed, file = %file.display(), "taken from the code cache");
            }
            CodeSource::Plugin => {
                tracing::debug!(module = what, engine = name, ?elapsed, "taken from the plugin itself")
            }
            CodeSource::NotKept(error) => {
                tracing::warn!(module = what, "compiled code is not kept, and the next start compiles again: {error}")
            }
            _ => tracing::debug!(module = what, engine = name, ?elapsed, "compiled"),
        }
        Ok(loaded.module)
    }

    /// Compiles a plugin and puts its machine code into it, sealed with the key of a cache.
    ///
    /// # Errors
    /// The code is no Proxy-Wasm module, cannot be compiled within its limits, or the engine interprets.
    pub fn precompile(
        &self,
        cache: &CodeCache,
        engine: &dyn AnyEngine,
        plugin: &[u8],
    ) -> Result<Vec<u8>, PrecompileError> {
        // As in `load`: before the module is judged here.
        let ahead = self.compile(engine, plugin)?;
        cache.precompile_by(engine, plugin, |bytecode| self.fresh(engine, bytecode, ahead))
    }

    /// Returns the compiled module, from code that was compiled already if there is some.
    fn fresh(
        &self,
        engine: &dyn AnyEngine,
        bytecode: &Bytecode<'_>,
        ahead: Option<Vec<u8>>,
    ) -> Result<Fresh, EngineError> {
        let code = match ahead {
            Some(code) => Some(code),
            None => self.compile(engine, bytecode.wasm)?,
        };
        match code {
            Some(code) => Fresh::of_own_process(engine, bytecode, code),
            None => Fresh::compile(engine, bytecode),
        }
    }

    /// Compiles a module in a process of its own. None where there is none, where the engine interprets, and for what is no
    /// plugin, which is found here in less time than that process had.
    fn compile(&self, engine: &dyn AnyEngine, wasm: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let Some(process) = self.process.as_ref().filter(|_| engine.features().precompiled) else { return Ok(None) };
        process
            .compile(engine, &self.limits, wasm, self.gives_way)
            .map_err(|error| EngineError::new(engine.name(), "compile the module", error))
    }
}

/// Logs what was removed from the code cache.
pub fn tell_outdated(cache: &CodeCache) {
    let outdated = cache.outdated();
    if outdated.kept > 0 {
        tracing::debug!(
            entries = outdated.kept,
            "kept compiled code of other versions of the engines that was used lately"
        );
    }
    if outdated.entries > 0 {
        let (entries, bytes) = (outdated.entries, outdated.bytes);
        tracing::info!(
            entries,
            bytes,
            "removed unused compiled code of other versions of the engines from the code cache"
        );
    }
}
