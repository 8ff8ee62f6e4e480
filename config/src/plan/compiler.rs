//! Compiling the plugins of a configuration.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use portcullis::chain::{Backoff, Isolation, LoadError, Snapshot, Tier};
use portcullis::code_cache::CodeCache;
use portcullis::engine::{AnyEngine, EngineSettings};
use portcullis::engine::{EngineChoiceError, EngineInfo};
use portcullis::model::{FailurePolicy, Plugin};
use portcullis::sandbox::{SandboxKey, VmSpec};
use portcullis::{Module, PluginSpec};

use crate::plan::code;
use crate::plan::compile::{CompileError, CompilerProcess};
use crate::plan::engines::{CodeKey, SharedEngines};
use crate::plan::loader::Loader;
use crate::plan::places::PLACES;
use crate::plan::remedy::remedy;
use crate::plan::requested;
use crate::plan::rights::Rights;
use crate::plan::tier::{Job, TierUp};
use crate::plan::usage;
use crate::{Code, ConfigError, Diagnostic, LoadLimits, Verification};

/// Options of engines, beyond what plugins ask for.
#[derive(Clone, Copy, Debug, Default)]
pub struct EngineOptions<'a> {
    /// The file of the command `portcullis`, which is started again for each module that is compiled, so that compiling has
    /// [limits](crate::CompileLimits). Without one modules are compiled in this process, and nothing bounds that.
    pub compiler: Option<&'a Path>,
    /// The name of the engine of all plugins, which overrides theirs.
    pub engine: Option<&'a str>,
    /// Guests can be sampled, where the engine can, for profiles.
    pub samples: bool,
    /// Whether `perf` gets the names of compiled functions. An engine that cannot do so is an error.
    pub perf_map: bool,
}

/// The engine that serves at once.
const INTERPRETER: &str = "wasmi";

/// Compiles modules, each once however many plugins use it.
#[derive(Default)]
pub struct Compiler {
    /// The engine of all plugins, which overrides theirs.
    engine: Option<&'static EngineInfo>,
    samples: bool,
    perf_map: bool,
    /// Plugins without a limit of CPU time are measured, too.
    measures_all: bool,
    cache: Option<Arc<CodeCache>>,
    process: Option<CompilerProcess>,
    engines: SharedEngines,
    modules: HashMap<ModuleKey, (Arc<Module>, Option<Arc<Tier>>)>,
    jobs: Vec<Job>,
    notices: Vec<Diagnostic>,
    /// Plugins whose streams have VMs of their own, at least, that share an engine.
    stream_plugins: usize,
    /// The log has said that an engine takes the place of one of Envoy's.
    told_of_substitute: bool,
    /// Modules are compiled on one thread and with a low priority.
    gives_way: bool,
    /// Plugins that run already.
    known: Vec<PluginSpec>,
}

/// Everything that plugins with one module have in common.
#[derive(PartialEq, Eq, Hash)]
struct ModuleKey {
    engine: &'static str,
    settings: EngineSettings,
    code: Code,
    verify: Vec<Verification>,
    load: LoadLimits,
    at_once: &'static str,
    isolation: Isolation,
}

impl Compiler {
    /// Creates a compiler that has started no engine yet.
    ///
    /// # Errors
    /// No engine has the name.
    pub fn new(options: EngineOptions<'_>, cache: Option<CodeCache>) -> Result<Self, EngineChoiceError> {
        let engine = options.engine.map(portcullis::engine::find).transpose()?.map(|choice| choice.engine);
        let EngineOptions { samples, perf_map, compiler, .. } = options;
        let process = compiler.map(CompilerProcess::new);
        Ok(Self { engine, samples, perf_map, cache: cache.map(Arc::new), process, ..Self::default() })
    }

    /// Has it use engines and modules of other compilers.
    pub fn with_engines(self, engines: SharedEngines) -> Self {
        Self { engines, ..self }
    }

    /// Says how many plugins with `isolation: stream` share the engines at least, those of other compilers included.
    pub fn with_stream_plugins(self, count: usize) -> Self {
        Self { stream_plugins: count, ..self }
    }

