//! `tier: fast-start`: plugins serve on the interpreter at once, and are compiled meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, io};

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
) -> io::Result<()> {
    for job in &jobs {
        tracing::info!(
            plugin = job.plugin,
            module = job.what,
            engine = job.engine.name(),
            "serving on wasmi while it is compiled"
        );
    }
    let compile = move || {
        for job in jobs.iter().take_while(|_| !stopped()) {
            let begin = Instant::now();
            let result = job.run(cache.as_deref());
            job.tell(&result, begin.elapsed());
            published();
        }
    };
    let pool = one_thread("compiler", None).start_handler(|_| give_way());
    // A panic ends this thread alone, not the process; the panic hook has logged it.
    let pool = pool.panic_handler(drop).build().map_err(not_started)?;
    // The thread ends behind it, as the pool is dropped here.
    pool.spawn(compile);
    Ok(())
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

/// Does something on one thread of its own, also what engines compile, which runs when no other thread wants to; returns when that
/// thread has ended. On Linux a thread has a priority of its own; elsewhere it keeps that of the process. `stack` is the bytes of its
/// stack, if not those of any thread.
///
/// # Errors
/// The thread cannot be started.
pub fn giving_way<R: Send>(name: &str, stack: Option<usize>, work: impl FnOnce() -> R + Send) -> io::Result<R> {
    let run = |thread: rayon::ThreadBuilder| {
        give_way();
        thread.run();
    };
    one_thread(name, stack).build_scoped(run, |pool| pool.install(work)).map_err(not_started)
}

/// Returns what makes a pool of one thread: engines compile on as many threads as the pool has that they are called in. The pool is not
/// to be made of the current thread, as rayon never frees such a pool (7.5 KiB each).
fn one_thread(name: &str, stack: Option<usize>) -> rayon::ThreadPoolBuilder {
    let name = name.to_owned();
    let builder = rayon::ThreadPoolBuilder::new().num_threads(1).thread_name(move |_| name.clone());
    match stack {
        Some(bytes) => builder.stack_size(bytes),
        None => builder,
    }
}

fn not_started(error: rayon::ThreadPoolBuildError) -> io::Error {
    io::Error::other(error)
}

fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "cannot lower the priority of a thread that compiles");
    }
}
