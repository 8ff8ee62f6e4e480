//! Compiled code that is kept: in a private folder, or in the plugin's own file.
//!
//! Machine code is run without being looked at. So only code is loaded that was sealed with the
//! folder's key, for the very module and engine that ask for it; all other code is as if it were not
//! there. Whoever can read the key can make this host run machine code of their choice.
//!
//! ```
//! use portcullis::engine::EngineSettings;
//! use portcullis::DefaultEngine;
//! use portcullis::code_cache::{CodeCache, CodeSource};
//!
//! # let folder = std::env::temp_dir().join(format!("portcullis-doc-cache-{}", std::process::id()));
//! # struct Remove<'a>(&'a std::path::Path);
//! # impl Drop for Remove<'_> { fn drop(&mut self) { let _ = std::fs::remove_dir_all(self.0); } }
//! # let _remove = Remove(&folder);
//! # let plugin = wat::parse_str(r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
//! #     (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096)))"#)?;
//! let engine = DefaultEngine::new(&EngineSettings::default())?;
//! let cache = CodeCache::open(&folder)?;
//! // An interpreter has no code to keep.
//! let is_kept = matches!(cache.load(&engine, &plugin)?.source, CodeSource::Kept(_));
//! assert_eq!(matches!(cache.load(&engine, &plugin)?.source, CodeSource::Folder(_)), is_kept);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod folder;
mod fresh;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod name;
mod section;

use std::path::{Path, PathBuf};

use portcullis_chain::{LoadError, Module};
use portcullis_core::engine::{AnyEngine, AnyModule, EngineError};
use portcullis_core::module::{Bytecode, BytecodeError, SealKey};
use sha2::{Digest, Sha256};

pub use folder::CodeCacheError;
pub use fresh::Fresh;

use crate::input::read_file;

/// The most bytes of sealed code in a file of the folder.
const LARGEST_CODE: u64 = 4 << 30;

/// A folder of compiled code, and the key that seals it.
#[derive(Clone, Debug)]
pub struct CodeCache {
    folder: PathBuf,
    key: SealKey,
    outdated: Outdated,
}

/// Compiled code in a folder that was made by other versions of the engines than those of this binary. This binary does not look it up, but
/// one of those versions may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outdated {
    /// How many modules' code was removed.
    pub entries: u64,
    /// Bytes that were removed.
    pub bytes: u64,
    /// How many modules' code was kept, since it was used lately.
    pub kept: u64,
}

/// Where the compiled code of a module came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodeSource {
    /// The module was compiled, and not kept because the engine has no code to keep.
    Compiled,
    /// The module was compiled and kept in this file.
    Kept(PathBuf),
    /// The module was compiled, and could not be kept; says why.
    NotKept(CodeCacheError),
    /// This file of the folder.
    Folder(PathBuf),
    /// The plugin's own file.
    Plugin,
}

/// A module, where its code came from, and what was wrong with code that was not used.
#[derive(Debug)]
#[non_exhaustive]
pub struct LoadedCode {
    /// The module.
    pub module: Module,
    /// Where its code came from.
    pub source: CodeSource,
    /// Code that was there and did not serve.
    pub rejected: Option<RejectedCode>,
}

/// Compiled code that did not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RejectedCode {
    /// Its file.
    pub path: PathBuf,
    /// Why: what follows "the file" in a sentence.
    pub reason: &'static str,
}

