//! Chains of plugins as workers load them, and what workers are made of.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis::chain::{LoadError, Snapshot, Tier};
use portcullis::model::Percent;
use portcullis::resources::Shared;
use portcullis::{Module, PluginSpec};
use portcullis_config::plan::{self, Configured, Sandboxes};
use rustls::ServerConfig;
use tokio::sync::watch;

use super::clusters::PlannedCluster;
use super::error::ChainPlace;
use super::host::GatewayHost;
use crate::config::{Config, ConfigError, Listener, ReloadLimits, Service};
use crate::error::ServeError;
use crate::serve::descriptors::Bounds;
use crate::serve::drain::Drain;
use crate::serve::generation::LiveCounts;
use crate::serve::pulse::Pulse;

/// Everything that a worker is made of; the same for all.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The number of the generation.
    pub(crate) number: u64,
    /// Counts what belongs to the generation.
    pub(crate) counts: LiveCounts,
    pub(crate) host: GatewayHost,
    pub(crate) planned: Arc<Planned>,
    /// True if the worker runs the services of which there is one.
    pub(crate) runs_singletons: bool,
    pub(crate) shutdown_timeout: Duration,
    /// The orderly end of the process.
    pub(crate) drain: Drain,
    /// Whether workers answer.
    pub(crate) pulse: Pulse,
    /// How long streams keep a generation that was replaced.
    pub(crate) reload: ReloadLimits,
    /// Which part of a worker calls get that no stream waits for.
    pub(crate) tick_share: Percent,
    /// The shares of the process's descriptors.
    pub(crate) bounds: Bounds,
    /// The state that plugins share across workers.
    pub(crate) shared: Shared,
    /// Number of plugins that have been compiled while they served.
    pub(crate) tier_ups: watch::Receiver<usize>,
}

/// A listener with its plugins compiled.
#[derive(Clone, Debug)]
pub(crate) struct PlannedListener {
    pub(crate) config: Listener,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) plugins: Vec<PluginSpec>,
    /// For each route, its own plugins if it has some.
    pub(crate) route_plugins: Vec<Option<Vec<PluginSpec>>>,
}

/// A service with its plugin compiled.
#[derive(Clone, Debug)]
pub(crate) struct PlannedService {
    pub(crate) config: Service,
    pub(crate) plugin: PluginSpec,
}

/// All that files are read for: plugins, certificates.
#[derive(Clone, Debug, Default)]
pub(crate) struct Planned {
    pub(crate) listeners: Vec<PlannedListener>,
    pub(crate) services: Vec<PlannedService>,
    pub(crate) clusters: Arc<[PlannedCluster]>,
}

/// A plugin, and where it stands in the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed<'a> {
    pub(crate) place: ChainPlace,
    /// Its index in the chain.
    pub(crate) index: usize,
    pub(crate) spec: &'a PluginSpec,
}

/// The identity of a listener over generations: its address as it is configured, and its number among those of the same address, which
/// several with port 0 may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) address: SocketAddr,
    nth: usize,
}

#[cfg(test)]
impl Identity {
    /// Returns that of the only listener at an address.
    pub(crate) fn only(address: SocketAddr) -> Self {
        Self { address, nth: 0 }
    }
}

impl Plan {
    /// Returns every plugin that its worker runs, of services first, each with its place in the configuration.
    pub(crate) fn plugins_here(&self) -> impl Iterator<Item = Placed<'_>> {
        let services = self.services_here().map(|(at, service)| Placed {
            place: ChainPlace::Service(at),
            index: 0,
            spec: &service.plugin,
        });
        services.chain(self.planned.in_chains())
    }

    /// Returns the services that its worker runs, each with its place in the configuration.
    pub(crate) fn services_here(&self) -> impl Iterator<Item = (usize, &PlannedService)> {
        let runs_singletons = self.runs_singletons;
        let here = move |(_, service): &(usize, &PlannedService)| runs_singletons || !service.config.singleton;
        self.planned.services.iter().enumerate().filter(here)
    }
}

