//! The state of a worker, which its tasks share.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use portcullis::Worker;
use portcullis::chain::{CalloutId, ConnectionId, StreamId};
use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;

use crate::config::Cluster;
use crate::net::quiet::Quiet;
use crate::plan::error::PluginFailed;
use crate::plan::host::GatewayHost;
use crate::plan::planned::Plan;
use crate::serve::seats::Seats;
use crate::serve::worker::edge::RequestIds;
use crate::serve::worker::grpc::sender::Sender;
use crate::serve::worker::in_flight::InFlight;
use crate::serve::worker::listener::ListenerState;
use crate::serve::worker::load::{load, load_services, new_worker};
use crate::serve::worker::services::Services;
use crate::serve::worker::turns::Turns;
use crate::upstream::connector::Upstream;
use crate::upstream::pool::Account;

/// Maximum number of a worker's lookups for plugins at once; others wait. Each takes a thread, and cannot be stopped.
pub(super) const LOOKUPS: usize = 16;

/// A worker's own state, which its tasks share.
pub(crate) struct Context {
    pub(crate) worker: RefCell<Worker>,
    pub(crate) clusters: HashMap<String, Upstream>,
    pub(crate) listeners: Vec<ListenerState>,
    pub(super) services: Services,
    pub(crate) host: GatewayHost,
    /// Wakers of tasks that wait for effects of a stream.
    pub(crate) wakers: RefCell<HashMap<StreamId, Waker>>,
    /// Notifies tasks that wait for effects of a TCP stream.
    pub(crate) connections_woken: RefCell<HashMap<ConnectionId, Rc<Notify>>>,
    pub(crate) callouts: RefCell<HashMap<CalloutId, AbortHandle>>,
    /// Limits the number of callouts at once, except for lookups of names.
    pub(crate) in_flight: InFlight,
    /// Senders of gRPC messages.
    pub(crate) grpc: RefCell<HashMap<CalloutId, Sender>>,
    /// Permits for lookups of names.
    pub(crate) lookups: Arc<Semaphore>,
    /// Turns of guest calls that no stream waits for.
    pub(super) turns: Turns,
    /// The next tick has changed.
    pub(crate) ticks_changed: Notify,
    pub(crate) armed_tick: Cell<Option<Duration>>,
    /// Queues have items for plugins of this worker.
    pub(crate) queues_ready: Arc<Notify>,
    pub(crate) connections: Cell<u64>,
    /// Limit on lines about bodies of a wrong length.
    pub(crate) lengths_told: Quiet,
    pub(crate) request_ids: RefCell<RequestIds>,
    pub(super) shutdown_timeout: Duration,
}

/// Gives the next stream a number that no other one of the process has.
pub(crate) fn next_stream() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl Context {
    pub(super) fn new(plan: &Plan) -> Result<Self, PluginFailed> {
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
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
            turns: Turns::default(),
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
    pub(super) fn tell_health(&self) {
        if let Some(number) = self.host.worker {
            self.host.health.note(number, self.worker.borrow().health().collect());
        }
    }

    /// Gives plugins time to end, as much as a graceful stop has.
    pub(super) async fn end_plugins(self: &Rc<Self>) {
        self.worker.borrow_mut().shut_down();
        self.pump();
        let pending = async {
            while self.worker.borrow().pending_roots() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(self.shutdown_timeout, pending).await.is_err() {
            tracing::warn!(
                "plugins did not end within shutdown_timeout and were stopped; raise it if they need longer"
            );
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
