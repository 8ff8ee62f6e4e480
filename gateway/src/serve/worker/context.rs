//! The state of a worker, which its tasks share.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portcullis_driver::{Builder, Driver, OneThread, QueueWake};

use crate::net::quiet::Quiet;
use crate::plan::error::PluginFailed;
use crate::plan::host::GatewayHost;
use crate::plan::planned::Plan;
use crate::serve::drain::Drain;
use crate::serve::seats::Seats;
use crate::serve::worker::edge::RequestIds;
use crate::serve::worker::listener::ListenerState;
use crate::serve::worker::load::{load, load_services, new_worker};
use crate::serve::worker::services::Services;
use crate::upstream::clusters::Clusters;
use crate::upstream::pool::Account;

/// A worker's own state, which its tasks share.
pub(crate) struct Context {
    pub(crate) driver: Driver<OneThread, Clusters>,
    pub(crate) listeners: Vec<ListenerState>,
    pub(super) services: Services,
    pub(crate) host: GatewayHost,
    pub(crate) connections: Cell<u64>,
    /// Limit on lines about bodies of a wrong length.
    pub(crate) lengths_told: Quiet,
    pub(crate) request_ids: RefCell<RequestIds>,
    pub(super) shutdown_timeout: Duration,
    /// The orderly end of the process.
    pub(super) drain: Drain,
}

/// Gives the next stream a number that no other one of the process has.
pub(crate) fn next_stream() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl Context {
    pub(super) fn new(plan: &Plan) -> Result<Self, PluginFailed> {
        let queues = QueueWake::default();
        let mut worker = new_worker(plan, &queues);
        let services = load_services(plan, &mut worker)?;
        let listeners = load(plan, &mut worker)?;
        let seats: Vec<Seats> = listeners.iter().map(|listener| listener.seats.clone()).collect();
        let account = Account::new(plan.bounds.upstream, move || seats.iter().any(Seats::end_lagging));
        let clusters = Clusters::new(&plan.clusters, &account, plan.bounds.callouts);
        let host = plan.host.clone();
        let (clock, health) = (host.clock, host.health.clone());
        let driver = Builder::new(worker, clusters, move |time| clock.instant(time))
            .queues(queues)
            .max_callouts(plan.bounds.callouts)
            .on_health_changed(move |worker| {
                if let Some(number) = host.worker {
                    health.note(number, worker.health().collect());
                }
            })
            .build();
        Ok(Self {
            driver,
            listeners,
            services,
            host: plan.host.clone(),
            connections: Cell::new(0),
            lengths_told: Quiet::several(5, Duration::from_secs(1)),
            request_ids: RefCell::default(),
            shutdown_timeout: plan.shutdown_timeout,
            drain: plan.drain.clone(),
        })
    }

    /// Returns the upstreams.
    pub(crate) fn clusters(&self) -> &Clusters {
        self.driver.upstreams()
    }

    /// Gives plugins time to end, as much as a graceful stop has.
    pub(super) async fn end_plugins(&self) {
        if !self.driver.shut_down(self.shutdown_timeout).await {
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
