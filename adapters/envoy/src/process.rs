//! The parts of the module of which a process has one: a worker of plugins for each of Envoy's, and compiled modules.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use portcullis::abi::LogLevel;
use portcullis::chain::{ChainError, Isolation, LoadError};
use portcullis::engine::{AnyEngine, EngineError, EngineSettings};
use portcullis::model::Direction;
use portcullis::resources::{Host, Shared};
use portcullis::snapshot::{SnapshotError, snapshot};
use portcullis::vm::Part;
use portcullis::{Chain, Module, PluginSpec, Worker};
use portcullis_driver::{Builder, Driver, ManyThreads, QueueWake};
use tokio::runtime::Handle;

use crate::callouts::{Clusters, Outbox, Outboxes};
use crate::config::{self, Configured};
use crate::envoy::{Log, Requests, Scheduler};
use crate::host::EnvoyHost;
use crate::metrics::{Ids, METRICS, Meters, Metrics};

/// The driver of one of Envoy's workers.
pub(crate) type Shard = Driver<ManyThreads, Clusters>;

/// The number of VMs for single streams for which an engine keeps memory at hand.
const PLACES: u32 = 1024;

/// Envoy's workers as plugins see them, and what they share.
#[derive(Debug)]
pub(crate) struct Process {
    shards: Vec<Shard>,
    /// The runtimes of their threads.
    runtimes: Vec<Handle>,
    host: EnvoyHost,
    shared: Shared,
    outboxes: Arc<Outboxes>,
    engines: Mutex<Engines>,
    modules: Mutex<Modules>,
    has_lost_trailers: AtomicBool,
}