/// Why a plugin cannot be compiled ahead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrecompileError {
    /// The module is not one that this host runs.
    #[error(transparent)]
    Bytecode(#[from] BytecodeError),
    /// The engine cannot compile it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The engine interprets.
    #[error("the engine {0} has no compiled code: it interprets")]
    NoCode(&'static str),
}

impl CodeCache {
    /// Opens a folder; makes it, and its key, if it is not there. Code that another version of one of this binary's engines made is
    /// removed from it when that has not used it for 7 days, or when all such code is more than 1 GiB: two binaries may share a folder
    /// while one replaces the other, and code of a binary that is gone does not stay for ever. Code of these versions goes when it has not been
    /// used for 90 days, or when all such code is more than 4 GiB, what has not been used for longest first.
    ///
    /// # Errors
    /// The folder cannot be read or made, or is not this user's alone.
    pub fn open(folder: &Path) -> Result<Self, CodeCacheError> {
        let key = folder::open(folder)?;
        let outdated = folder::clean(folder, name::is_outdated)?;
        folder::clean_current(folder, name::is_current)?;
        Ok(Self { folder: folder.to_owned(), key, outdated })
    }

    /// Returns how much code of other versions was removed, and kept, when the folder was opened.
    pub fn outdated(&self) -> Outdated {
        self.outdated
    }

    /// Loads a module from the plugin's own compiled code, else from the folder, else by compiling it and keeping the code in
    /// the folder.
    ///
    /// # Errors
    /// The code is no Proxy-Wasm module, or the engine cannot compile it.
    pub fn load(&self, engine: &dyn AnyEngine, plugin: &[u8]) -> Result<LoadedCode, LoadError> {
        self.load_by(engine, plugin, |bytecode| Fresh::compile(engine, bytecode))
    }

    /// Loads a module as [`Self::load`] does, but compiles it by `compile`.
    ///
    /// # Errors
    /// The code is no Proxy-Wasm module, or `compile` fails.
    pub fn load_by(
        &self,
        engine: &dyn AnyEngine,
        plugin: &[u8],
        compile: impl FnOnce(&Bytecode<'_>) -> Result<Fresh, EngineError>,
    ) -> Result<LoadedCode, LoadError> {
        let (wasm, sections) = section::split(plugin);
        let subject = subject(&wasm, engine);
        let (mut source, mut rejected) = (CodeSource::Compiled, None);
        let module = Module::load_by(engine.name(), wasm.into(), |bytecode| {
            if let Some(module) = sections.iter().find_map(|sealed| self.restore(engine, bytecode, &subject, sealed)) {
                source = CodeSource::Plugin;
                return Ok(module);
            }
            let file = self.file(engine, &subject);
            match read_file(&file, LARGEST_CODE) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(_) => rejected = Some(RejectedCode { path: file.clone(), reason: "cannot be read" }),
                Ok(sealed) => match self.restore(engine, bytecode, &subject, &sealed) {
                    Some(module) => {
                        folder::touch(&file);
                        source = CodeSource::Folder(file);
                        return Ok(module);
                    }
                    None => {
                        let reason = "is damaged, or was not written with this folder's key";
                        rejected = Some(RejectedCode { path: file.clone(), reason });
                    }
                },
            }
            let Fresh { module, code } = compile(bytecode)?;
            if let Some(code) = code {
                source = match folder::write(&file, &self.key.seal(&subject, &code)) {
                    Ok(()) => CodeSource::Kept(file),
                    Err(error) => CodeSource::NotKept(error),
                };
            }
            Ok(module)
        })?;
        Ok(LoadedCode { module, source, rejected })
    }

    /// Returns whether compiled code of a module is in the plugin's own file or in the folder. Code of the folder is not read for it.
    pub fn has(&self, engine: &dyn AnyEngine, plugin: &[u8]) -> bool {
        let (wasm, sections) = section::split(plugin);
        let subject = subject(&wasm, engine);
        sections.iter().any(|sealed| self.key.open(&subject, sealed).is_some()) || self.file(engine, &subject).exists()
    }

    /// Returns the plugin with its compiled code for this engine in it, sealed with the folder's key. It
    /// remains the same plugin for every host, and keeps its code for other engines.
    ///
    /// # Errors
    /// The code is no Proxy-Wasm module, or the engine cannot compile it or has no machine code.
    pub fn precompile(&self, engine: &dyn AnyEngine, plugin: &[u8]) -> Result<Vec<u8>, PrecompileError> {
        self.precompile_by(engine, plugin, |bytecode| {
            let module = engine.load(bytecode)?;
            let code = module.save()?;
            Ok(Fresh { module, code })
        })
    }

    /// Compiles a plugin as [`Self::precompile`] does, but by `compile`.
    ///
    /// # Errors
    /// The code is no Proxy-Wasm module, or `compile` fails or gives no code.
    pub fn precompile_by(
        &self,
        engine: &dyn AnyEngine,
        plugin: &[u8],
        compile: impl FnOnce(&Bytecode<'_>) -> Result<Fresh, EngineError>,
    ) -> Result<Vec<u8>, PrecompileError> {
        let (wasm, _) = section::split(plugin);
        let fresh = compile(&Bytecode::judge(&wasm)?)?;
        let code = fresh.code.ok_or(PrecompileError::NoCode(engine.name()))?;
        Ok(section::with(plugin, engine.name(), &self.key.seal(&subject(&wasm, engine), &code)))
    }

    fn restore(
        &self,
        engine: &dyn AnyEngine,
        bytecode: &Bytecode<'_>,
        subject: &str,
        sealed: &[u8],
    ) -> Option<Box<dyn AnyModule>> {
        engine.restore(bytecode, &self.key.open(subject, sealed)?).ok()
    }

    fn file(&self, engine: &dyn AnyEngine, subject: &str) -> PathBuf {
        self.folder.join(name::of(engine, &format!("{:x}", Sha256::digest(subject))))
    }
}

/// Returns the origin of compiled code, and the engine that may run it, as the text that is sealed with the code.
fn subject(wasm: &[u8], engine: &dyn AnyEngine) -> String {
    let digest = section::that_run(wasm).fold(Sha256::new(), |digest, part| digest.chain_update(part));
    format!("module {:x} on {}", digest.finalize(), engine.fingerprint())
}
