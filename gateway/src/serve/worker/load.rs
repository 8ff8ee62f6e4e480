//! Starting the plugins of a plan in a worker.

use portcullis::Worker;
use portcullis::chain::ChainError;
use portcullis::resources::Host;
use portcullis_driver::QueueWake;

use crate::plan::error::{ChainPlace, PluginFailed};
use crate::plan::planned::Plan;
use crate::serve::worker::listener::{ListenerState, TcpMetrics};
use crate::serve::worker::services::Services;

/// Starts the plugins of a plan in a worker that serves nothing: what `check` does.
///
/// # Errors
/// The first plugin that does not start.
pub(crate) fn rehearse(plan: &Plan) -> Result<(), PluginFailed> {
    let mut worker = new_worker(plan, &QueueWake::default());
    load_services(plan, &mut worker)?;
    load(plan, &mut worker).map(drop)
}

pub(super) fn new_worker(plan: &Plan, queues: &QueueWake) -> Worker {
    let host = plan.host.clone();
    Worker::new(move || Box::new(host.clone()) as Box<dyn Host>)
        .with_shared(plan.shared.clone(), queues.wake())
        .with_tick_share(plan.tick_share)
        .with_foreign_functions(portcullis::foreign::envoy_functions())
}

/// Starts the services; before the chains, which may look for their queues.
pub(super) fn load_services(plan: &Plan, worker: &mut Worker) -> Result<Services, PluginFailed> {
    let here = plan.planned.services.iter().enumerate();
    let here: Vec<_> = here.filter(|(_, service)| plan.runs_singletons || !service.config.singleton).collect();
    let specs: Vec<_> = here.iter().map(|(_, service)| service.plugin.clone()).collect();
    let chain = worker.load_services(&specs).map_err(|ChainError { index, source: error, .. }| {
        let place = ChainPlace::Service(here.get(index).map_or(0, |(place, _)| *place));
        PluginFailed { place, index: 0, error }
    })?;
    let plugins = here.iter().map(|(_, service)| service.config.plugin.clone()).collect();
    Ok(Services { chain, plugins })
}

/// Starts the chains of listeners and their routes.
pub(super) fn load(plan: &Plan, worker: &mut Worker) -> Result<Vec<ListenerState>, PluginFailed> {
    let mut states = Vec::with_capacity(plan.planned.listeners.len());
    for (listener, planned) in plan.planned.listeners.iter().enumerate() {
        let failed = |place| move |ChainError { index, source: error, .. }| PluginFailed { place, index, error };
        let chain = worker.load(&planned.plugins).map_err(failed(ChainPlace::Listener(listener)))?;
        let mut routes = Vec::with_capacity(planned.config.routes.len());
        for (index, (route, plugins)) in planned.config.routes.iter().zip(&planned.route_plugins).enumerate() {
            let own = plugins.as_ref().map(|plugins| worker.load(plugins)).transpose();
            let own = own.map_err(failed(ChainPlace::Route(listener, index)))?;
            routes.push((route.clone(), own));
        }
        let name = &planned.config.name;
        let requests = ["1xx", "2xx", "3xx", "4xx", "5xx"]
            .map(|class| metrics::counter!("portcullis_requests_total", "listener" => name.clone(), "class" => class));
        let tcp = TcpMetrics {
            opened: metrics::counter!("portcullis_tcp_connections_total", "listener" => name.clone()),
            active: metrics::gauge!("portcullis_tcp_connections_active", "listener" => name.clone()),
        };
        let (buffer_limit, tcp_proxy) = (planned.config.buffer_limit, planned.config.tcp_proxy.clone());
        let (use_remote_address, timeouts) = (planned.config.use_remote_address, planned.config.timeouts);
        let seats = plan.bounds.seats(listener, name);
        states.push(ListenerState {
            buffer_limit,
            use_remote_address,
            timeouts,
            chain,
            routes,
            requests,
            tcp_proxy,
            tcp,
            seats,
        });
    }
    Ok(states)
}
