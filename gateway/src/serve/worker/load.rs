//! Starting the plugins of a plan in a worker.

use portcullis::chain::{Backoff, ChainError};
use portcullis::resources::Host;
use portcullis::{Chain, PluginSpec, Worker};
use portcullis_driver::QueueWake;

use crate::plan::error::{ChainPlace, PluginFailed};
use crate::plan::planned::{Placed, Plan};
use crate::serve::worker::listener::ListenerChains;
use crate::serve::worker::services::Services;

/// The chains of a plan, which run in a worker.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) services: Services,
    /// In the order of the configuration.
    pub(super) listeners: Vec<ListenerChains>,
}

/// Starts the plugins of a plan in a worker that serves nothing: what `check` does.
///
/// # Errors
/// The first plugin that does not start.
pub(crate) fn rehearse(plan: &Plan) -> Result<(), PluginFailed> {
    load(plan, &mut new_worker(plan, &QueueWake::default())).map(drop)
}

/// Makes a worker for the plugins of a plan.
pub(crate) fn new_worker(plan: &Plan, queues: &QueueWake) -> Worker {
    let host = plan.host.clone();
    Worker::new(move || Box::new(host.clone()) as Box<dyn Host>)
        .with_shared(plan.shared.clone(), queues.wake())
        .with_tick_share(plan.tick_share)
        .with_foreign_functions(portcullis::foreign::envoy_functions())
}

/// Starts one plugin of a plan alone. No stream comes to it yet.
///
/// # Errors
/// The plugin does not start.
pub(crate) fn load_one(placed: &Placed<'_>, worker: &mut Worker) -> Result<Chain, PluginFailed> {
    let failed = |ChainError { source: error, .. }| PluginFailed { place: placed.place, index: placed.index, error };
    worker.load_services_beside(std::slice::from_ref(placed.spec)).map_err(failed)
}

/// Starts the services and chains of a plan. Services come first: chains may look for their queues.
///
/// # Errors
/// The first plugin that does not start; none of the plan's runs then that did not run before.
pub(super) fn load(plan: &Plan, worker: &mut Worker) -> Result<Loaded, PluginFailed> {
    let mut loaded = Loaded::default();
    let result = load_into(&mut loaded, plan, worker);
    if result.is_err() {
        loaded.chains().for_each(|chain| worker.unload(chain));
    }
    result.map(|()| loaded)
}

fn load_into(loaded: &mut Loaded, plan: &Plan, worker: &mut Worker) -> Result<(), PluginFailed> {
    loaded.services = load_services(plan, worker)?;
    for (listener, planned) in plan.planned.listeners.iter().enumerate() {
        let failed = |place| move |ChainError { index, source: error, .. }| PluginFailed { place, index, error };
        let chain = worker.load_beside(&planned.plugins).map_err(failed(ChainPlace::Listener(listener)))?;
        // Noted at once, to be unloaded if a later one fails.
        loaded.listeners.push((chain, Vec::with_capacity(planned.route_plugins.len())));
        let Some((_, of_routes)) = loaded.listeners.last_mut() else { break };
        for (index, plugins) in planned.route_plugins.iter().enumerate() {
            let own = plugins.as_ref().map(|plugins| worker.load_beside(plugins)).transpose();
            of_routes.push(own.map_err(failed(ChainPlace::Route(listener, index)))?);
        }
    }
    Ok(())
}

fn load_services(plan: &Plan, worker: &mut Worker) -> Result<Services, PluginFailed> {
    let here: Vec<_> = plan.services_here().collect();
    let specs: Vec<PluginSpec> = here.iter().map(|(_, service)| service.plugin.clone()).collect();
    let chain = worker.load_services_beside(&specs).map_err(|ChainError { index, source: error, .. }| {
        let place = ChainPlace::Service(here.get(index).map_or(0, |(place, _)| *place));
        PluginFailed { place, index: 0, error }
    })?;
    let plugins = here.iter().map(|(_, service)| service.config.plugin.clone()).collect();
    Ok(Services { chain, plugins })
}

/// Returns how long the plugins of each chain rest, in the order of [`Loaded::chains`].
pub(super) fn backoffs(plan: &Plan) -> Vec<Vec<Backoff>> {
    let of_services = plan.services_here().map(|(_, service)| service.plugin.reload).collect();
    let of_chain = |plugins: &Vec<PluginSpec>| plugins.iter().map(|spec| spec.reload).collect();
    let of_listeners = plan.planned.listeners.iter().flat_map(|listener| {
        std::iter::once(&listener.plugins).chain(listener.route_plugins.iter().flatten()).map(of_chain)
    });
    std::iter::once(of_services).chain(of_listeners).collect()
}

impl Loaded {
    /// Returns all chains.
    pub(super) fn chains(&self) -> impl Iterator<Item = &Chain> {
        let listeners = self
            .listeners
            .iter()
            .flat_map(|(chain, of_routes)| std::iter::once(chain).chain(of_routes.iter().flatten()));
        std::iter::once(&self.services.chain).chain(listeners)
    }
}
