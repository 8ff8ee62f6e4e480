//! A configuration with the sandboxes of its plugins.

use portcullis::PluginSpec;
use portcullis::sandbox::SandboxKey;
use portcullis_config::plan::Sandboxes;

use crate::config::{Config, Plugin};

/// A configuration, the sandboxes of its plugins, and the plugins as they run.
#[derive(Clone, Debug)]
pub(crate) struct Outline {
    config: Config,
    sandboxes: Sandboxes,
    plugins: Vec<Placed>,
}

/// A plugin as it runs, and its VM. VMs with equal keys are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(super) key: SandboxKey,
    /// The VM that it does not share with others of its `vm_id`.
    pub(super) isolated: Option<SandboxKey>,
    pub(super) plugin: portcullis::model::Plugin,
}

impl Placed {
    pub(crate) fn of(spec: &PluginSpec) -> Self {
        Self { key: spec.sandbox(), isolated: spec.isolated, plugin: spec.plugin.clone() }
    }
}

impl Outline {
    /// Puts a configuration and its plugins together, which are in the order of [`Config::all_plugins`].
    pub(crate) fn new(config: Config, sandboxes: Sandboxes, plugins: Vec<Placed>) -> Self {
        debug_assert_eq!(config.all_plugins().count(), plugins.len(), "each plugin of the configuration has its place");
        Self { config, sandboxes, plugins }
    }

    /// Returns the configuration.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the sandboxes.
    pub(crate) fn sandboxes(&self) -> &Sandboxes {
        &self.sandboxes
    }

    pub(super) fn plugins(&self) -> &[Placed] {
        &self.plugins
    }

    /// Returns the place of a plugin of the configuration.
    pub(super) fn placed(&self, plugin: &Plugin) -> Option<&Placed> {
        let index = self.config.all_plugins().position(|other| std::ptr::eq(other, plugin))?;
        self.plugins.get(index)
    }
}
