//! The parts of the module of which a process has one: a worker of plugins for each of Envoy's, and what they share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portcullis::abi::LogLevel;
use portcullis::chain::ChainError;
use portcullis::engine::EngineError;
use portcullis::model::Direction;
use portcullis::resources::{Host, Shared};
use portcullis::vm::Part;
use portcullis::{Chain, PluginSpec, Worker};
use portcullis_config::{ConfigError, LoadOptions, PluginsError, PluginsFile};
use portcullis_driver::{Builder, Driver, ManyThreads, QueueWake};
use tokio::runtime::Handle;

use crate::callouts::{Clusters, Membership, Outbox, Outboxes};
use crate::envoy::{Log, Requests, Scheduler};
use crate::host::EnvoyHost;
use crate::metrics::{Ids, METRICS, Meters, Metrics};

/// The driver of one of Envoy's workers.
pub(crate) type Shard = Driver<ManyThreads, Clusters>;

/// The variable of the environment with the program that compiles modules in processes of their own: the command `portcullis`.
const COMPILER: &str = "PORTCULLIS_ENVOY_COMPILER";

/// Envoy's workers as plugins see them, and what they share.
#[derive(Debug)]
pub(crate) struct Process {
    shards: Vec<Shard>,
    /// The runtimes of their threads.
    runtimes: Vec<Handle>,
    host: EnvoyHost,
    /// Has engines, compiled modules and shared data in one place.
    options: LoadOptions,
    outboxes: Outboxes,
    has_lost_trailers: AtomicBool,
    has_foreign_route: AtomicBool,
}

