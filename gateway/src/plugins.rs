//! From configured plugins to compiled ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use portcullis::core::{AnyEngine, EngineSettings, FailurePolicy, Plugin};
use portcullis::{Backoff, CodeCache, CodeSource, EngineChoiceError, EngineInfo, LoadError, Module, PluginSpec};

use crate::config::{self, Code, ConfigError};
use crate::rights::Rights;

/// How engines are started, beyond what plugins ask for.
#[derive(Clone, Copy, Debug, Default)]
pub struct EngineOptions<'a> {
    /// The name of the engine of all plugins, whatever they ask for.
    pub engine: Option<&'a str>,
    /// Guests can be sampled, where the engine can: what [`Gateway::profile`](crate::server::Gateway::profile) makes use
    /// of.
    pub samples: bool,
    /// `perf` is told the names of compiled functions. An engine that cannot is an error.
    pub perf_map: bool,
}

/// How many VMs for streams there may be at once, of all plugins of an engine. Their memories are addresses alone until
/// they are used.
const PLACES: u32 = 10_000;

/// Compiles modules, each once however many plugins use it.
#[derive(Default)]
pub(crate) struct Compiler {
    /// The engine of all plugins, whatever they ask for.
    engine: Option<&'static EngineInfo>,
    samples: bool,
    perf_map: bool,
    cache: Option<CodeCache>,
    engines: HashMap<(&'static str, EngineSettings), Box<dyn AnyEngine>>,
    modules: HashMap<(&'static str, EngineSettings, Code), Arc<Module>>,
}

impl Compiler {
    /// A compiler that has started no engine yet.
    ///
    /// # Errors
    /// There is no engine of the name.
    pub(crate) fn new(options: EngineOptions<'_>, cache: Option<CodeCache>) -> Result<Self, EngineChoiceError> {
        let engine = options.engine.map(portcullis::engine).transpose()?.map(|choice| choice.engine);
        let EngineOptions { samples, perf_map, .. } = options;
        Ok(Self { engine, samples, perf_map, cache, ..Self::default() })
    }

    /// Compiles the plugins of a chain.
    ///
    /// # Errors
    /// What is wrong with a plugin, where it stands in the configuration.
    pub(crate) fn compile(&mut self, plugins: &[config::Plugin]) -> Result<Vec<PluginSpec>, ConfigError> {
        plugins.iter().map(|plugin| self.compile_one(plugin)).collect()
    }

    fn compile_one(&mut self, plugin: &config::Plugin) -> Result<PluginSpec, ConfigError> {
        let module = self.module(plugin)?;
        let vm = &plugin.vm;
        let rights = Rights::within(plugin.vm.restriction.as_ref(), plugin.restriction.as_ref())?;
        let own = Plugin {
            name: plugin.name.clone(),
            root_id: plugin.root_id.clone(),
            vm_id: vm.vm_id.clone(),
            configuration: Bytes::copy_from_slice(&plugin.configuration),
            capabilities: rights.capabilities,
            rules: rights.rules,
            on_denial: rights.on_denial,
            allow_on_headers_stop_iteration: plugin.allow_on_headers_stop_iteration,
            compatibility: plugin.compatibility,
            failure_policy: match plugin.failure_policy {
                config::FailurePolicy::Closed => FailurePolicy::Closed,
                config::FailurePolicy::Open => FailurePolicy::Open,
                config::FailurePolicy::Reload => FailurePolicy::Reload,
            },
        };
        Ok(PluginSpec {
            vm_configuration: Bytes::copy_from_slice(&vm.configuration),
            environment: vm.environment.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            preopens: vm.preopens.clone(),
            limits: vm.limits.clone(),
            isolation: vm.isolation,
            any_effective_context: vm.any_effective_context,
            reload: Backoff { base: plugin.reload_backoff.base_interval, max: plugin.reload_backoff.max_interval },
            ..PluginSpec::new(own, module)
        })
    }

    /// Compiles a module that was made of a plugin's, for one VM.
    ///
    /// # Errors
    /// There is no engine for the plugin; within, it cannot compile the module.
    pub(crate) fn load_once(
        &mut self,
        plugin: &config::Plugin,
        wasm: Bytes,
    ) -> Result<Result<Module, LoadError>, ConfigError> {
        let (info, settings) = self.wanted(plugin)?;
        let cache = self.cache.take();
        let engine = self.start(plugin, info, settings);
        let module =
            engine.map(|engine| load(cache.as_ref(), engine, wasm.into(), "the module that shows its globals"));
        self.cache = cache;
        module
    }

    /// Compiles a module that was made of a plugin's, for many VMs, each for a short time. The code is not kept: what a
    /// plugin draws at random while it starts is in it.
    ///
    /// # Errors
    /// There is no engine for the plugin; within, it cannot compile the module.
    pub(crate) fn load_for_many(
        &mut self,
        plugin: &config::Plugin,
        wasm: Bytes,
    ) -> Result<Result<Module, LoadError>, ConfigError> {
        let (info, settings) = self.wanted(plugin)?;
        let pooled = EngineSettings { places: Some(PLACES), ..settings.clone() };
        if let Err(error) = self.start(plugin, info, pooled.clone()) {
            tracing::warn!("{error}; VMs for streams are made slower");
            return self.start(plugin, info, settings).map(|engine| Module::load(engine, wasm));
        }
        self.start(plugin, info, pooled).map(|engine| Module::load(engine, wasm))
    }

    fn module(&mut self, plugin: &config::Plugin) -> Result<Arc<Module>, ConfigError> {
        let (info, settings) = self.wanted(plugin)?;
        let key = (info.name, settings.clone(), plugin.vm.code.clone());
        if let Some(module) = self.modules.get(&key) {
            return Ok(Arc::clone(module));
        }
        let (what, code) = read(plugin)?;
        let cache = self.cache.take();
        let loaded = self.start(plugin, info, settings).map(|engine| load(cache.as_ref(), engine, code, &what));
        self.cache = cache;
        let module = loaded?.map_err(|error| {
            let help = "build the module as a Proxy-Wasm plugin, or correct the path";
            plugin.origin.diagnostic(format!("{what}: {error}"), help)
        })?;
        let module = Arc::new(module);
        self.modules.insert(key, Arc::clone(&module));
        Ok(module)
    }

    /// The engine for a plugin, and what it is to be started with.
    fn wanted(&self, plugin: &config::Plugin) -> Result<(&'static EngineInfo, EngineSettings), ConfigError> {
        let info = self.choose(plugin)?;
        if self.perf_map && !info.features.perf_map {
            let message = format!("--perf-map: {} cannot tell perf the names of functions", info.name);
            let help = format!("leave --perf-map out, or run the plugin on {}", perf_mapped());
            return Err(plugin.origin.diagnostic(message, &help).into());
        }
        let settings = EngineSettings::from(&plugin.vm.limits);
        Ok((info, EngineSettings { samples: self.samples, perf_map: self.perf_map, ..settings }))
    }

    /// The engine of these settings, started if it was not yet.
    fn start(
        &mut self,
        plugin: &config::Plugin,
        info: &'static EngineInfo,
        settings: EngineSettings,
    ) -> Result<&dyn AnyEngine, ConfigError> {
        let engine = match self.engines.entry((info.name, settings)) {
            std::collections::hash_map::Entry::Occupied(engine) => engine.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                let engine = info.start(&place.key().1);
                let help = "choose another engine; `portcullis engines` lists what is built in";
                place.insert(engine.map_err(|error| plugin.origin.diagnostic(error.to_string(), help))?)
            }
        };
        Ok(&**engine)
    }

    /// The engine for a plugin, which the operator may not have named.
    fn choose(&self, plugin: &config::Plugin) -> Result<&'static EngineInfo, ConfigError> {
        if let Some(engine) = self.engine {
            return Ok(engine);
        }
        let runtime = plugin.vm.runtime.as_ref();
        let origin = runtime.map_or(&plugin.origin, |runtime| &runtime.origin);
        let name = runtime.map_or("", |runtime| &runtime.value);
        let help = "leave runtime out for the default engine; `portcullis engines` lists what is built in";
        let choice = portcullis::engine(name).map_err(|error| origin.diagnostic(error.to_string(), help))?;
        if choice.is_substitute {
            let message = format!("the runtime {name} is Envoy's alone; {} takes its place", choice.engine.name);
            let help = "leave runtime out, or name an engine of `portcullis engines`";
            tracing::warn!("{}", origin.diagnostic(message, help));
        }
        Ok(choice.engine)
    }
}

