//! Several workers with the same plugins behind one handle.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use portcullis_chain::{Chain, ChainError, PluginSpec, Worker};

use crate::driver::Driver;
use crate::threads::Threads;
use crate::upstreams::Upstreams;

/// One of several workers with the same plugins: its driver, and the chain that new streams pass. Clones are the same worker.
pub struct Shard<T: Threads, U: Upstreams> {
    driver: Driver<T, U>,
    chain: T::Pointer<T::Cell<Chain>>,
}

impl<T: Threads, U: Upstreams> Shard<T, U> {
    /// Starts plugins on the worker of a driver.
    ///
    /// # Errors
    /// A plugin did not start, with its index in `specs`; none of them runs.
    pub fn load(driver: Driver<T, U>, specs: &[PluginSpec]) -> Result<Self, ChainError> {
        let chain = driver.call(|worker| worker.load(specs))?;
        Ok(Self { driver, chain: T::share(T::cell(chain)) })
    }

    /// Returns the driver of the worker.
    #[must_use]
    pub fn driver(&self) -> &Driver<T, U> {
        &self.driver
    }

    /// Calls into the worker with the chain that new streams pass, and leaves its effects to the next [`Driver::pump`].
    /// Streams are to be opened here: a chain that was taken out before may have been unloaded since ([`Plugins::reload`]), and
    /// a stream over it is answered 503. `call` must not use the driver, as in [`Driver::call`].
    pub fn with<R>(&self, call: impl FnOnce(&mut Worker, &Chain) -> R) -> R {
        self.driver.with(|worker| T::with(&self.chain, |chain| call(worker, chain)))
    }

    /// Returns whether nobody uses the worker at this moment.
    fn is_free(&self) -> bool {
        !self.driver.is_busy()
    }

    /// Puts a chain in the place of the one that new streams pass, and takes that one down.
    fn replace(&self, chain: Chain) {
        self.driver.call(|worker| {
            let old = T::with(&self.chain, |current| std::mem::replace(current, chain));
            worker.unload(&old);
        });
    }
}

/// Workers with the same plugins, over which streams are spread: as a rule one for each core. Clones are the same workers.
///
/// A driver of many threads is locked while one of its plugins runs: a thread that uses it meanwhile waits, with all that
/// the thread has to do. A proxy whose tasks move between threads takes several, and a time limit for its plugins
/// (`limits.deadline`) bounds the wait. A proxy with a thread for each core has one of these, with one shard, on each of its threads.
///
/// ```
/// # use std::sync::Arc;
/// # use portcullis_chain::{Module, PluginSpec, Worker};
/// # use portcullis_core::abi::{AbiVersion, CallbackId};
/// # use portcullis_core::model::{Direction, Headers, Plugin, StreamInfo};
/// # use portcullis_core::testing::{FakeHost, NullEngine, Script};
/// # use portcullis_driver::body::QueueBody;
/// use portcullis_driver::{Builder, Plugins, Shard};
/// # use portcullis_driver::{SendError, Upstreams};
/// # struct Nowhere;
/// # impl Upstreams for Nowhere {
/// #     type Body = http_body_util::Empty<bytes::Bytes>;
/// #     async fn send(&self, _: &str, _: http::Request<QueueBody>) -> Result<http::Response<Self::Body>, SendError> {
/// #         Err(SendError::unknown())
/// #     }
/// #     fn speaks_http2(&self, _: &str) -> Option<bool> {
/// #         None
/// #     }
/// # }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let script = || Script::new().on(CallbackId::on_request_headers, |_, _| 0);
/// # let module = Arc::new(Module::from_compiled("null", AbiVersion::V0_2_1, None, NullEngine::new(script).module()?));
/// # let specs = [PluginSpec::new(Plugin::new("pass"), module)];
/// let start = std::time::Instant::now();
/// let mut shards = Vec::new();
/// for _ in 0..std::thread::available_parallelism()?.get() {
///     let worker = Worker::new(|| Box::new(FakeHost::new()));
///     let driver = Builder::new(worker, Nowhere, move |time| start + time).build_shared()?;
///     shards.push(Shard::load(driver, &specs)?);
/// }
/// let plugins = Plugins::new(shards)?;
/// // In a task of its own: plugins.run().await
///
/// // For each request:
/// let shard = plugins.shard();
/// let stream = shard.with(|worker, chain| worker.open(chain, StreamInfo::default().into_shared(), 1 << 20));
/// # shard.driver().finish(stream);
///
/// // Other plugins, or the same with another configuration, from the next stream on:
/// plugins.reload(&specs)?;
/// # Ok(())
/// # }
/// ```
pub struct Plugins<T: Threads, U: Upstreams> {
    inner: T::Pointer<Inner<T, U>>,
}