    /// Gives the program that compiles modules arguments that make it log; see [`CompilerProcess::with_log`].
    pub fn with_compiler_log(self, arguments: Vec<String>) -> Self {
        Self { process: self.process.map(|process| process.with_log(arguments)), ..self }
    }

    /// Has modules compiled on one thread and with a low priority, since others serve meanwhile.
    pub fn giving_way(self) -> Self {
        Self { gives_way: true, ..self }
    }

    /// Has plugins that are equal to one of these get the same snapshot, and those whose code is, the same tier: what runs
    /// already is not started or compiled again. For modules, see [`Self::with_engines`].
    pub fn adopting(self, known: impl IntoIterator<Item = PluginSpec>) -> Self {
        Self { known: known.into_iter().collect(), ..self }
    }

    /// Has the usage of all plugins measured, and not only where a limit needs it.
    pub fn measuring_all(self) -> Self {
        Self { measures_all: true, ..self }
    }

    /// Compiles the plugins of a chain.
    ///
    /// # Errors
    /// A plugin's fault, with its place in the configuration.
    pub fn compile(&mut self, plugins: &[crate::Plugin]) -> Result<Vec<PluginSpec>, ConfigError> {
        plugins.iter().map(|plugin| self.compile_one(plugin)).collect()
    }

    /// Compiles one plugin.
    ///
    /// # Errors
    /// The fault, with its place in the configuration.
    pub fn compile_one(&mut self, plugin: &crate::Plugin) -> Result<PluginSpec, ConfigError> {
        let rights = Rights::within(plugin.vm.rights.as_ref(), plugin.rights.as_ref())?;
        let (module, tier) = self.module(plugin, &rights)?;
        let vm = &plugin.vm;
        // Of a module that another plugin has, too, whose rights may be others.
        requested::check(plugin, module.code(), &rights)?;
        let failure_policy = match plugin.failure_policy {
            crate::FailurePolicy::Closed => FailurePolicy::Closed,
            crate::FailurePolicy::Open => FailurePolicy::Open,
            crate::FailurePolicy::Reload => FailurePolicy::Reload,
        };
        let own = Plugin::new(&plugin.name)
            .with_root_id(&plugin.root_id)
            .with_vm_id(&vm.vm_id)
            .with_configuration(Bytes::copy_from_slice(&plugin.configuration))
            .with_capabilities(rights.capabilities)
            .with_rules(rights.rules)
            .with_on_denial(rights.on_denial)
            .with_allow_on_headers_stop_iteration(plugin.allow_on_headers_stop_iteration)
            .with_compatibility(plugin.compatibility)
            .with_failure_policy(failure_policy);
        let own = match self.measures_all || vm.limits.cpu.is_some() {
            true => own.with_usage(usage::of(&plugin.name)),
            false => own,
        };
        let environment = vm.environment.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let described = VmSpec::default()
            .with_configuration(Bytes::copy_from_slice(&vm.configuration))
            .with_environment(environment)
            .with_preopens(vm.preopens.clone())
            .with_limits(vm.limits.clone())
            .with_any_effective_context(vm.any_effective_context)
            .with_recycle(vm.recycle.clone());
        let backoff = plugin.reload_backoff;
        Ok(PluginSpec::new(own, module)
            .with_vm(described)
            .with_isolation(vm.isolation)
            .with_tier(tier)
            .with_reload(Backoff::new(backoff.base_interval, backoff.max_interval)))
    }

    /// Returns the snapshots of plugins that run already.
    pub(crate) fn known_snapshots(&self) -> impl Iterator<Item = (SandboxKey, &Plugin, &Arc<Snapshot>)> {
        self.known.iter().filter_map(|spec| Some((spec.sandbox(), &spec.plugin, spec.snapshot.as_ref()?)))
    }

    /// Returns how many plugins share the places of an engine, of which this compiler has so many.
    pub(crate) fn sharers(&self, own: usize) -> usize {
        own.max(self.stream_plugins)
    }

