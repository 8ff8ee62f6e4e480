//! Plans of configurations: what each generation is made of.

use std::path::PathBuf;

use portcullis::PluginSpec;
use portcullis::code_cache::CodeCache;
use portcullis_config::plan::{Compiler, EngineOptions, Sandboxes, SharedEngines, tell_outdated};

use crate::config::{Config, Plugin};
use crate::error::ServeError;
use crate::observe::log;
use crate::plan::clusters::plan_clusters;
use crate::plan::listeners::{plan_listener, plan_service};
use crate::plan::planned::Planned;
use crate::serve::generation::Cancel;

/// Makes the plans of all generations of a gateway, whose engines are the same.
#[derive(Clone, Debug)]
pub(crate) struct Maker {
    compiler: Option<PathBuf>,
    engine: Option<String>,
    samples: bool,
    perf_map: bool,
    engines: SharedEngines,
}

/// A configuration with its plugins compiled and placed in sandboxes.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) planned: Planned,
    pub(crate) sandboxes: Sandboxes,
    pub(crate) compiler: Compiler,
}

/// Compiles the plugins of a configuration, unless that is cancelled.
pub(crate) struct Compiling<'a> {
    compiler: Compiler,
    cancel: &'a Cancel,
}

impl Maker {
    /// Takes the options of engines.
    pub(crate) fn new(options: EngineOptions<'_>) -> Self {
        let EngineOptions { compiler, engine, samples, perf_map } = options;
        let (compiler, engine) = (compiler.map(ToOwned::to_owned), engine.map(str::to_owned));
        Self { compiler, engine, samples, perf_map, engines: SharedEngines::default() }
    }

    /// Compiles a configuration and reads its certificates. What plugins of `before` have, and is the same, is not made again.
    ///
    /// # Errors
    /// A fault, with its place in the configuration; or `cancel` has asked to end.
    pub(crate) fn make(&self, config: &Config, before: Option<&Planned>, cancel: &Cancel) -> Result<Made, ServeError> {
        let options = EngineOptions {
            compiler: self.compiler.as_deref(),
            engine: self.engine.as_deref(),
            samples: self.samples,
            perf_map: self.perf_map,
        };
        let cache = config.code_cache.as_deref().map(CodeCache::open).transpose()?;
        if let Some(cache) = &cache {
            tell_outdated(cache);
        }
        let compiler = Compiler::new(options, cache)?.with_compiler_log(log::engines_arguments()).measuring_all();
        let compiler = compiler.with_engines(self.engines.clone());
        let compiler = match before {
            Some(before) => compiler.adopting(before.plugins().cloned()).giving_way(),
            None => compiler,
        };
        // Before plugins are compiled: of two files one is often replaced before the other.
        let clusters = plan_clusters(&config.clusters)?;
        let mut compiling = Compiling { compiler, cancel };
        let listeners: Result<Vec<_>, _> =
            config.listeners.iter().map(|listener| plan_listener(listener, &mut compiling)).collect();
        let services: Result<Vec<_>, _> =
            config.services.iter().map(|service| plan_service(service, &mut compiling)).collect();
        let mut planned = Planned { listeners: listeners?, services: services?, clusters };
        let sandboxes = planned.place(config)?;
        Ok(Made { planned, sandboxes, compiler: compiling.compiler })
    }
}

impl Compiling<'_> {
    /// Compiles one plugin.
    ///
    /// # Errors
    /// Its fault, or the compiling was cancelled.
    pub(crate) fn one(&mut self, plugin: &Plugin) -> Result<PluginSpec, ServeError> {
        self.cancel.check()?;
        Ok(self.compiler.compile_one(plugin)?)
    }

    /// Compiles the plugins of a chain.
    ///
    /// # Errors
    /// The first plugin's fault, or the compiling was cancelled.
    pub(crate) fn chain(&mut self, plugins: &[Plugin]) -> Result<Vec<PluginSpec>, ServeError> {
        plugins.iter().map(|plugin| self.one(plugin)).collect()
    }
}
