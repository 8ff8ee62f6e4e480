//! How a worker is made.

use std::fmt;
use std::sync::{Arc, Mutex};

use portcullis_core::engine::EngineError;
use portcullis_core::model::Percent;
use portcullis_core::resources::{ForeignFunctions, Host, Shared, Wake};

use super::Worker;
use crate::background::DEFAULT_SHARE;
use crate::inner::Inner;
use crate::vms::Vms;

/// Setting up.
impl Worker {
    /// The part of a worker that [`Worker::with_tick_share`] sets, if it is not called: 20 %.
    pub const DEFAULT_TICK_SHARE: Percent = DEFAULT_SHARE;

    /// Makes a worker without plugins. Each VM gets a host of its own from `host`.
    pub fn new(host: impl Fn() -> Box<dyn Host> + Send + 'static) -> Self {
        Self(Inner::new(Vms::new(Arc::new(Mutex::new(host)))))
    }

    /// Has the plugins of this worker share data and queues with those of other workers that are given the
    /// same. `wake` is called, on any thread, when [`Worker::queues_ready`] has something to do. To be
    /// set before a chain is loaded.
    #[must_use]
    pub fn with_shared(mut self, shared: Shared, wake: Wake) -> Self {
        self.0.vms_mut().share(shared, wake);
        self
    }

    /// Sets what plugins may call beyond the ABI. To be set before a chain is loaded.
    #[must_use]
    pub fn with_foreign_functions(mut self, functions: ForeignFunctions) -> Self {
        self.0.vms_mut().set_foreign(functions);
        self
    }

    /// Lets several threads use this worker, one after the other, from now on: plugins of engines whose guests stay on their
    /// thread ([`EngineFeatures::moves`](portcullis_core::engine::EngineFeatures::moves)) do not start.
    ///
    /// # Errors
    /// A plugin of such an engine has been loaded.
    pub fn allow_several_threads(&mut self) -> Result<(), EngineError> {
        self.0.vms_mut().allow_several_threads()
    }

    /// Sets which part of a worker all calls together get that no stream waits for, while IO waits.
    #[must_use]
    pub fn with_tick_share(mut self, share: Percent) -> Self {
        self.set_tick_share(share);
        self
    }

    /// Sets the same of a worker that runs.
    pub fn set_tick_share(&mut self, share: Percent) {
        self.0.set_tick_share(share);
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (streams, stale) = (self.0.stream_count(), self.0.stale());
        f.debug_struct("Worker").field("streams", &streams).field("stale_ids", &stale).finish_non_exhaustive()
    }
}
