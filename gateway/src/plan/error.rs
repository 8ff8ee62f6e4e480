//! Plugins that do not start in a worker.

use portcullis::chain::LoadError;

use crate::config::{Config, ConfigError, Diagnostic};

/// A plugin of a chain or service that did not start in a worker.
#[derive(Debug)]
pub(crate) struct PluginFailed {
    pub(crate) place: ChainPlace,
    /// Which plugin of the chain.
    pub(crate) index: usize,
    pub(crate) error: LoadError,
}

/// A chain in the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ChainPlace {
    Listener(usize),
    /// A route of a listener.
    Route(usize, usize),
    /// A service, whose chain is its plugin.
    Service(usize),
}

/// Explains why a plugin did not start in a worker, at its place in the configuration.
pub(crate) fn explain(config: &Config, failed: &PluginFailed) -> ConfigError {
    let listeners = &config.listeners;
    let plugin = match failed.place {
        ChainPlace::Listener(listener) => {
            listeners.get(listener).and_then(|listener| listener.plugins.get(failed.index))
        }
        ChainPlace::Route(listener, route) => {
            listeners.get(listener).and_then(|listener| listener.routes.get(route)?.plugins.as_ref()?.get(failed.index))
        }
        ChainPlace::Service(service) => config.services.get(service).map(|service| &service.plugin),
    };
    let error = &failed.error;
    let diagnostic = plugin.map_or_else(
        || Diagnostic::of_file("", error.to_string(), "see the plugin's log lines above"),
        |plugin| portcullis_config::plan::explain(plugin, error),
    );
    diagnostic.into()
}