struct Inner<T: Threads, U: Upstreams> {
    shards: Vec<Shard<T, U>>,
    next: AtomicUsize,
    /// Whether the plugins have been ended. Held by who replaces or ends them, so that all shards have the same ones afterwards.
    ended: T::Cell<bool>,
}

/// No shard was given to [`Plugins::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no shard to run plugins on; make at least one, as a rule one for each core")]
pub struct NoShards;

impl<T: Threads, U: Upstreams> Plugins<T, U> {
    /// Puts shards behind one handle. All are to have been loaded with the same plugins.
    ///
    /// # Errors
    /// No shard was given.
    pub fn new(shards: Vec<Shard<T, U>>) -> Result<Self, NoShards> {
        if shards.is_empty() {
            return Err(NoShards);
        }
        Ok(Self { inner: T::share(Inner { shards, next: AtomicUsize::new(0), ended: T::cell(false) }) })
    }

    /// Returns the shard for the next stream: each in its turn, but for those that another thread uses at this moment, unless all
    /// are. A stream stays on its shard.
    #[must_use]
    pub fn shard(&self) -> Shard<T, U> {
        let (next, count) = (self.inner.next.fetch_add(1, Ordering::Relaxed), self.inner.shards.len());
        let of = |index: usize| self.inner.shards.get(index % count);
        let free = (0..count).map(|step| next.wrapping_add(step)).find(|index| of(*index).is_some_and(Shard::is_free));
        self.shard_of(free.unwrap_or(next))
    }

    /// Returns the shard of an index, of which more than there are shards begin again: for streams that belong together, as those
    /// of a connection or of a thread do.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "there is a shard, and the index is less than their number")]
    pub fn shard_of(&self, index: usize) -> Shard<T, U> {
        self.inner.shards[index % self.inner.shards.len()].clone()
    }

    /// Returns all shards.
    pub fn shards(&self) -> impl Iterator<Item = &Shard<T, U>> {
        self.inner.shards.iter()
    }

    /// Replaces the plugins of all shards. Streams that are open keep theirs to their end; plugins that are the same before and
    /// after go on in their VMs with their state. They are tried first in VMs of their own ([`Worker::rehearse`]), so that one that
    /// fails takes no other with it. Then they start on one shard after the other. Threads that use a shard meanwhile, for whichever
    /// stream, wait; new streams get another shard. Does nothing after [`Plugins::shut_down`].
    ///
    /// # Errors
    /// A plugin did not start, with its index in `specs`; all shards go on with the plugins that they have.
    pub fn reload(&self, specs: &[PluginSpec]) -> Result<(), ChainError> {
        T::with(&self.inner.ended, |ended| {
            if *ended {
                return Ok(());
            }
            let mut chains = Vec::new();
            if let Some(first) = self.shards().next() {
                first.driver.with(|worker| worker.rehearse(specs))?;
            }
            for shard in self.shards() {
                match shard.driver.call(|worker| worker.load(specs)) {
                    Ok(chain) => chains.push(chain),
                    Err(error) => {
                        for (shard, chain) in self.shards().zip(&chains) {
                            shard.driver.call(|worker| worker.unload(chain));
                        }
                        return Err(error);
                    }
                }
            }
            let backoffs: Vec<_> = specs.iter().map(|spec| spec.reload).collect();
            for (shard, chain) in self.shards().zip(chains) {
                shard.driver.call(|worker| worker.set_backoff(&chain, &backoffs));
                shard.replace(chain);
            }
            Ok(())
        })
    }

    /// Runs the callouts, ticks and queues of all shards, for ever: [`Driver::run`] of each, in one task, which waits for a
    /// shard that another thread uses, and with it the callouts of all. Where plugins are not trusted, and to use several threads,
    /// poll [`Driver::run`] of each of [`Plugins::shards`] in a task of its own, in place of this.
    pub async fn run(self) {
        join_all(self.shards().map(|shard| shard.driver.clone().run())).await;
    }

    /// Ends all plugins, and gives them `limit` for it. Returns whether they have ended by themselves. [`Plugins::run`] has to
    /// go on meanwhile.
    pub async fn shut_down(&self, limit: Duration) -> bool {
        T::with(&self.inner.ended, |ended| *ended = true);
        join_all(self.shards().map(|shard| shard.driver.shut_down(limit))).await.into_iter().all(|ended| ended)
    }
}

impl<T: Threads, U: Upstreams> Clone for Shard<T, U> {
    fn clone(&self) -> Self {
        Self { driver: self.driver.clone(), chain: self.chain.clone() }
    }
}

impl<T: Threads, U: Upstreams> Clone for Plugins<T, U> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<T: Threads, U: Upstreams> std::fmt::Debug for Shard<T, U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard").finish_non_exhaustive()
    }
}

impl<T: Threads, U: Upstreams> std::fmt::Debug for Plugins<T, U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugins").field("shards", &self.inner.shards.len()).finish_non_exhaustive()
    }
}
