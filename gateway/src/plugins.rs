//! From configured plugins to compiled ones.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use portcullis::core::{AnyEngine, Capabilities, EngineSettings, FailurePolicy, Plugin};
use portcullis::{Module, PluginSpec};

use crate::config::{self, Code, ConfigError, Located};

/// Compiles modules, each once however many plugins use it.
#[derive(Default)]
pub(crate) struct Compiler {
    engines: HashMap<String, Box<dyn AnyEngine>>,
    modules: HashMap<(String, Code), Arc<Module>>,
}

impl Compiler {
    /// A compiler that has started no engine yet.
    pub(crate) fn new() -> Self {
        Self::default()
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
        let own = Plugin {
            name: plugin.name.clone(),
            root_id: plugin.root_id.clone(),
            vm_id: vm.vm_id.clone(),
            configuration: Bytes::copy_from_slice(&plugin.configuration),
            capabilities: capabilities(plugin.capabilities.as_deref())?,
            allow_on_headers_stop_iteration: plugin.allow_on_headers_stop_iteration,
            failure_policy: match plugin.failure_policy {
                config::FailurePolicy::Closed => FailurePolicy::Closed,
                config::FailurePolicy::Open => FailurePolicy::Open,
                config::FailurePolicy::Reload => FailurePolicy::Reload,
            },
        };
        Ok(PluginSpec {
            vm_configuration: Bytes::copy_from_slice(&vm.configuration),
            environment: vm.environment.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            ..PluginSpec::new(own, module)
        })
    }

    fn module(&mut self, plugin: &config::Plugin) -> Result<Arc<Module>, ConfigError> {
        let runtime = plugin.vm.runtime.as_ref();
        let name = runtime.map_or("", |runtime| &runtime.value);
        let key = (name.to_owned(), plugin.vm.code.clone());
        if let Some(module) = self.modules.get(&key) {
            return Ok(Arc::clone(module));
        }
        let origin = &plugin.origin;
        if !self.engines.contains_key(name) {
            let origin = runtime.map_or(origin, |runtime| &runtime.origin);
            let help = "leave runtime out for the default engine; `portcullis engines` lists what is built in";
            let choice = portcullis::engine(name).map_err(|error| origin.diagnostic(error.to_string(), help))?;
            let engine = choice.engine.start(&EngineSettings::default());
            let engine = engine.map_err(|error| origin.diagnostic(error.to_string(), help))?;
            self.engines.insert(name.to_owned(), engine);
        }
        let (what, code) = match &plugin.vm.code {
            Code::File(path) => {
                let code = std::fs::read(path).map_err(|error| {
                    origin.diagnostic(format!("cannot read {}: {error}", path.display()), "correct code.local.filename")
                })?;
                (path.display().to_string(), code)
            }
            Code::Bytes(bytes) => ("inline_bytes".to_owned(), bytes.clone()),
            Code::Text(text) => ("inline_string".to_owned(), text.clone().into_bytes()),
        };
        let engine = self.engines.get(name).map(|engine| &**engine);
        let module = engine.map(|engine| Module::load(engine, code.into()));
        let module = module.transpose().map_err(|error| {
            origin
                .diagnostic(format!("{what}: {error}"), "build the module as a Proxy-Wasm plugin, or correct the path")
        })?;
        let module = module.map(Arc::new).ok_or_else(|| origin.diagnostic("no engine", "report this as a bug"))?;
        self.modules.insert(key, Arc::clone(&module));
        Ok(module)
    }
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiler").field("modules", &self.modules.len()).finish_non_exhaustive()
    }
}

fn capabilities(names: Option<&[Located]>) -> Result<Capabilities, ConfigError> {
    let Some(names) = names else { return Ok(Capabilities::ALL) };
    names.iter().try_fold(Capabilities::NONE, |set, name| {
        let one = Capabilities::from_names([name.value.as_str()]);
        let help = "`portcullis abi` lists the names";
        Ok(set.or(one.map_err(|error| name.origin.diagnostic(error.to_string(), help))?))
    })
}
