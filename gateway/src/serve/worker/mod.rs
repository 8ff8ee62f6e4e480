//! One worker: a thread with its own runtime, sockets, upstream connections and VMs.
//!
//! A request goes: `accept` → hyper → `exchange`, which feeds the filter chain what arrives and
//! carries out its effects → `upstream`. `pump` carries out what a chain asks for besides: callouts
//! and ticks.

mod accept;
mod background;
mod body;
mod callout;
mod deadline;
mod dns;
mod drain;
mod edge;
mod exchange;
mod expect;
#[cfg(not(fuzzing))]
mod grpc;
#[cfg(fuzzing)]
pub(crate) mod grpc;
mod in_flight;
mod outgoing;
mod pump;
mod refused;
mod response_rules;
mod route;
mod service;
pub(crate) mod tcp;
mod told;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use portcullis::core::{Host, Wake};
use portcullis::{CalloutId, Chain, ConnectionId, StreamId, Worker};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::{AbortHandle, LocalSet};

use crate::config::{Cluster, Route, TcpProxy, Timeouts};
use crate::net::quiet::Quiet;
use crate::plan::error::{Place, PluginFailed};
use crate::plan::host::GatewayHost;
use crate::plan::planned::Plan;
use crate::plan::source::Door;
use crate::serve::seats::Seats;
use crate::serve::worker::in_flight::InFlight;
use crate::serve::worker::service::Services;
use crate::upstream::connector::Upstream;
use crate::upstream::pool::Account;

/// A worker's own state, which its tasks share.
pub(crate) struct Context {
    pub(crate) worker: RefCell<Worker>,
    pub(crate) clusters: HashMap<String, Upstream>,
    pub(crate) listeners: Vec<ListenerState>,
    services: Services,
    pub(crate) host: GatewayHost,
    /// Who waits for effects of a stream.
    pub(crate) wakers: RefCell<HashMap<StreamId, Waker>>,
    /// Who waits for effects of a TCP stream.
    pub(crate) connections_woken: RefCell<HashMap<ConnectionId, Rc<Notify>>>,
    pub(crate) callouts: RefCell<HashMap<CalloutId, AbortHandle>>,
    /// How many of them may be under way, without lookups of names.
    pub(crate) in_flight: InFlight,
    /// What sends the messages of gRPC streams.
    pub(crate) grpc: RefCell<HashMap<CalloutId, grpc::Sender>>,
    /// How many names may still be looked up at once.
    pub(crate) lookups: Arc<Semaphore>,
    /// Who may call a guest that no stream waits for.
    turns: background::Turns,
    /// The next tick has changed.
    pub(crate) ticks_changed: Notify,
    pub(crate) armed_tick: Cell<Option<Duration>>,
    /// Queues have items for plugins of this worker.
    pub(crate) queues_ready: Arc<Notify>,
    pub(crate) connections: Cell<u64>,
    /// When a body of a wrong length was told.
    pub(crate) lengths_told: Quiet,
    pub(crate) request_ids: RefCell<edge::RequestIds>,
    shutdown_timeout: Duration,
}

/// A listener as requests meet it.
pub(crate) struct ListenerState {
    pub(crate) buffer_limit: usize,
    /// Whether its clients are no proxies whose word about the request counts.
    pub(crate) use_remote_address: bool,
    /// Time limits for its clients.
    pub(crate) timeouts: Timeouts,
    pub(crate) chain: Chain,
    pub(crate) routes: Vec<(Route, Option<Chain>)>,
    pub(crate) requests: [metrics::Counter; 5],
    /// Where TCP streams go, if it takes these and no requests.
    pub(crate) tcp_proxy: Option<TcpProxy>,
    pub(crate) tcp: TcpMetrics,
    /// The places of its connections, which all workers share.
    pub(crate) seats: Seats,
}

/// What is counted of TCP streams.
pub(crate) struct TcpMetrics {
    pub(crate) opened: metrics::Counter,
    pub(crate) active: metrics::Gauge,
}

/// Gives the next stream a number that no other one of the process has.
pub(crate) fn next_stream() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// Starts the plugins of a plan in a worker that serves nothing: what `check` does.
///
/// # Errors
/// The first plugin that does not start.
pub(crate) fn rehearse(plan: &Plan) -> Result<(), PluginFailed> {
    let mut worker = new_worker(plan, &Arc::default());
    load_services(plan, &mut worker)?;
    load(plan, &mut worker).map(drop)
}

/// Runs a worker until it is told to stop. `started` hears once whether its plugins did.
pub(crate) fn run(
    plan: &Plan,
    doors: Vec<Door>,
    stop: watch::Receiver<bool>,
    started: impl FnOnce(Result<(), PluginFailed>),
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        match Context::new(plan) {
            Err(failed) => started(Err(failed)),
            Ok(context) => {
                started(Ok(()));
                serve(Rc::new(context), plan, doors, stop).await;
            }
        }
    });
    Ok(())
}

