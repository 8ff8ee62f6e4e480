//! Plugins that serve before their machine code is there.

use std::sync::{Arc, OnceLock};

use super::module::Module;

/// The engine that a plugin is meant for, and its module there once that is compiled. Until then the plugin runs on
/// another engine. All workers share it.
#[derive(Debug)]
pub struct Tier {
    engine: &'static str,
    compiled: OnceLock<Arc<Module>>,
}

impl Tier {
    /// Creates the tier of a plugin that is meant for the engine of this name.
    pub fn new(engine: &'static str) -> Self {
        Self { engine, compiled: OnceLock::new() }
    }

    /// Returns the name of the engine that the plugin is meant for.
    pub fn engine(&self) -> &'static str {
        self.engine
    }

    /// Publishes the module that has been compiled. [`Worker::tier_up`](crate::Worker::tier_up) has to be called on each worker then. The first
    /// module counts.
    pub fn publish(&self, module: Module) {
        let _ = self.compiled.set(Arc::new(module));
    }

    /// Returns the module, once it is compiled.
    pub fn compiled(&self) -> Option<&Arc<Module>> {
        self.compiled.get()
    }
}
