//! `tier: fast-start`: plugins serve on the interpreter at once, and are compiled meanwhile.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use portcullis::Module;
use portcullis::chain::{LoadError, Snapshot, Tier};
use portcullis::code_cache::CodeCache;
use portcullis::engine::AnyEngine;

use crate::plan::loader::Loader;

/// Priority of threads that compile (`nice`), below that of the workers.
const NICE: i32 = 10;

/// A module to be compiled while its plugin serves.
pub struct Job {
    /// The first plugin that waits for it.
    pub(crate) plugin: String,
    /// The name of the module.
    pub(crate) what: String,
    pub(crate) engine: Arc<dyn AnyEngine>,
    pub(crate) code: Bytes,
    pub(crate) loader: Loader,
    /// The receiver of the compiled module.
    pub(crate) tier_up: TierUp,
}

/// The receiver of a compiled module.
pub(crate) enum TierUp {
    /// VMs that last; their code is kept.
    Tier(Arc<Tier>),
    /// VMs for streams.
    Snapshot(Arc<Snapshot>),
}

/// Compiles one module after the other on a thread that is not joined and ends with the process. `published` is called after each
/// module, and has to notify workers; no further module is compiled once `stopped` returns true.
///
/// # Errors
/// The thread cannot be started.
pub fn compile_all(
    jobs: Vec<Job>,
    cache: Option<Arc<CodeCache>>,
    published: impl Fn() + Send + 'static,
    stopped: impl Fn() -> bool + Send + 'static,
) -> std::io::Result<()> {
    for job in &jobs {
        tracing::info!(
            plugin = job.plugin,
            module = job.what,
            engine = job.engine.name(),
            "serving on wasmi while it is compiled"
        );
    }
    let compile = move || {
        giving_way(move || {
            for job in jobs.iter().take_while(|_| !stopped()) {
                let begin = Instant::now();
                let result = job.run(cache.as_deref());
                job.tell(&result, begin.elapsed());
                published();
            }
        });
    };
    std::thread::Builder::new().name("compiler".to_owned()).spawn(compile).map(drop)
}

impl Job {
    /// Returns the name of the module.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Compiles the module and publishes it to its receiver.
    ///
    /// # Errors
    /// The engine cannot compile it.
    pub fn run(&self, cache: Option<&CodeCache>) -> Result<(), LoadError> {
        match &self.tier_up {
            TierUp::Tier(tier) => tier.publish(self.load(cache)?),
            // What is drawn at random while a plugin starts is in it, so it is not kept.
            TierUp::Snapshot(snapshot) => snapshot.publish(self.load(None)?),
        }
        Ok(())
    }

    fn load(&self, cache: Option<&CodeCache>) -> Result<Module, LoadError> {
        self.loader.load(cache, &*self.engine, self.code.clone(), &self.what)
    }

    fn tell(&self, result: &Result<(), LoadError>, elapsed: Duration) {
        let (plugin, module, engine) = (&self.plugin, &self.what, self.engine.name());
        match result {
            Ok(()) => tracing::info!(plugin, module, engine, ?elapsed, "compiled; new streams run on this engine"),
            Err(error) => tracing::error!(plugin, module, engine, "cannot be compiled and stays on wasmi: {error}"),
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("what", &self.what).field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// Does something on this thread alone, also what engines compile, and lets the thread run from now on when no other one wants to. On
/// Linux a thread has a priority of its own; elsewhere it keeps that of the process.
pub fn giving_way<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    // Engines compile on as many threads as the pool has that they are called in.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    give_way();
    match pool {
        Ok(pool) => pool.install(work),
        Err(_) => work(),
    }
}

fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "cannot lower the priority of a thread that compiles");
    }
}