/// Engines that run, by name, and whether they have memory at hand for VMs of single streams.
type Engines = HashMap<(&'static str, bool), Arc<dyn AnyEngine>>;

/// Compiled modules that filters use, by engine and code.
type Modules = HashMap<(&'static str, bool, Bytes), Weak<Module>>;

/// A plugin that cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("{0}")]
    Config(#[from] config::Invalid),
    #[error("vm_config.code.local.filename: {path}: {source}; name a file that Envoy may read")]
    File { path: String, source: std::io::Error },
    #[error("{0}")]
    Engine(#[from] EngineError),
    #[error("plugin {name}: {source}")]
    Module { name: String, source: LoadError },
    #[error("plugin {name}: {source}")]
    Snapshot { name: String, source: SnapshotError },
    #[error("plugin {name} does not start: {source}")]
    Start { name: String, source: LoadError },
    #[error("there is no Envoy around the module")]
    NoEnvoy,
    #[error("the module has no thread for callouts and ticks: {0}")]
    Thread(#[from] std::io::Error),
}

impl Process {
    /// Begins with as many workers as Envoy has.
    pub(crate) fn new(workers: usize, log: Arc<dyn Log>) -> Result<Self, Refused> {
        let (host, shared, outboxes) = (EnvoyHost::new(log), Shared::default(), Arc::<Outboxes>::default());
        let (mut shards, mut runtimes) = (Vec::new(), Vec::new());
        for index in 0..workers.max(1) {
            let (queues, own) = (QueueWake::default(), host.clone());
            let worker = Worker::new(move || Box::new(own.clone()) as Box<dyn Host>)
                .with_shared(shared.clone(), queues.wake())
                .with_foreign_functions(portcullis::foreign::envoy_functions());
            let clock = host.clock;
            let clusters = Clusters::new(Arc::clone(&outboxes));
            let builder = Builder::new(worker, clusters, move |time| clock.instant(time)).queues(queues);
            let shard = builder.build_shared()?;
            runtimes.push(spawn(index, &shard, &host)?);
            shards.push(shard);
        }
        if let Some(runtime) = runtimes.first() {
            runtime.spawn(tell_metrics(host.metrics.clone(), Arc::clone(&outboxes)));
        }
        let (engines, modules, has_lost_trailers) = Default::default();
        Ok(Self { shards, runtimes, host, shared, outboxes, engines, modules, has_lost_trailers })
    }

    /// Returns the driver of one of Envoy's workers, by its index.
    pub(crate) fn shard(&self, index: usize) -> Option<&Shard> {
        self.shards.get(index.checked_rem(self.shards.len())?)
    }

    /// Returns the runtime of the thread of one of Envoy's workers.
    pub(crate) fn runtime(&self, index: usize) -> Option<&Handle> {
        self.runtimes.get(index.checked_rem(self.runtimes.len())?)
    }

    pub(crate) fn host(&self) -> &EnvoyHost {
        &self.host
    }

    /// Notes, once in the log, that a plugin has made trailers where none came.
    ///
    /// differs: Envoy's own filter sends them; the ABI of 1.40 has no function that makes them.
    pub(crate) fn note_lost_trailers(&self) {
        if !self.has_lost_trailers.swap(true, Ordering::Relaxed) {
            let line = "a plugin has made trailers for a message that came without, which a dynamic module cannot send; they are dropped. \
                        Let the plugin use a header, or run it in Envoy's own Wasm filter";
            self.host.say(LogLevel::Warn, line);
        }
    }

    /// Compiles the code of a plugin, unless it is in use already.
    fn module(&self, configured: &Configured, in_places: bool) -> Result<Arc<Module>, Refused> {
        let path = &configured.code;
        let code = std::fs::read(path).map_err(|source| Refused::File { path: path.display().to_string(), source })?;
        let code = Bytes::from(code);
        let engine = self.engine(configured, in_places)?;
        let key = (engine.name(), in_places, code.clone());
        // Held while a module is compiled: configurations come one after the other.
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.get(&key).and_then(Weak::upgrade) {
            return Ok(module);
        }
        let name = || configured.plugin.name.clone();
        let module = Module::load(&*engine, code).map_err(|source| Refused::Module { name: name(), source })?;
        let module = Arc::new(module);
        modules.retain(|_, module| module.strong_count() > 0);
        modules.insert(key, Arc::downgrade(&module));
        Ok(module)
    }

    /// Returns the engine of a plugin; one with `in_places` has memory at hand for VMs of single streams.
    fn engine(&self, configured: &Configured, in_places: bool) -> Result<Arc<dyn AnyEngine>, Refused> {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = engines.get(&(configured.engine.name, in_places)) {
            return Ok(Arc::clone(engine));
        }
        let settings = EngineSettings::default().with_places(in_places.then_some(PLACES));
        let engine: Arc<dyn AnyEngine> = Arc::from(configured.engine.start(&settings)?);
        engines.insert((configured.engine.name, in_places), Arc::clone(&engine));
        Ok(engine)
    }

    fn spec(&self, configured: &Configured) -> Result<PluginSpec, Refused> {
        let in_places = configured.isolation == Isolation::Stream;
        let module = self.module(configured, in_places)?;
        let spec = PluginSpec::new(configured.plugin.clone(), module)
            .with_vm(configured.vm.clone())
            .with_reload(configured.reload)
            .with_isolation(configured.isolation);
        if !in_places {
            return Ok(spec);
        }
        let (engine, host) = (self.engine(configured, true)?, self.host.clone());
        let host = move || -> Box<dyn Host> { Box::new(host.clone()) };
        let taken = snapshot(&*engine, &spec, self.shared.clone(), portcullis::foreign::envoy_functions(), host);
        let taken = taken.map_err(|source| Refused::Snapshot { name: configured.plugin.name.clone(), source })?;
        Ok(spec.with_snapshot(Arc::new(taken)))
    }
}

/// A plugin that runs in all workers. Dropping it takes it down.
#[derive(Debug)]
pub(crate) struct Loaded {
    process: Arc<Process>,
    /// By the index of the worker.
    chains: Vec<Chain>,
    /// Whether the plugin has a callback for headers, body and trailers, of requests and of responses.
    hears: [[bool; 3]; 2],
}

impl Loaded {
    /// Starts a plugin in all workers.
    pub(crate) fn new(process: &Arc<Process>, text: &[u8]) -> Result<Self, Refused> {
        Self::start(process, &process.spec(&config::read(text)?)?)
    }

    pub(crate) fn start(process: &Arc<Process>, spec: &PluginSpec) -> Result<Self, Refused> {
        // What has started ends with this, also where a later worker refuses.
        let mut loaded = Self { process: Arc::clone(process), chains: Vec::new(), hears: [[true; 3]; 2] };
        for shard in &process.shards {
            let chain = shard.call(|worker| worker.load(std::slice::from_ref(spec)));
            let chain =
                chain.map_err(|ChainError { source, .. }| Refused::Start { name: spec.plugin.name.clone(), source })?;
            loaded.chains.push(chain);
        }
        if let (Some(shard), Some(chain)) = (process.shards.first(), loaded.chains.first()) {
            loaded.hears = [Direction::Request, Direction::Response].map(|direction| {
                [Part::Headers, Part::Body, Part::Trailers]
                    .map(|part| shard.with(|worker| worker.has_callback_for(chain, direction, part)))
            });
        }
        Ok(loaded)
    }

    /// Returns the driver and the chain of a worker.
    pub(crate) fn on(&self, worker: usize) -> Option<(&Shard, &Chain)> {
        let index = worker.checked_rem(self.chains.len())?;
        Some((self.process.shard(index)?, self.chains.get(index)?))
    }

    /// Returns whether the plugin has a callback for a part.
    pub(crate) fn hears(&self, direction: Direction, part: Part) -> bool {
        let [request, response] = self.hears;
        let [headers, body, trailers] = if direction == Direction::Request { request } else { response };
        match part {
            Part::Headers => headers,
            Part::Body => body,
            Part::Trailers => trailers,
        }
    }

    pub(crate) fn process(&self) -> &Arc<Process> {
        &self.process
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        for (shard, chain) in self.process.shards.iter().zip(&self.chains) {
            shard.call(|worker| worker.unload(chain));
        }
    }
}

/// The configuration of a filter that Envoy has.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) loaded: Arc<Loaded>,
    /// The requests that the main thread makes for plugins.
    pub(crate) exchanges: crate::callouts::Exchanges,
    pub(crate) outbox: Arc<Outbox>,
    metrics: Ids,
}

impl Config {
    /// Starts the plugin, and lets plugins call out by way of the scheduler.
    pub(crate) fn new(
        process: &Arc<Process>,
        text: &[u8],
        scheduler: Option<Box<dyn Scheduler>>,
        envoy: &mut dyn Meters,
    ) -> Result<Self, Refused> {
        // A plugin may call out while it starts; the request is made once Envoy has the configuration.
        let outbox = Arc::new(Outbox::new(scheduler));
        process.outboxes.add(Arc::clone(&outbox));
        let loaded = Loaded::new(process, text);
        if loaded.is_err() {
            process.outboxes.remove(&outbox);
            outbox.close();
        }
        let loaded = Arc::new(loaded?);
        // By now the plugin has defined most of its metrics.
        let metrics = process.host.metrics.define_in(envoy);
        Ok(Self { loaded, exchanges: Default::default(), outbox, metrics })
    }

    /// Does what the main thread was called for.
    pub(crate) fn called<E: Requests + Meters>(&self, envoy: &mut E, event: u64) {
        if event == METRICS {
            self.loaded.process.host.metrics.tell(&self.metrics, envoy);
        } else {
            self.exchanges.carry_out(envoy, self.outbox.take());
        }
    }
}

impl Drop for Config {
    /// Envoy ends what the configuration has in flight, and tells nothing of it: the senders of its events end here.
    fn drop(&mut self) {
        self.loaded.process.outboxes.remove(&self.outbox);
        self.outbox.close();
    }
}

/// Has the main thread tell Envoy how metrics have changed, for ever.
async fn tell_metrics(metrics: Metrics, outboxes: Arc<Outboxes>) {
    loop {
        metrics.changed().await;
        outboxes.call(METRICS);
    }
}

/// Runs the callouts, ticks and queues of a worker's plugins, on a thread of the module's own.
fn spawn(index: usize, shard: &Shard, host: &EnvoyHost) -> std::io::Result<Handle> {
    let (shard, host) = (shard.clone(), host.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let handle = runtime.handle().clone();
    let run = move || {
        loop {
            let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(shard.clone().run())));
            if ended.is_err() {
                host.say(
                    LogLevel::Critical,
                    "callouts and ticks begin again after a panic; report it with the line on standard error",
                );
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    };
    std::thread::Builder::new().name(format!("portcullis-{index}")).spawn(run)?;
    Ok(handle)
}