/// A plugin that cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Plugin(#[from] PluginsError),
    #[error("{0}")]
    Engine(#[from] EngineError),
    #[error("the filter's configuration is no text; write Envoy's PluginConfig as JSON")]
    NoText,
    #[error("there is no Envoy around the module")]
    NoEnvoy,
    #[error("the module has no thread for callouts and ticks: {0}; raise the limit of threads")]
    Thread(#[from] std::io::Error),
}

impl Process {
    /// Begins with as many workers as Envoy has.
    pub(crate) fn new(workers: usize, log: Arc<dyn Log>) -> Result<Self, Refused> {
        let (host, shared, outboxes) = (EnvoyHost::new(log), Shared::default(), Outboxes::default());
        let (mut shards, mut runtimes) = (Vec::new(), Vec::new());
        for index in 0..workers.max(1) {
            let (queues, own) = (QueueWake::default(), host.clone());
            let worker = Worker::new(move || Box::new(own.clone()) as Box<dyn Host>)
                .with_shared(shared.clone(), queues.wake())
                .with_foreign_functions(portcullis::foreign::envoy_functions());
            let clock = host.clock;
            let clusters = Clusters::new(outboxes.clone());
            let builder = Builder::new(worker, clusters, move |time| clock.instant(time)).queues(queues);
            let shard = builder.build_shared()?;
            runtimes.push(spawn(index, &shard, &host)?);
            shards.push(shard);
        }
        if let Some(runtime) = runtimes.first() {
            runtime.spawn(tell_metrics(host.metrics.clone(), outboxes.clone()));
        }
        let mut options = LoadOptions::default().with_workers(shards.len()).with_shared(shared);
        if let Some(program) = std::env::var_os(COMPILER) {
            options = options.with_compiler(program);
        }
        let (has_lost_trailers, has_foreign_route) = Default::default();
        Ok(Self { shards, runtimes, host, options, outboxes, has_lost_trailers, has_foreign_route })
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

    /// Notes, once in the log, that a route has something for a filter of this library that this library has not made.
    pub(crate) fn note_foreign_route(&self) {
        if !self.has_foreign_route.swap(true, Ordering::Relaxed) {
            let line = "a route's typed_per_filter_config has, under the name of a filter of this module, the configuration of another module; \
                        streams of such routes are answered 503. Give the filters of each module names of their own";
            self.host.say(LogLevel::Error, line);
        }
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
    /// The names of its plugins, for messages.
    plugins: Vec<String>,
}

impl Loaded {
    /// Starts a plugin in all workers. `name` is the filter's, for messages and for a plugin without a name.
    pub(crate) fn new(process: &Arc<Process>, name: &str, text: &[u8]) -> Result<Self, Refused> {
        let text = std::str::from_utf8(text).map_err(|_| Refused::NoText)?;
        let file = PluginsFile::from_envoy(text, name)?;
        let host = process.host.clone();
        file.notices().iter().for_each(|notice| host.say(LogLevel::Warn, &notice.to_string()));
        let mut plugins = file.load(&process.options, &move || Box::new(host.clone()) as Box<dyn Host>)?;
        let loaded = Self::start(process, plugins.specs()).map_err(|ChainError { index, source, .. }| {
            let name = plugins.specs().get(index).map_or("", |spec| &spec.plugin.name);
            plugins.explain(name, &source)
        })?;
        let shards = process.shards.clone();
        plugins.tier_up(move || {
            for shard in &shards {
                shard.call(Worker::tier_up);
            }
        })?;
        Ok(loaded)
    }

    /// Starts plugins, as a chain, in all workers.
    pub(crate) fn start(process: &Arc<Process>, specs: &[PluginSpec]) -> Result<Self, ChainError> {
        // What has started ends with this, also where a later worker refuses.
        let (process, plugins) = (Arc::clone(process), specs.iter().map(|spec| spec.plugin.name.clone()).collect());
        let mut loaded = Self { process: Arc::clone(&process), chains: Vec::new(), hears: [[true; 3]; 2], plugins };
        loaded.plugins.iter().for_each(|plugin| process.host.metrics.begin(plugin));
        for shard in &process.shards {
            loaded.chains.push(shard.call(|worker| worker.load(specs))?);
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

    /// Returns the names of its plugins, for messages.
    pub(crate) fn plugins(&self) -> String {
        self.plugins.join(", ")
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
        self.plugins.iter().for_each(|plugin| self.process.host.metrics.end(plugin));
    }
}

/// The configuration of a filter that Envoy has.
#[derive(Debug)]
pub(crate) struct Config {
    /// Ends first: Envoy ends what the configuration has in flight and tells nothing of it, so the senders of its events end here.
    outbox: Membership,
    pub(crate) loaded: Arc<Loaded>,
    /// The requests that the main thread makes for plugins.
    pub(crate) exchanges: crate::callouts::Exchanges,
    metrics: Ids,
}

impl Config {
    /// Starts the plugin, and lets plugins call out by way of the scheduler.
    pub(crate) fn new(
        process: &Arc<Process>,
        name: &str,
        text: &[u8],
        scheduler: Option<Box<dyn Scheduler>>,
        envoy: &mut dyn Meters,
    ) -> Result<Self, Refused> {
        // A plugin may call out while it starts; the request is made once Envoy has the configuration.
        // Ended with this function if the plugin does not start.
        let outbox = process.outboxes.add(Outbox::new(scheduler));
        let loaded = Arc::new(Loaded::new(process, name, text)?);
        outbox.accept();
        // By now the plugin has defined most of its metrics.
        let metrics = process.host.metrics.define_in(envoy);
        Ok(Self { outbox, loaded, exchanges: Default::default(), metrics })
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

/// Has the main thread tell Envoy how metrics have changed, for ever.
async fn tell_metrics(metrics: Metrics, outboxes: Outboxes) {
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::testing::Lines;

    struct NoMeters;

    impl Meters for NoMeters {
        fn define(&mut self, _: portcullis::abi::MetricType, _: &str, _: &[&str]) -> Option<usize> {
            None
        }

        fn tell(&mut self, _: portcullis::abi::MetricType, _: usize, _: &[&str], _: u64) {}
    }

    #[test]
    fn a_configuration_that_is_refused_leaves_nothing() {
        let process = Arc::new(Process::new(1, Arc::new(Lines::default())).unwrap());
        assert!(Config::new(&process, "f", b"{", None, &mut NoMeters).is_err());
        assert!(process.outboxes.is_empty());
    }
}