async fn serve(context: Rc<Context>, plan: &Plan, doors: Vec<Door>, stop: watch::Receiver<bool>) {
    let ticking = tokio::task::spawn_local(pump::tick(Rc::clone(&context)));
    let queues = tokio::task::spawn_local(pump::queues(Rc::clone(&context)));
    let tiers = tokio::task::spawn_local(pump::tiers(Rc::clone(&context), plan.reached.clone()));
    let services = tokio::task::spawn_local(service::keep_up(Rc::clone(&context)));
    context.pump();
    let listeners: Vec<_> = doors
        .into_iter()
        .zip(plan.planned.listeners.iter())
        .enumerate()
        .map(|(index, (door, listener))| {
            tokio::task::spawn_local(accept::run(Rc::clone(&context), index, door, listener.tls.clone(), stop.clone()))
        })
        .collect();
    for listener in listeners {
        if let Err(error) = listener.await {
            tracing::error!(%error, "a listener ended");
        }
    }
    services.abort();
    context.end_plugins().await;
    ticking.abort();
    queues.abort();
    tiers.abort();
}

impl Context {
    fn new(plan: &Plan) -> Result<Self, PluginFailed> {
        let queues_ready = Arc::default();
        let mut worker = new_worker(plan, &queues_ready);
        let services = load_services(plan, &mut worker)?;
        let listeners = load(plan, &mut worker)?;
        let seats: Vec<Seats> = listeners.iter().map(|listener| listener.seats.clone()).collect();
        let account = Account::new(plan.bounds.upstream, move || seats.iter().any(Seats::end_lagging));
        let upstream = |cluster: &Cluster| (cluster.name.clone(), Upstream::new(cluster, &account));
        let clusters = plan.clusters.iter().map(upstream).collect();
        Ok(Self {
            worker: RefCell::new(worker),
            clusters,
            listeners,
            services,
            host: plan.host.clone(),
            wakers: RefCell::default(),
            connections_woken: RefCell::default(),
            callouts: RefCell::default(),
            in_flight: InFlight::new(plan.bounds.callouts),
            grpc: RefCell::default(),
            lookups: Arc::new(Semaphore::new(dns::AT_ONCE)),
            turns: background::Turns::default(),
            ticks_changed: Notify::new(),
            armed_tick: Cell::new(None),
            queues_ready,
            connections: Cell::new(0),
            lengths_told: Quiet::several(5, Duration::from_secs(1)),
            request_ids: RefCell::default(),
            shutdown_timeout: plan.shutdown_timeout,
        })
        .inspect(Self::tell_health)
    }

    /// Tells the admin interface how the plugins of this worker are doing.
    fn tell_health(&self) {
        if let Some(number) = self.host.worker {
            self.host.health.note(number, self.worker.borrow().health().collect());
        }
    }

    /// Gives plugins time to end, as much as a graceful stop has.
    async fn end_plugins(self: &Rc<Self>) {
        self.worker.borrow_mut().shut_down();
        self.pump();
        let pending = async {
            while self.worker.borrow().pending_roots() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(self.shutdown_timeout, pending).await.is_err() {
            tracing::warn!("plugins did not end in time");
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(number) = self.host.worker {
            self.host.health.forget(number);
        }
    }
}

fn new_worker(plan: &Plan, queues_ready: &Arc<Notify>) -> Worker {
    let (host, queues_ready) = (plan.host.clone(), Arc::clone(queues_ready));
    let wake = Wake::new(move || queues_ready.notify_one());
    Worker::new(move || Box::new(host.clone()) as Box<dyn Host>)
        .sharing(plan.shared.clone(), wake)
        .with_tick_share(plan.tick_share)
        .with_foreign_functions(portcullis::envoy_functions())
}

/// Starts the services; before the chains, which may look for their queues.
fn load_services(plan: &Plan, worker: &mut Worker) -> Result<Services, PluginFailed> {
    let here = plan.planned.services.iter().enumerate();
    let here: Vec<_> = here.filter(|(_, service)| plan.runs_singletons || !service.config.singleton).collect();
    let specs: Vec<_> = here.iter().map(|(_, service)| service.plugin.clone()).collect();
    let chain = worker.load_services(&specs).map_err(|(index, error)| {
        let place = Place::Service(here.get(index).map_or(0, |(place, _)| *place));
        PluginFailed { place, index: 0, error }
    })?;
    let plugins = here.iter().map(|(_, service)| service.config.plugin.clone()).collect();
    Ok(Services { chain, plugins })
}

fn load(plan: &Plan, worker: &mut Worker) -> Result<Vec<ListenerState>, PluginFailed> {
    let mut states = Vec::with_capacity(plan.planned.listeners.len());
    for (listener, planned) in plan.planned.listeners.iter().enumerate() {
        let failed = |place| move |(index, error)| PluginFailed { place, index, error };
        let chain = worker.load(&planned.plugins).map_err(failed(Place::Listener(listener)))?;
        let mut routes = Vec::with_capacity(planned.config.routes.len());
        for (index, (route, plugins)) in planned.config.routes.iter().zip(&planned.route_plugins).enumerate() {
            let own = plugins.as_ref().map(|plugins| worker.load(plugins)).transpose();
            let own = own.map_err(failed(Place::Route(listener, index)))?;
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
