//! Starting plugins in one worker for each core.

use std::fmt;
use std::num::NonZero;
use std::time::{Duration, Instant};

use portcullis_chain::{ChainError, PluginSpec, Worker};
use portcullis_core::engine::EngineError;
use portcullis_core::resources::{ForeignFunctions, Host, Shared, Wake};
use portcullis_driver::{Builder, ManyThreads, NoShards, Plugins, QueueWake, Shard, Upstreams};

/// Starts plugins for a server whose tasks move between threads: in several workers, one for each core unless
/// [`with_count`](Self::with_count) says another number. Each worker has VMs of its own; shared data and queues are
/// the same for all.
///
/// Other arrangements, such as a worker for each thread without a lock, are made of [`Builder`] and [`Shard`].
///
/// The threads that run plugins need 1 MiB of stack and three times the limit of a plugin's: 2.5 MiB, unless limits are raised. Those of
/// tokio have 2 MiB if nothing else is said (`thread_stack_size`).
#[must_use]
pub struct Workers<U> {
    upstreams: U,
    count: usize,
    make: Box<dyn Fn(Wake) -> Worker>,
    /// The instant at which the host's monotonic clock was 0.
    begin: Instant,
}

/// The reason for which plugins have not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A plugin did not start, or an engine's guests stay on their thread.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A worker cannot be used by several threads.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The number of workers is 0.
    #[error(transparent)]
    NoWorkers(#[from] NoShards),
}

impl<U: Upstreams + Clone> Workers<U> {
    /// Begins with a host, of which each VM gets a clone, and the upstreams of callouts.
    pub fn new<H: Host + Clone + 'static>(host: H, upstreams: U) -> Self {
        let now = Instant::now();
        let begin = now.checked_sub(Duration::from_nanos(host.monotonic_clock())).unwrap_or(now);
        let count = std::thread::available_parallelism().map_or(1, NonZero::get);
        let shared = Shared::default();
        let make = move |wake| {
            let host = host.clone();
            Worker::new(move || Box::new(host.clone())).with_shared(shared.clone(), wake)
        };
        Self { upstreams, count, make: Box::new(make), begin }
    }

    /// Sets the number of workers.
    pub fn with_count(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    /// Sets how a worker is made, in place of one of the host and nothing else: with budgets, the share of ticks, or what other workers
    /// share. `make` gets what [`Worker::with_shared`] wants to be told by. The clock of its hosts is to be the one of the host that
    /// [`Workers::new`] was given.
    pub fn with_worker(mut self, make: impl Fn(Wake) -> Worker + 'static) -> Self {
        self.make = Box::new(make);
        self
    }

    /// Sets what plugins may call beyond the ABI, such as the functions of Envoy.
    pub fn with_foreign_functions(mut self, functions: ForeignFunctions) -> Self {
        let make = self.make;
        self.make = Box::new(move |wake| make(wake).with_foreign_functions(functions.clone()));
        self
    }

    /// Starts plugins. [`Plugins::run`] is to be polled from then on, and [`Plugins::reload`] puts others in their place.
    ///
    /// # Errors
    /// A plugin does not start, an engine's guests cannot move between threads, or the number of workers is 0.
    pub fn start(self, specs: &[PluginSpec]) -> Result<Plugins<ManyThreads, U>, StartError> {
        let shards: Result<_, StartError> = (0..self.count).map(|_| self.shard(specs)).collect();
        Ok(Plugins::new(shards?)?)
    }

    fn shard(&self, specs: &[PluginSpec]) -> Result<Shard<ManyThreads, U>, StartError> {
        let (queues, begin) = (QueueWake::default(), self.begin);
        let worker = (self.make)(queues.wake());
        let driver = Builder::new(worker, self.upstreams.clone(), move |time| begin + time).queues(queues);
        Ok(Shard::load(driver.build_shared()?, specs)?)
    }
}

impl<U> fmt::Debug for Workers<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("count", &self.count).finish_non_exhaustive()
    }
}
