//! The state of a worker, which its tasks share: what lives as long as the worker does, whatever generation it serves.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portcullis_driver::{Builder, Driver, OneThread, QueueWake};
use slab::Slab;

use crate::net::quiet::Quiet;
use crate::plan::error::PluginFailed;
use crate::plan::host::GatewayHost;
use crate::plan::planned::Plan;
use crate::serve::seats::Seats;
use crate::serve::worker::deadline::Deadlines;
use crate::serve::worker::drain::Ends;
use crate::serve::worker::edge::RequestIds;
use crate::serve::worker::generation::Generation;
use crate::serve::worker::load::{load, new_worker};
use crate::upstream::clusters::{Clusters, Table};
use crate::upstream::pool::Account;

/// A worker's own state, which its tasks share.
pub(crate) struct Context {
    pub(crate) driver: Driver<OneThread, Clusters>,
    pub(crate) host: GatewayHost,
    pub(crate) connections: Cell<u64>,
    /// Limit on lines about bodies of a wrong length.
    pub(crate) lengths_told: Quiet,
    pub(crate) request_ids: RefCell<RequestIds>,
    /// The connections with upstreams, of all generations.
    account: Account,
    /// The seats of the current generation, of which some are given up when connections with upstreams are short.
    seats: Rc<RefCell<Vec<Seats>>>,
    shutdown_timeout: Cell<Duration>,
    /// The ends of its listeners, of which that of the process is one cause.
    pub(super) ends: Ends,
    /// The deadlines of all connections with requests.
    deadlines: RefCell<Slab<Rc<Deadlines>>>,
}

/// A connection of a worker, until it is dropped.
pub(super) struct Listed {
    context: Rc<Context>,
    key: usize,
}

/// Gives the next stream a number that no other one of the process has.
pub(crate) fn next_stream() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl Context {
    /// Starts a worker with its first generation.
    ///
    /// # Errors
    /// The first plugin that does not start.
    pub(super) fn new(plan: &Plan) -> Result<(Self, Generation), PluginFailed> {
        let queues = QueueWake::default();
        let mut worker = new_worker(plan, &queues);
        let loaded = load(plan, &mut worker)?;
        let seats: Rc<RefCell<Vec<Seats>>> = Rc::default();
        let lagging = Rc::clone(&seats);
        let account = Account::new(plan.bounds.upstream, move || lagging.borrow().iter().any(Seats::end_lagging));
        let table = Rc::new(Table::new(&plan.planned.clusters, &account, None));
        let clusters = Clusters::new(Rc::clone(&table), plan.host.clusters.clone(), plan.bounds.callouts);
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
        let generation = Generation::new(plan, loaded, table);
        let context = Self {
            driver,
            host: plan.host.clone(),
            connections: Cell::new(0),
            lengths_told: Quiet::several(5, Duration::from_secs(1)),
            request_ids: RefCell::default(),
            account,
            seats,
            shutdown_timeout: Cell::new(plan.shutdown_timeout),
            ends: Ends::new(plan.drain.clone()),
            deadlines: RefCell::default(),
        };
        context.note_seats(&generation);
        Ok((context, generation))
    }

    /// Returns the upstreams of its plugins' callouts.
    pub(super) fn clusters(&self) -> &Clusters {
        self.driver.upstreams()
    }

    /// Makes the clusters of a plan; those that are as before keep their connections.
    pub(super) fn table(&self, plan: &Plan, before: &Table) -> Rc<Table> {
        Rc::new(Table::new(&plan.planned.clusters, &self.account, Some(before)))
    }

    /// Takes the bounds of another generation, and its clusters.
    pub(super) fn change_over(&self, plan: &Plan, generation: &Generation) {
        self.account.set_limit(plan.bounds.upstream);
        self.shutdown_timeout.set(plan.shutdown_timeout);
        self.driver.set_max_callouts(plan.bounds.callouts);
        self.driver.with(|worker| worker.set_tick_share(plan.tick_share));
        self.clusters().change_over(Rc::clone(generation.common.clusters()), plan.bounds.callouts);
        self.note_seats(generation);
    }

    /// Lists a connection among those whose requests may be cut.
    pub(super) fn list(self: &Rc<Self>, deadlines: &Rc<Deadlines>) -> Listed {
        let key = self.deadlines.borrow_mut().insert(Rc::clone(deadlines));
        Listed { context: Rc::clone(self), key }
    }

    /// Cuts the requests of a generation, and of those before it.
    pub(super) fn cut(&self, generation: u64) {
        self.deadlines.borrow().iter().for_each(|(_, deadlines)| deadlines.cut(generation));
    }

    /// Returns how long a graceful stop may take.
    pub(super) fn shutdown_timeout(&self) -> Duration {
        self.shutdown_timeout.get()
    }

    /// Gives plugins time to end, as much as a graceful stop has.
    pub(super) async fn end_plugins(&self) {
        if !self.driver.shut_down(self.shutdown_timeout()).await {
            tracing::warn!(
                "plugins did not end within shutdown_timeout and were stopped; raise it if they need longer"
            );
        }
    }

    fn note_seats(&self, generation: &Generation) {
        let seats = generation.listeners.iter().map(|listener| listener.seats.clone());
        self.seats.replace(seats.collect());
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.context.deadlines.borrow_mut().try_remove(self.key);
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(number) = self.host.worker {
            self.host.health.forget(number);
        }
    }
}