    /// Returns the engine whose places the streams of a plugin have VMs in, once it is compiled.
    ///
    /// # Errors
    /// No engine is there for the plugin.
    pub(crate) fn pool(&self, plugin: &crate::Plugin) -> Result<(&'static str, EngineSettings), ConfigError> {
        self.wanted(plugin).map(|(info, settings)| (info.name, settings))
    }

    /// Compiles a module that was made of a plugin's, for one VM.
    ///
    /// # Errors
    /// No engine is there for the plugin; within, it cannot compile the module.
    pub(crate) fn load_once(
        &mut self,
        plugin: &crate::Plugin,
        wasm: Bytes,
    ) -> Result<Result<Module, LoadError>, ConfigError> {
        let (info, settings) = self.at_once(plugin)?;
        let engine = self.start(plugin, info, settings)?;
        Ok(self.loader(plugin).load(self.cache.as_deref(), &*engine, wasm, "the module with exported globals"))
    }

    /// Compiles a module that was made of a plugin's, for many VMs, each for a short time. The code is not kept: what a
    /// plugin draws at random while it starts is in it.
    ///
    /// # Errors
    /// No engine is there for the plugin; within, it cannot compile the module.
    pub(crate) fn load_for_many(
        &mut self,
        plugin: &crate::Plugin,
        wasm: Bytes,
    ) -> Result<Result<Module, LoadError>, ConfigError> {
        let (info, settings) = self.at_once(plugin)?;
        let engine = self.start_for_many(plugin, info, settings.clone())?;
        let (loader, what) = (self.loader(plugin), "the snapshot taken after proxy_on_configure");
        Ok(match loader.load(None, &*engine, wasm.clone(), what) {
            // Of tables there may be more than there are places for.
            Err(LoadError::Engine(error))
                if engine.settings().places.is_some() && !error.source.is::<CompileError>() =>
            {
                tracing::warn!(plugin = plugin.name, "{error}; its VMs for streams take longer to make");
                loader.load(None, &*self.start(plugin, info, settings)?, wasm, what)
            }
            loaded => loaded,
        })
    }

    /// Enqueues the same module to be compiled later for the engine that the plugin is meant for, if that is another one.
    ///
    /// # Errors
    /// No engine is there for the plugin.
    pub(crate) fn tier_up_later(
        &mut self,
        plugin: &crate::Plugin,
        code: Bytes,
        snapshot: &Arc<Snapshot>,
    ) -> Result<(), ConfigError> {
        let (info, settings) = self.wanted(plugin)?;
        if self.at_once(plugin)?.0.name != info.name {
            let engine = self.start_for_many(plugin, info, settings)?;
            let what = "the snapshot taken after proxy_on_configure".to_owned();
            self.jobs.push(Job {
                plugin: plugin.name.clone(),
                what,
                engine,
                code,
                loader: self.loader(plugin).giving_way(),
                tier_up: TierUp::Snapshot(Arc::clone(snapshot)),
            });
        }
        Ok(())
    }

    /// Notes something that the operator should know, and that has been logged.
    pub(crate) fn note(&mut self, notice: Diagnostic) {
        self.notices.push(notice);
    }

    /// Takes what was logged as a warning about single plugins, for programs that have another log.
    pub(crate) fn take_notices(&mut self) -> Vec<Diagnostic> {
        std::mem::take(&mut self.notices)
    }

    /// Takes the modules that are to be compiled while plugins serve, each once, and the code cache.
    pub fn take_jobs(&mut self) -> (Vec<Job>, Option<Arc<CodeCache>>) {
        (std::mem::take(&mut self.jobs), self.cache.clone())
    }

