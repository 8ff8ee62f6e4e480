//! Starting plugins for a proxy.

use std::time::{Duration, Instant};

use portcullis_chain::{ChainError, PluginSpec, Worker};
use portcullis_core::engine::EngineError;
use portcullis_core::resources::{Host, Shared};
use portcullis_driver::{Builder, ManyThreads, NoShards, Plugins, QueueWake, Shard};

use crate::limits::limits_of;
use crate::options::Options;
use crate::upstreams::Clusters;

/// Plugins were not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A plugin did not start.
    #[error("plugin {name:?} did not start")]
    Plugin {
        /// The plugin's name.
        name: String,
        /// The reason.
        source: ChainError,
    },
    /// The plugins' engine keeps them on one thread, and Pingora does not.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No shard was asked for.
    #[error(transparent)]
    NoShards(#[from] NoShards),
}

/// Starts plugins on as many workers as a proxy has threads, with shared data and queues between them, and logs what Pingora cannot do of what
/// they may ([`limits_of`]). `host` makes the host of a VM, `clock` the instants of its monotonic clock.
///
/// Workers that are to be set up in another way are put together with [`Builder`], [`Shard::load`] and [`Plugins::new`].
///
/// # Errors
/// A plugin did not start, or `shards` is 0.
///
/// ```
/// # use std::sync::Arc;
/// # use portcullis::{DefaultEngine, Module, engine::EngineSettings};
/// use portcullis::system::SystemClock;
/// use portcullis::{PluginSpec, SystemHost, model::Plugin};
/// use portcullis_pingora::{Clusters, Options, start};
///
/// # let code = wat::parse_str(r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
/// #     (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096)))"#)?;
/// # let module = Arc::new(Module::load(&DefaultEngine::new(&EngineSettings::default())?, code.into())?);
/// let specs = [PluginSpec::new(Plugin::new("example"), module)];
/// let host = SystemHost::new(|line| eprintln!("{}", String::from_utf8_lossy(line.message)));
/// let (clusters, clock) = (Clusters::none(), SystemClock::new());
/// let plugins = start(&specs, 2, &clusters, &Options::default(), move || Box::new(host.clone()), move |time| clock.instant(time))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn start(
    specs: &[PluginSpec],
    shards: usize,
    clusters: &Clusters,
    options: &Options,
    host: impl Fn() -> Box<dyn Host> + Clone + Send + 'static,
    clock: impl Fn(Duration) -> Instant + Clone + Send + Sync + 'static,
) -> Result<Plugins<ManyThreads, Clusters>, StartError> {
    for warning in specs.iter().flat_map(|spec| limits_of(spec, options)) {
        tracing::warn!("{warning}");
    }
    let shared = Shared::default();
    let shards = (0..shards).map(|_| {
        let queues = QueueWake::default();
        let worker = Worker::new(host.clone()).with_shared(shared.clone(), queues.wake());
        let driver = Builder::new(worker, clusters.clone(), clock.clone()).queues(queues).build_shared()?;
        Shard::load(driver, specs).map_err(|source| StartError::Plugin { name: name_of(specs, &source), source })
    });
    Ok(Plugins::new(shards.collect::<Result<_, StartError>>()?)?)
}

fn name_of(specs: &[PluginSpec], error: &ChainError) -> String {
    specs.get(error.index).map(|spec| spec.plugin.name.clone()).unwrap_or_default()
}
