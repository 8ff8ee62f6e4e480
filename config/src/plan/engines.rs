//! Engines that run, and the modules that they have compiled.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use portcullis::Module;
use portcullis::engine::{AnyEngine, EngineError, EngineInfo, EngineSettings};
use sha2::{Digest, Sha256};

/// Engines that run, and the modules that they have compiled, for plugins that are loaded at several times in one process. Clones are
/// the same.
///
/// An engine costs a thread and is kept as long as a clone of this. A module is kept as long as plugins have it: what is loaded
/// meanwhile with the same code, on the same engine with the same settings, is not compiled again.
#[derive(Clone, Default)]
pub struct SharedEngines(Arc<Mutex<Running>>);

#[derive(Default)]
struct Running {
    engines: HashMap<EngineKey, Arc<dyn AnyEngine>>,
    modules: HashMap<CodeKey, Weak<Module>>,
}

/// The name of an engine, and what it was started with.
type EngineKey = (&'static str, EngineSettings);

/// An engine, and the digest of a module.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct CodeKey {
    engine: EngineKey,
    digest: [u8; 32],
}

impl CodeKey {
    /// Identifies a module on an engine.
    pub(crate) fn new(engine: &dyn AnyEngine, code: &[u8]) -> Self {
        Self { engine: (engine.name(), engine.settings().clone()), digest: Sha256::digest(code).into() }
    }
}

impl SharedEngines {
    /// Returns the engine of these settings, and starts it if need be.
    ///
    /// # Errors
    /// The engine cannot run on this machine.
    pub(crate) fn start(
        &self,
        info: &'static EngineInfo,
        settings: EngineSettings,
    ) -> Result<Arc<dyn AnyEngine>, EngineError> {
        match self.lock().engines.entry((info.name, settings)) {
            Entry::Occupied(engine) => Ok(Arc::clone(engine.get())),
            Entry::Vacant(place) => {
                let engine = info.start(&place.key().1)?;
                Ok(Arc::clone(place.insert(engine.into())))
            }
        }
    }

    /// Returns a module that plugins have.
    pub(crate) fn module(&self, key: &CodeKey) -> Option<Arc<Module>> {
        self.lock().modules.get(key)?.upgrade()
    }

    /// Notes a module, and forgets those that no plugin has any more.
    pub(crate) fn keep(&self, key: CodeKey, module: &Arc<Module>) {
        let modules = &mut self.lock().modules;
        modules.retain(|_, module| module.strong_count() > 0);
        modules.insert(key, Arc::downgrade(module));
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SharedEngines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.lock();
        let (engines, modules) = (running.engines.len(), running.modules.len());
        f.debug_struct("SharedEngines").field("engines", &engines).field("modules", &modules).finish()
    }
}