    fn module(
        &mut self,
        plugin: &crate::Plugin,
        rights: &Rights,
    ) -> Result<(Arc<Module>, Option<Arc<Tier>>), ConfigError> {
        let (info, settings) = self.wanted(plugin)?;
        self.notice(plugin, info);
        let (now, settings_now) = self.at_once(plugin)?;
        let key = ModuleKey {
            engine: info.name,
            settings: settings.clone(),
            code: plugin.vm.code.clone(),
            verify: plugin.verify.clone(),
            load: plugin.vm.load.clone(),
            at_once: now.name,
            isolation: plugin.vm.isolation,
        };
        if let Some(known) = self.modules.get(&key) {
            return Ok(known.clone());
        }
        let (what, code) = code::read(plugin)?;
        requested::check(plugin, &code, rights)?;
        let (code, notice) = code::bounded(plugin, &what, code);
        self.notices.extend(notice);
        let mut tier = None;
        if now.name != info.name
            && let Some(known) = self.known_tier(plugin, info, &code)
        {
            self.modules.insert(key, known.clone());
            return Ok(known);
        }
        let mut engine = self.start(plugin, info, settings)?;
        let is_kept = self.cache.as_ref().is_some_and(|cache| cache.has(&*engine, &code));
        if now.name != info.name && !is_kept {
            let later = Arc::new(Tier::new(info.name));
            // VMs for streams are made of another module.
            if plugin.vm.isolation == Isolation::Worker {
                let (what, code, tier_up) = (what.clone(), code.clone(), TierUp::Tier(Arc::clone(&later)));
                let loader = self.loader(plugin).giving_way();
                self.jobs.push(Job { plugin: plugin.name.clone(), what, engine, code, loader, tier_up });
            }
            engine = self.start(plugin, now, settings_now)?;
            tier = Some(later);
        }
        let code_key = CodeKey::new(&*engine, &code);
        let module = match self.engines.module(&code_key) {
            Some(module) => module,
            None => {
                let loaded = self.loader(plugin).load(self.cache.as_deref(), &*engine, code, &what);
                let module = Arc::new(loaded.map_err(|error| {
                    let (message, help) = remedy(&error);
                    plugin.vm.code_origin.diagnostic(format!("{what}: {message}"), help)
                })?);
                self.engines.keep(code_key, &module);
                module
            }
        };
        let known = (module, tier);
        self.modules.insert(key, known.clone());
        Ok(known)
    }

    /// Returns the module and the tier of a plugin that runs already and has the same code.
    fn known_tier(
        &self,
        plugin: &crate::Plugin,
        info: &EngineInfo,
        code: &[u8],
    ) -> Option<(Arc<Module>, Option<Arc<Tier>>)> {
        let settings = EngineSettings::from(&plugin.vm.limits);
        let same = |known: &&PluginSpec| {
            let of_tier = known.tier.as_ref().is_some_and(|tier| tier.engine() == info.name);
            of_tier
                && known.isolation == plugin.vm.isolation
                && EngineSettings::from(&known.vm.limits) == settings
                && known.module.code() == code
        };
        let known = self.known.iter().find(same)?;
        Some((Arc::clone(&known.module), known.tier.clone()))
    }

    /// Returns the loader of a plugin's modules.
    fn loader(&self, plugin: &crate::Plugin) -> Loader {
        let loader = Loader::new(self.process.clone(), plugin.vm.load.compile.clone());
        if self.gives_way { loader.giving_way() } else { loader }
    }

    /// Returns the engine on which a plugin serves at once; with `tier: fast-start`, the interpreter.
    fn at_once(&self, plugin: &crate::Plugin) -> Result<(&'static EngineInfo, EngineSettings), ConfigError> {
        let (info, settings) = self.wanted(plugin)?;
        // A profile is to be of the engine that the plugin is meant for.
        if !plugin.vm.fast_start || self.samples {
            return Ok((info, settings));
        }
        let refused =
            |message: String, help: &str| plugin.origin.diagnostic(format!("tier: fast-start: {message}"), help);
        if !info.features.precompiled {
            let message = format!("{} is an interpreter, so there is nothing to compile", info.name);
            return Err(refused(message, "remove tier, or run the plugin on an engine that compiles").into());
        }
        let interpreter = portcullis::engine::find(INTERPRETER)
            .map_err(|error| refused(error.to_string(), "build it with that feature, or remove tier"))?;
        Ok((interpreter.engine, settings))
    }

