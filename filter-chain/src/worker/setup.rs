//! Setting a worker up and taking it down.

use std::fmt;

use portcullis_core::resources::{ForeignFunctions, Host, Shared, Wake};

use super::Worker;
use crate::inner::Inner;
use crate::spec::{Chain, ChainError, PluginSpec};
use crate::vms::Health;

/// Setting up and taking down.
impl Worker {
    /// A worker without plugins. Each VM gets a host of its own from `host`.
    pub fn new(host: impl Fn() -> Box<dyn Host> + Send + 'static) -> Self {
        Self(Inner::new(Box::new(host)))
    }

    /// Has the plugins of this worker share data and queues with those of other workers that are given the
    /// same. `wake` is called, on any thread, when [`Worker::queues_ready`] has something to do. To be
    /// set before a chain is loaded.
    #[must_use]
    pub fn sharing(mut self, shared: Shared, wake: Wake) -> Self {
        self.0.share(shared, wake);
        self
    }

    /// Sets what plugins may call beyond the ABI. To be set before a chain is loaded.
    #[must_use]
    pub fn with_foreign_functions(mut self, functions: ForeignFunctions) -> Self {
        self.0.set_foreign(functions);
        self
    }

    /// Starts a chain: each plugin in the VM of its sandbox. A plugin that runs already, in another
    /// chain, is used again.
    ///
    /// A VM that has failed is not used again: when it has rested (see [`PluginSpec::reload`]) another one is started in
    /// its place, with all plugins that it had.
    ///
    /// # Errors
    /// A plugin did not start, or its VM has failed and still rests, with its index in `specs`; those before it run.
    pub fn load(&mut self, specs: &[PluginSpec]) -> Result<Chain, ChainError> {
        let chain = self.0.load(specs)?;
        self.0.serve(&chain);
        Ok(chain)
    }

    /// Starts plugins to which no stream comes; [`Worker::keep_up`] looks after them. Else as [`Worker::load`].
    ///
    /// # Errors
    /// The errors of [`Worker::load`].
    pub fn load_services(&mut self, specs: &[PluginSpec]) -> Result<Chain, ChainError> {
        self.0.load(specs)
    }

    /// Takes a chain down: those of its plugins that no other chain has are asked to end when the streams over them are over, and their
    /// VMs are freed. Does nothing the second time. No stream is to be opened over the chain any more; one that is, is answered as if its
    /// plugins had failed, 503.
    pub fn unload(&mut self, chain: &Chain) {
        self.0.unload(chain);
    }

    /// Starts those plugins of a chain again whose VMs have failed and rested and whose policy says so, as a stream would that
    /// comes to them.
    pub fn keep_up(&mut self, chain: &Chain) {
        self.0.revive(chain);
    }

    /// Moves plugins whose modules have been compiled since to VMs of these, in which they start anew as after a failure;
    /// says how many VMs have moved. Streams that a plugin has seen end in its old VM, whose root ticks on for them and is
    /// told that it ends (`proxy_on_done`) when they are over. A plugin that does not start there stays where it is, and the
    /// log says so.
    pub fn tier_up(&mut self) -> usize {
        self.0.tier_up()
    }

    /// Asks all plugins to end. Those that need time go on, and so do those of VMs with streams, until these are over; see
    /// [`Worker::pending_roots`]. A stream that comes to a plugin that has ended is answered by the plugin's failure policy.
    pub fn shut_down(&mut self) {
        self.0.shut_down();
    }

    /// Returns how many plugins have not ended yet, and VMs of streams that are over wait for callouts.
    pub fn pending_roots(&self) -> usize {
        self.0.vms().pending_roots()
    }

    /// Returns the bytes of linear memory of all VMs.
    pub fn memory_size(&mut self) -> usize {
        self.0.vms_mut().memory_size()
    }

    /// Describes how each plugin is doing, in the order in which they were loaded. A plugin that was loaded for several chains
    /// is there once.
    pub fn health(&self) -> impl Iterator<Item = Health> {
        self.0.vms().health()
    }

    /// Says whether [`Worker::health`] has changed since the last call, but for the number of VMs of streams, which
    /// [`LiveVms`](crate::LiveVms) has always.
    pub fn health_changed(&mut self) -> bool {
        self.0.vms_mut().take_changed()
    }

    /// Returns how many VMs run, and how many have failed.
    pub fn vm_counts(&self) -> (usize, usize) {
        self.0.vms().counts()
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (streams, stale) = (self.0.stream_count(), self.0.stale());
        f.debug_struct("Worker").field("streams", &streams).field("stale_ids", &stale).finish_non_exhaustive()
    }
}