/// The engines that tell perf the names of functions.
fn perf_mapped() -> String {
    let names: Vec<_> =
        portcullis::engines().iter().filter(|info| info.features.perf_map).map(|info| info.name).collect();
    if names.is_empty() { "another engine, which is not in this binary".to_owned() } else { names.join(" or ") }
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiler").field("modules", &self.modules.len()).finish_non_exhaustive()
    }
}

/// The code of a plugin, and what to call it.
fn read(plugin: &config::Plugin) -> Result<(String, Vec<u8>), ConfigError> {
    Ok(match &plugin.vm.code {
        Code::File(path) => {
            let code = std::fs::read(path).map_err(|error| {
                let message = format!("cannot read {}: {error}", path.display());
                plugin.origin.diagnostic(message, "correct code.local.filename")
            })?;
            (path.display().to_string(), code)
        }
        Code::Bytes(bytes) => ("inline_bytes".to_owned(), bytes.clone()),
        Code::Text(text) => ("inline_string".to_owned(), text.clone().into_bytes()),
    })
}

fn load(cache: Option<&CodeCache>, engine: &dyn AnyEngine, code: Vec<u8>, what: &str) -> Result<Module, LoadError> {
    let (start, name) = (Instant::now(), engine.name());
    let Some(cache) = cache else {
        let module = Module::load(engine, code.into())?;
        tracing::debug!(module = what, engine = name, elapsed = ?start.elapsed(), "compiled");
        return Ok(module);
    };
    let loaded = cache.load(engine, &code)?;
    let elapsed = start.elapsed();
    if let Some((file, why)) = &loaded.rejected {
        tracing::warn!(module = what, file = %file.display(), "compiled code {why}; the module was compiled anew");
    }
    match &loaded.source {
        CodeSource::Folder(file) => {
            tracing::debug!(module = what, engine = name, ?elapsed, file = %file.display(), "taken from the code cache");
        }
        CodeSource::Plugin => tracing::debug!(module = what, engine = name, ?elapsed, "taken from the plugin itself"),
        CodeSource::NotKept(error) => tracing::warn!(module = what, "compiled code is not kept: {error}"),
        _ => tracing::debug!(module = what, engine = name, ?elapsed, "compiled"),
    }
    Ok(loaded.module)
}