    /// Returns the engine for a plugin, and what it is to be started with.
    fn wanted(&self, plugin: &crate::Plugin) -> Result<(&'static EngineInfo, EngineSettings), ConfigError> {
        let info = self.choose(plugin)?;
        if self.perf_map && !info.features.perf_map {
            let message = format!("--perf-map: {} cannot tell perf the names of functions", info.name);
            let help = format!("leave --perf-map out, or run the plugin on {}", perf_mapped());
            return Err(plugin.origin.diagnostic(message, &help).into());
        }
        let settings = EngineSettings::from(&plugin.vm.limits);
        Ok((info, settings.with_samples(self.samples).with_perf_map(self.perf_map)))
    }

    /// Returns the engine of these settings, and starts it if need be.
    fn start(
        &mut self,
        plugin: &crate::Plugin,
        info: &'static EngineInfo,
        settings: EngineSettings,
    ) -> Result<Arc<dyn AnyEngine>, ConfigError> {
        let help = "choose another engine; `portcullis engines` lists what is built in";
        Ok(self.engines.start(info, settings).map_err(|error| plugin.origin.diagnostic(error.to_string(), help))?)
    }

    /// Starts an engine with places for many VMs, where there is memory for these.
    fn start_for_many(
        &mut self,
        plugin: &crate::Plugin,
        info: &'static EngineInfo,
        settings: EngineSettings,
    ) -> Result<Arc<dyn AnyEngine>, ConfigError> {
        let with_places = settings.clone().with_places(Some(PLACES));
        self.start(plugin, info, with_places).or_else(|error| {
            tracing::warn!("{error}; VMs for streams take longer to make");
            self.start(plugin, info, settings)
        })
    }

    /// Returns the engine for a plugin, which the operator may not have named.
    fn choose(&self, plugin: &crate::Plugin) -> Result<&'static EngineInfo, ConfigError> {
        if let Some(engine) = self.engine {
            return Ok(engine);
        }
        let runtime = plugin.vm.runtime.as_ref();
        let origin = runtime.map_or(&plugin.origin, |runtime| &runtime.origin);
        let name = runtime.map_or("", |runtime| &runtime.value);
        if name == "envoy.wasm.runtime.null" {
            let what = match &plugin.vm.code {
                Code::Text(text) if text.len() <= 100 && !text.contains(char::is_whitespace) => text,
                _ => &plugin.name,
            };
            let message = format!("null plugins are C++ inside Envoy: there is no .wasm of {what} to run");
            return Err(origin.diagnostic(message, "remove this plugin").into());
        }
        let help = "leave runtime out for the default engine; `portcullis engines` lists what is built in";
        let choice = portcullis::engine::find(name).map_err(|error| origin.diagnostic(error.to_string(), help))?;
        Ok(choice.engine)
    }

    /// Logs what is not done as configured: of a runtime once, of a tier for each place of a plugin.
    fn notice(&mut self, plugin: &crate::Plugin, engine: &EngineInfo) {
        if let Some(crate::Located { value: name, origin }) =
            plugin.vm.runtime.as_ref().filter(|_| self.engine.is_none())
            && portcullis::engine::find(name).is_ok_and(|choice| choice.is_substitute)
            && !std::mem::replace(&mut self.told_of_substitute, true)
        {
            let message = format!("the runtime {name} is Envoy's alone; {} takes its place", engine.name);
            let help = "leave runtime out, or name an engine of `portcullis engines`";
            tracing::info!("{}", origin.diagnostic(message, help));
        }
        if plugin.vm.fast_start && self.samples {
            let message = "--profile: tier: fast-start is not applied; the plugin is compiled first";
            tracing::warn!(plugin = plugin.name, "{message}");
        }
    }
}

/// Returns the engines that give `perf` the names of functions.
fn perf_mapped() -> String {
    let names: Vec<_> =
        portcullis::engine::all().iter().filter(|info| info.features.perf_map).map(|info| info.name).collect();
    if names.is_empty() { "another engine, which is not in this binary".to_owned() } else { names.join(" or ") }
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiler").field("modules", &self.modules.len()).finish_non_exhaustive()
    }
}
