//! Plugins that serve before their machine code is there.

use std::sync::{Arc, OnceLock};

use crate::spec::Module;
use crate::worker::Worker;

/// The engine that a plugin is meant for, and its module there once that is compiled. Until then the plugin runs on
/// another engine. All workers share it.
#[derive(Debug)]
pub struct Tier {
    engine: &'static str,
    compiled: OnceLock<Arc<Module>>,
}

impl Tier {
    /// A plugin that is meant for the engine of this name.
    pub fn new(engine: &'static str) -> Self {
        Self { engine, compiled: OnceLock::new() }
    }

    /// The name of the engine that it is meant for.
    pub fn engine(&self) -> &'static str {
        self.engine
    }

    /// The module is compiled. [`Worker::move_on`] has to be called on each worker. The first module counts.
    pub fn reach(&self, module: Module) {
        let _ = self.compiled.set(Arc::new(module));
    }

    /// The module, once it is compiled.
    pub fn compiled(&self) -> Option<&Arc<Module>> {
        self.compiled.get()
    }
}

impl Worker {
    /// Moves plugins whose modules have been compiled since to VMs of these, in which they start anew as after a failure;
    /// says how many VMs have moved. Streams that a plugin has seen end in its old VM, whose root ticks on for them and is
    /// told that it ends (`proxy_on_done`) when they are over. A plugin that does not start there stays where it is, and the
    /// log says so.
    pub fn move_on(&mut self) -> usize {
        let mut moved = 0;
        for old in self.sandboxes.reached() {
            self.tell_queues(old);
            let Some(new) = self.sandboxes.move_on(old) else { continue };
            self.after_call(new, false);
            self.run(None);
            self.let_go(old);
            moved += 1;
        }
        moved
    }
}
