//! Plugins of a file, ready for workers.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use portcullis::chain::{ChainError, LoadError};
use portcullis::code_cache::{CodeCache, CodeCacheError};
use portcullis::engine::EngineChoiceError;
use portcullis::resources::{Host, Shared, Wake};
use portcullis::{Chain, PluginSpec, Worker};

use crate::plan::advice::advise;
use crate::plan::compiler::{Compiler, EngineOptions};
use crate::plan::engines::SharedEngines;
use crate::plan::loader::tell_outdated;
use crate::plan::remedy::explain;
use crate::plan::sandboxes::{self, Configured, Sandboxes};
use crate::plan::snapshots::{self, NewHost};
use crate::plan::stack;
use crate::plan::tier::{self, Job};
use crate::{ConfigError, Diagnostic, Plugin, Settings};

/// How plugins are loaded.
///
/// Plugins that are loaded with the same options, or with clones of them, have data, queues, budgets, engines and compiled modules in
/// common, as a program wants that loads its file again, or plugins one by one. [`LoadOptions::default`] has nothing in common with
/// another.
///
/// ```
/// use portcullis_config::LoadOptions;
///
/// let options = LoadOptions::default().with_workers(4).with_compiler("/usr/bin/portcullis");
/// ```
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    engine: Option<String>,
    compiler: Option<PathBuf>,
    workers: Option<usize>,
    stream_plugins: usize,
    shared: Shared,
    engines: SharedEngines,
}

impl LoadOptions {
    /// Runs all plugins on the engine of this name, whatever `runtime` says.
    #[must_use]
    pub fn with_engine(self, name: impl Into<String>) -> Self {
        Self { engine: Some(name.into()), ..self }
    }

    /// Compiles modules by this program, which is started for each with the argument
    /// [`compile::COMMAND`](super::compile::COMMAND) and has to call [`compile::run`](super::compile::run) then; the command `portcullis` is
    /// one, and [`compile`](super::compile) shows how to be one. Without it modules are compiled in this process, and
    /// `limits.compile` bounds nothing: a plugin that is not trusted can take all memory, or a CPU for minutes.
    #[must_use]
    pub fn with_compiler(self, program: impl Into<PathBuf>) -> Self {
        Self { compiler: Some(program.into()), ..self }
    }

    /// Says how many workers will have the plugins, which share the VMs that an engine makes for single streams; one for each core without
    /// it.
    #[must_use]
    pub fn with_workers(self, count: usize) -> Self {
        Self { workers: Some(count), ..self }
    }

    /// Says how many plugins with `isolation: stream` will share the engines, those of other loads included; only those of
    /// one load without it. An engine makes 10,240 VMs for single streams: each plugin gets an equal part for each worker, so that
    /// none can use up another's.
    #[must_use]
    pub fn with_stream_plugins(self, count: usize) -> Self {
        Self { stream_plugins: count, ..self }
    }

    /// Has the plugins share the data, queues and budgets of `shared`. Workers need the same, as [`LoadedPlugins::worker`] gives them.
    #[must_use]
    pub fn with_shared(self, shared: Shared) -> Self {
        Self { shared, ..self }
    }

    /// Has the plugins use these engines, and the modules that they have compiled.
    #[must_use]
    pub fn with_engines(self, engines: SharedEngines) -> Self {
        Self { engines, ..self }
    }
}

/// Plugins of a file, compiled and placed in sandboxes, for any number of workers.
#[derive(Debug)]
pub struct LoadedPlugins {
    plugins: Vec<Plugin>,
    settings: Settings,
    specs: Vec<PluginSpec>,
    shared: Shared,
    sandboxes: Sandboxes,
    jobs: Vec<Job>,
    notices: Vec<Diagnostic>,
    cache: Option<Arc<CodeCache>>,
}