impl Planned {
    /// Returns every plugin of every chain, with its place.
    pub(crate) fn in_chains(&self) -> impl Iterator<Item = Placed<'_>> {
        self.listeners.iter().enumerate().flat_map(|(listener, planned)| {
            let of_routes = planned.route_plugins.iter().enumerate();
            let of_routes = of_routes
                .filter_map(move |(route, plugins)| Some((ChainPlace::Route(listener, route), plugins.as_ref()?)));
            let chains = std::iter::once((ChainPlace::Listener(listener), &planned.plugins)).chain(of_routes);
            chains.flat_map(|(place, plugins)| {
                plugins.iter().enumerate().map(move |(index, spec)| Placed { place, index, spec })
            })
        })
    }

    /// Returns every plugin of every service, with its place, and then those of the chains.
    pub(crate) fn placed(&self) -> impl Iterator<Item = Placed<'_>> {
        let services = self.services.iter().enumerate().map(|(at, service)| Placed {
            place: ChainPlace::Service(at),
            index: 0,
            spec: &service.plugin,
        });
        services.chain(self.in_chains())
    }

    /// Returns what identifies each listener over generations.
    pub(crate) fn identities(&self) -> Vec<Identity> {
        let mut identities: Vec<Identity> = Vec::with_capacity(self.listeners.len());
        for listener in &self.listeners {
            let address = listener.config.address;
            let nth = identities.iter().filter(|known| known.address == address).count();
            identities.push(Identity { address, nth });
        }
        identities
    }

    /// Returns every plugin of every chain, and then those of the services, in the order of the configuration.
    pub(crate) fn plugins(&self) -> impl Iterator<Item = &PluginSpec> {
        let chains = self
            .listeners
            .iter()
            .flat_map(|listener| listener.plugins.iter().chain(listener.route_plugins.iter().flatten().flatten()));
        chains.chain(self.services.iter().map(|service| &service.plugin))
    }

    /// Returns the same plugins, each with its configuration.
    pub(crate) fn configured<'a>(&'a self, config: &'a Config) -> impl Iterator<Item = Configured<'a>> {
        let in_chains = self.plugins().count() - self.services.len();
        config.all_plugins().zip(self.plugins()).enumerate().map(move |(index, (plugin, spec))| {
            let service = index.checked_sub(in_chains).and_then(|index| self.services.get(index));
            let remark = match service.map(|service| service.config.singleton) {
                None => "",
                Some(false) => "(service)",
                Some(true) => "(service, on one worker)",
            };
            Configured { plugin, spec, remark }
        })
    }

    /// Places every plugin of every chain and service in a sandbox.
    ///
    /// # Errors
    /// Plugins that would share a VM, differ, and may not be kept apart.
    pub(crate) fn place(&mut self, config: &Config) -> Result<Sandboxes, ConfigError> {
        let (sandboxes, placements) = {
            let all: Vec<_> = self.configured(config).collect();
            plan::place(config.sharing, &all)?
        };
        self.plugins_mut().zip(&placements).for_each(|(spec, placement)| spec.isolated = placement.isolated);
        Ok(sandboxes)
    }

    /// Returns the same plugins for changes.
    pub(crate) fn plugins_mut(&mut self) -> impl Iterator<Item = &mut PluginSpec> {
        let chains = self.listeners.iter_mut().flat_map(|listener| {
            listener.plugins.iter_mut().chain(listener.route_plugins.iter_mut().flatten().flatten())
        });
        chains.chain(self.services.iter_mut().map(|service| &mut service.plugin))
    }

    /// Wraps the module of each plugin. `wrap` gets what the operator calls the VM,
    /// and is called once for each module and name.
    ///
    /// # Errors
    /// The errors of `wrap`.
    pub(crate) fn wrapped(
        &self,
        wrap: impl Fn(&Arc<Module>, &str) -> Result<Module, LoadError>,
    ) -> Result<Self, ServeError> {
        let failed = |name: &str, error| ServeError::Compile { what: name.to_owned(), error };
        let mut snapshots: HashMap<*const Snapshot, Arc<Snapshot>> = HashMap::new();
        let mut modules: HashMap<(*const Module, String), Arc<Module>> = HashMap::new();
        let mut change = |spec: &mut PluginSpec| -> Result<(), ServeError> {
            let name = if spec.plugin.vm_id.is_empty() { &spec.plugin.name } else { &spec.plugin.vm_id };
            let key = (Arc::as_ptr(&spec.module), name.clone());
            let module = match modules.get(&key) {
                Some(module) => Arc::clone(module),
                None => {
                    let module = wrap(&spec.module, name).map_err(|error| failed(name, error))?;
                    Arc::clone(modules.entry(key).or_insert_with(|| Arc::new(module)))
                }
            };
            spec.module = module;
            // What it would move to has nothing around it.
            spec.tier = spec.tier.as_ref().map(|tier| Arc::new(Tier::new(tier.engine())));
            if let Some(snapshot) = &spec.snapshot {
                let key = Arc::as_ptr(snapshot);
                let wrapped = match snapshots.get(&key) {
                    Some(snapshot) => Arc::clone(snapshot),
                    None => {
                        let wrapped =
                            snapshot.wrapped(|module| wrap(module, name)).map_err(|error| failed(name, error))?;
                        Arc::clone(snapshots.entry(key).or_insert_with(|| Arc::new(wrapped)))
                    }
                };
                spec.snapshot = Some(wrapped);
            }
            Ok(())
        };
        let mut planned = self.clone();
        planned.plugins_mut().try_for_each(&mut change)?;
        Ok(planned)
    }
}