/// Why plugins cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginsError {
    /// The configuration, or a plugin that it names.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The engine for all plugins.
    #[error(transparent)]
    Engine(#[from] EngineChoiceError),
    /// The folder of compiled code.
    #[error("code_cache: {0}")]
    CodeCache(#[from] CodeCacheError),
    /// A thread on which plugins are started once.
    #[error("cannot start a thread: {0}; raise the limit of threads (`ulimit -u`)")]
    Thread(#[from] io::Error),
}

impl LoadedPlugins {
    pub(crate) fn load(
        plugins: &[Plugin],
        settings: &Settings,
        options: &LoadOptions,
        host: NewHost<'_>,
    ) -> Result<Self, PluginsError> {
        let cache = settings.code_cache.as_deref().map(CodeCache::open).transpose()?;
        if let Some(cache) = &cache {
            tell_outdated(cache);
        }
        let engine = EngineOptions {
            compiler: options.compiler.as_deref(),
            engine: options.engine.as_deref(),
            ..EngineOptions::default()
        };
        let compiler = Compiler::new(engine, cache)?.with_engines(options.engines.clone());
        let mut compiler = compiler.with_stream_plugins(options.stream_plugins);
        let mut specs = compile_all(&mut compiler, plugins)?;
        let (sandboxes, placements) = sandboxes::place(settings.sharing, &configured(plugins, &specs))?;
        specs.iter_mut().zip(&placements).for_each(|(spec, placement)| spec.isolated = placement.isolated);
        let workers = options.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let mut pairs: Vec<_> = plugins.iter().zip(&mut specs).collect();
        snapshots::take(&mut pairs, &mut compiler, workers, host, &options.shared)??;
        let ((jobs, cache), notices) = (compiler.take_jobs(), compiler.take_notices());
        let (plugins, settings, shared) = (plugins.to_vec(), settings.clone(), options.shared.clone());
        Ok(Self { plugins, settings, specs, shared, sandboxes, jobs, notices, cache })
    }

    /// Returns the plugins for [`Worker::load`], in the order of the file.
    pub fn specs(&self) -> &[PluginSpec] {
        &self.specs
    }

    /// Returns the plugin of a name.
    pub fn spec(&self, name: &str) -> Option<&PluginSpec> {
        self.specs.iter().find(|spec| spec.plugin.name == name)
    }

    /// Returns what plugins share across workers: data, queues and budgets.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Returns which plugins share a VM, and which do not and why.
    pub fn sandboxes(&self) -> &Sandboxes {
        &self.sandboxes
    }

    /// Returns the bytes of stack that threads need which run these plugins. The threads of some runtimes have less.
    pub fn stack_size(&self) -> usize {
        stack::size(self.specs.iter())
    }

    /// Returns what the operator should know of how plugins were loaded, and is no error: debug information that was left out, and random
    /// bytes that every stream begins with. Each is an event of `tracing`, too; this is for programs that have another log.
    pub fn notices(&self) -> &[Diagnostic] {
        &self.notices
    }

    /// Returns advice to the operator: where the rights of plugins differ from what these can use. The work is that of reading all of
    /// their code.
    pub fn advice(&self) -> Vec<Diagnostic> {
        advise(&configured(&self.plugins, &self.specs))
    }

    /// Makes a worker as the file says: with what plugins share, Envoy's foreign functions and the share of ticks. `wake` is called when a
    /// queue has items ([`Worker::with_shared`]).
    pub fn worker(&self, host: impl Fn() -> Box<dyn Host> + Send + 'static, wake: Wake) -> Worker {
        Worker::new(host)
            .with_shared(self.shared.clone(), wake)
            .with_tick_share(self.settings.tick_share)
            .with_foreign_functions(portcullis::foreign::envoy_functions())
    }

    /// Starts all plugins in a worker, as a chain in the order of the file.
    ///
    /// # Errors
    /// The first plugin that does not start, with its place in the file.
    pub fn start(&self, worker: &mut Worker) -> Result<Chain, ConfigError> {
        worker.load(&self.specs).map_err(|ChainError { index, source, .. }| {
            let name = self.specs.get(index).map_or("", |spec| &spec.plugin.name);
            self.explain(name, &source)
        })
    }

    /// Explains why the plugin of a name was not started by a worker, at its place in the file.
    pub fn explain(&self, name: &str, error: &LoadError) -> ConfigError {
        match self.plugins.iter().find(|plugin| plugin.name == name) {
            Some(plugin) => explain(plugin, error).into(),
            None => Diagnostic::of_file("", error.to_string(), "see the plugin's log lines above").into(),
        }
    }

    /// Compiles the modules of plugins with `tier: fast-start`, on a thread of its own that gives way to others, if there are some.
    /// `published` is called on it after each module: every worker has to call [`Worker::tier_up`] then. To be called once; later calls
    /// find nothing to do.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn tier_up(&mut self, published: impl Fn() + Send + 'static) -> io::Result<()> {
        let jobs = std::mem::take(&mut self.jobs);
        match jobs.is_empty() {
            true => Ok(()),
            false => tier::compile_all(jobs, self.cache.clone(), published, || false),
        }
    }
}

/// Compiles all plugins, so that all that is wrong is found.
fn compile_all(compiler: &mut Compiler, plugins: &[Plugin]) -> Result<Vec<PluginSpec>, ConfigError> {
    let (mut specs, mut found) = (Vec::with_capacity(plugins.len()), Vec::new());
    for plugin in plugins {
        match compiler.compile_one(plugin) {
            Ok(spec) => specs.push(spec),
            Err(error) => found.extend_from_slice(error.diagnostics()),
        }
    }
    if found.is_empty() { Ok(specs) } else { Err(ConfigError::new(found)) }
}

fn configured<'a>(plugins: &'a [Plugin], specs: &'a [PluginSpec]) -> Vec<Configured<'a>> {
    plugins.iter().zip(specs).map(|(plugin, spec)| Configured { plugin, spec, remark: "" }).collect()
}
