//! The reload of a gateway that serves.
//!
//! | step | on | when it fails |
//! |---|---|---|
//! | what cannot change is refused | the thread of the caller | nothing has begun |
//! | plugins are compiled | a thread of low priority | what was compiled is dropped |
//! | plugins that are new start in VMs of their own, away from traffic and from what plugins share | a thread of its own | the same |
//! | sockets of new listeners are bound | the same | those that were bound are closed |
//! | snapshots are taken of plugins with a VM for each stream | the same | what they have set in shared data stays |
//! | each worker starts what is new beside what runs | workers, one after the other, with IO between two plugins | each ends what it has started |
//! | each worker changes over | workers | nothing can fail: all of it is there |

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};
use std::{fmt, io, panic, thread};

use portcullis_config::plan::{compile_all, giving_way, stack_size, take_snapshots};
use tokio::sync::watch;

use super::crew::{Crew, Sockets};
use super::known::Known;
use super::{Cancel, Held, LiveCounts, Reload, Reloaded};
use crate::config::Config;
use crate::error::ServeError;
use crate::explain::{Outline, Placed};
use crate::net::listen;
use crate::net::sockets::WorkerSockets;
use crate::plan::error::explain;
use crate::plan::host::GatewayHost;
use crate::plan::maker::{Made, Maker};
use crate::plan::planned::{Identity, Plan, Planned};
use crate::serve::descriptors::{Bounds, Wishes};
use crate::serve::openings::{Later, ReservedSocket};
use crate::serve::starts::NotStarted;
use crate::serve::worker::{self, Given};

/// Reloads a gateway that serves, from any thread, for as long as it serves. Clones are the same.
#[derive(Clone, Debug)]
pub struct Reloader(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Held by who reloads.
    state: Mutex<State>,
    generations: Mutex<Vec<Living>>,
    /// Called with each configuration that has taken the place of another.
    show: Show,
}

/// Shows the configuration that is served from now on.
pub(crate) struct Show(pub(crate) Box<dyn Fn(Outline) + Send + Sync>);

/// The gateway that serves, as a reload sees it.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) plan: Plan,
    pub(crate) maker: Maker,
    pub(crate) crew: Crew,
    /// The listening sockets of all workers.
    pub(crate) sockets: crate::net::sockets::Sockets,
    /// The addresses of the listeners, in the order of the configuration.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Number of workers that there have been.
    pub(crate) hired: usize,
    /// Tells the workers that a plugin has been compiled.
    pub(crate) tier_ups: watch::Sender<usize>,
    /// The option of the start that no reload goes with.
    pub(crate) fixed: Option<&'static str>,
    /// The number of descriptors that are open without clients.
    pub(crate) open: u64,
}

/// A generation that may live still.
#[derive(Debug)]
struct Living {
    number: u64,
    since: SystemTime,
    counts: LiveCounts,
    plugins: Known,
}

/// A generation that is ready to be prepared by workers.
struct Next {
    config: Config,
    plan: Plan,
    made: Made,
    addresses: Vec<SocketAddr>,
    sockets: Bound,
}

/// The sockets of a generation that are not open yet.
#[derive(Default)]
struct Bound {
    /// For each worker that stays, those of new listeners.
    staying: Vec<Sockets>,
    /// For each new worker, those of all listeners.
    hired: Vec<Vec<ReservedSocket>>,
}

impl Reloader {
    /// Begins with the first generation.
    pub(crate) fn new(state: State, show: Show) -> Self {
        let first = Living::new(&state.plan);
        Self(Arc::new(Inner { state: Mutex::new(state), generations: Mutex::new(vec![first]), show }))
    }

    /// Has the workers accept connections of sockets that they have not had yet. Waits for a reload that has begun.
    pub(crate) fn open(&self, sockets: Later) {
        let state = lock(&self.0.state);
        state.crew.give_each(sockets.listening);
        state.open_sockets(0, sockets.reserved);
    }

    /// Returns the addresses of the listeners of the current generation, in the order of the configuration. Waits for a reload that
    /// has begun.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        lock(&self.0.state).addresses.clone()
    }
}

impl Reload for Reloader {
    fn reload(&self, config: Config, cancel: &Cancel) -> Result<Reloaded, ServeError> {
        let begun = Instant::now();
        let mut state = lock(&self.0.state);
        cancel.check()?;
        state.refuse(&config)?;
        for notice in &config.notices {
            tracing::warn!("{notice}");
        }
        let Next { config, plan, made, addresses, sockets } = state.build(config, cancel)?;
        let Bound { staying: sockets, hired } = sockets;
        // Those that are to leave change over as well: their connections may ask once more.
        let before = state.crew.len();
        let new_workers = state.plans_of_new(&plan, hired.len());
        let of_worker = |worker: usize| Plan { runs_singletons: worker == 0, ..plan.clone() };
        let started = state.crew.prepare(before, of_worker, sockets, new_workers, cancel);
        started.map_err(|failed| not_reloaded(&config, &failed))?;
        if let Err(cancelled) = cancel.check() {
            state.crew.give_up(before);
            return Err(cancelled);
        }
        if state.crew.change_over(before).is_err() {
            // All others have changed over, and it serves nothing.
            tracing::error!("a worker has ended; start the gateway again, and report the panic above if there is one");
        }
        plan.bounds.resize();
        plan.drain.set_delay(config.drain_delay);
        state.open_sockets(before, hired);
        state.dismiss(config.workers, &plan.planned.identities());
        let mut generations = lock(&self.0.generations);
        let next = Living::new(&plan);
        let number = next.number;
        let (started, stayed, ended) =
            generations.last().map_or((0, 0, 0), |last| next.plugins.compared(&last.plugins));
        generations.retain(|living| living.counts.read().is_some());
        generations.push(next);
        drop(generations);
        let plugins = plan.planned.plugins().map(Placed::of).collect();
        (self.0.show.0)(Outline::new(config.clone(), made.sandboxes.clone(), plugins));
        state.change_over(config, plan, addresses);
        if let Err(error) = state.compile_later(made) {
            tracing::error!(%error, "plugins stay on wasmi: no thread can be started that compiles them; raise the limit of threads (`ulimit -u`)");
        }
        let listeners = state.config.listeners.len();
        tracing::info!(generation = number, elapsed = ?begun.elapsed(), listeners, started, stayed, ended, "reloaded");
        Ok(Reloaded { generation: number, started, stayed, ended })
    }

    fn generations(&self) -> Vec<Held> {
        let generations = lock(&self.0.generations);
        let living = generations.iter().enumerate().filter_map(|(index, living)| {
            let (requests, connections) = living.counts.read()?;
            let later = generations.get(index + 1..).unwrap_or_default();
            let plugins = living.plugins.without(later.iter().map(|later| &later.plugins));
            Some(Held { number: living.number, since: living.since, requests, connections, plugins })
        });
        living.collect()
    }
}

impl fmt::Debug for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Show").finish_non_exhaustive()
    }
}

impl Living {
    fn new(plan: &Plan) -> Self {
        let (counts, plugins) = (plan.counts.clone(), Known::of(&plan.planned));
        Self { number: plan.number, since: SystemTime::now(), counts, plugins }
    }
}

impl State {
    /// # Errors
    /// The gateway cannot be reloaded, or not with this configuration, before anything of it is looked at.
    fn refuse(&self, config: &Config) -> Result<(), ServeError> {
        let stop = self.crew.stop();
        if *stop.borrow() || stop.has_changed().is_err() {
            return Err(ServeError::Stopping);
        }
        if let Some(option) = self.fixed {
            return Err(ServeError::NotReloadable { what: option });
        }
        let fixed = [
            ("admin", config.admin == self.config.admin && config.admin_socket == self.config.admin_socket),
            ("stats_config", config.stats_tags == self.config.stats_tags),
        ];
        match fixed.iter().find(|(_, is_same)| !is_same) {
            Some((what, _)) => Err(ServeError::NotReloadable { what }),
            None => Ok(()),
        }
    }

    /// Compiles a configuration, on a thread that gives way to the workers; then tries what is new in it, and binds its sockets, on
    /// one that does not: plugins have a time limit for their start, which goes on while a thread gives way.
    fn build(&self, config: Config, cancel: &Cancel) -> Result<Next, ServeError> {
        let make = || self.maker.make(&config, Some(&self.plan.planned), cancel);
        let made = giving_way("reload", Some(self.crew.stack()), make)??;
        self.apart(|| self.build_here(config, made, cancel))?
    }

    /// Runs on a thread of its own, with the stack of a worker.
    fn apart<R: Send>(&self, work: impl FnOnce() -> R + Send) -> io::Result<R> {
        thread::scope(|scope| {
            let builder = thread::Builder::new().name("reload".to_owned()).stack_size(self.crew.stack());
            let done = builder.spawn_scoped(scope, work)?.join();
            Ok(done.unwrap_or_else(|panic| panic::resume_unwind(panic)))
        })
    }

    fn build_here(&self, config: Config, mut made: Made, cancel: &Cancel) -> Result<Next, ServeError> {
        let stack = stack_size(made.planned.plugins());
        if stack > self.crew.stack() {
            return Err(ServeError::NotReloadable { what: "limits.stack (beyond the largest at the start)" });
        }
        let mut host = self.plan.host.of_worker(None);
        host.clusters = config.clusters.iter().map(|cluster| cluster.name.clone()).collect();
        let rehearsed = rehearse(&self.plan, &host, &made.planned, cancel);
        rehearsed.map_err(|failed| not_reloaded(&config, &failed))?;
        let identities = made.planned.identities();
        self.refuse_taken(&config, &identities)?;
        cancel.check()?;
        // Behind all that can be judged: plugins have their shared data then, and may set some.
        {
            let mut plugins: Vec<_> = config.all_plugins().zip(made.planned.plugins_mut()).collect();
            let new_host = || Box::new(host.clone()) as Box<_>;
            take_snapshots(&mut plugins, &mut made.compiler, config.workers, &new_host, &self.plan.shared)??;
        }
        // Behind what takes long or may fail: connections come into the queues of sockets that listen.
        let (addresses, sockets) = self.bind(&config, &identities)?;
        let plan = Plan {
            number: self.plan.number + 1,
            counts: LiveCounts::default(),
            host,
            planned: Arc::new(std::mem::take(&mut made.planned)),
            shutdown_timeout: config.shutdown_timeout,
            reload: config.reload,
            tick_share: config.tick_share,
            ..self.plan.clone()
        };
        // Each has a duplicate that can be passed on.
        let opened: usize =
            sockets.staying.iter().map(Vec::len).chain(sockets.hired.iter().map(Vec::len)).sum::<usize>() * 2;
        let bounds = self.bounds(&config, &identities, opened);
        Ok(Next { plan: Plan { bounds, ..plan }, config, made, addresses, sockets })
    }

    /// Fails where another program has the address of a new listener.
    fn refuse_taken(&self, config: &Config, identities: &[Identity]) -> Result<(), ServeError> {
        let before = self.plan.planned.identities();
        let new = config.listeners.iter().zip(identities).filter(|(_, identity)| !before.contains(identity));
        for (listener, _) in new.filter(|(listener, _)| listener.address.port() != 0) {
            listen::refuse_shared(listener.address)?;
        }
        Ok(())
    }

    /// Binds the sockets of listeners that are new, and of all listeners for workers that are new: of the latter no connection comes to
    /// one before it listens.
    fn bind(&self, config: &Config, identities: &[Identity]) -> Result<(Vec<SocketAddr>, Bound), ServeError> {
        let workers = config.workers;
        let before = self.plan.planned.identities();
        let mut sockets = Bound::default();
        sockets.staying.resize_with(self.crew.len().min(workers), Vec::new);
        sockets.hired.resize_with(workers.saturating_sub(self.crew.len()), Vec::new);
        let mut addresses = Vec::with_capacity(identities.len());
        for (index, (identity, listener)) in identities.iter().zip(&config.listeners).enumerate() {
            let known = before.iter().position(|known| known == identity);
            if let Some(address) = known.and_then(|known| self.addresses.get(known)) {
                addresses.push(*address);
                continue;
            }
            let opened = self.sockets.open(&listener.name, identity.address, sockets.staying.len(), Vec::new())?;
            let address = opened.first().map(WorkerSockets::local_addr).transpose()?;
            addresses.push(address.unwrap_or(identity.address));
            for (of_worker, socket) in sockets.staying.iter_mut().zip(opened) {
                of_worker.push((index, socket));
            }
        }
        for of_worker in &mut sockets.hired {
            for ((identity, address), listener) in identities.iter().zip(&addresses).zip(&config.listeners) {
                of_worker.push((*identity, listener.name.clone(), listen::reserve(*address)?));
            }
        }
        Ok((addresses, sockets))
    }

    /// Shares out the descriptors among the listeners of a configuration. Those that stay keep their seats.
    fn bounds(&self, config: &Config, identities: &[Identity], opened: usize) -> Bounds {
        let before = self.plan.planned.identities();
        let known = |index: usize| {
            let (identity, name) = (identities.get(index)?, &config.listeners.get(index)?.name);
            let at = before.iter().position(|known| known == identity)?;
            // Metrics of seats have the listener's name.
            let is_named = self.config.listeners.get(at).is_some_and(|before| before.name == *name);
            is_named.then(|| self.plan.bounds.seats(at, name))
        };
        Bounds::share(self.open + opened as u64, &Wishes::of(config, config.workers), known)
    }

    /// Returns the names and plans of new workers. Each has a number that none had before: one that leaves may be there still.
    fn plans_of_new(&mut self, plan: &Plan, count: usize) -> Vec<(String, Plan)> {
        let numbers = self.hired..self.hired + count;
        self.hired += count;
        let of = |number| {
            let host = plan.host.of_worker(Some(number));
            (format!("worker-{number}"), Plan { host, runs_singletons: false, ..plan.clone() })
        };
        numbers.map(of).collect()
    }

    /// Opens the sockets of new workers, which come behind those that have been there.
    fn open_sockets(&self, before: usize, hired: Vec<Vec<ReservedSocket>>) {
        for (index, reserved) in hired.into_iter().enumerate() {
            let mut sockets = Vec::with_capacity(reserved.len());
            for (identity, name, reserved) in reserved {
                let listening = reserved.listen().map_err(io::Error::other);
                match listening.and_then(|socket| self.sockets.add(&name, identity.address, socket)) {
                    Ok(socket) => sockets.push((identity, socket)),
                    Err(error) => tracing::error!(%error, "a new worker does not serve a listener; other workers do"),
                }
            }
            self.crew.give(before + index, sockets);
        }
    }

    /// Dismisses workers beyond so many, and gives their sockets to the others in turn.
    fn dismiss(&mut self, workers: usize, identities: &[Identity]) {
        if self.crew.len() <= workers {
            return;
        }
        let given = self.crew.dismiss(workers, identities);
        let mut of_workers: Vec<Given> = Vec::new();
        of_workers.resize_with(workers, Vec::new);
        for (index, socket) in given.into_iter().enumerate() {
            if let Some(of_worker) = of_workers.get_mut(index % workers.max(1)) {
                of_worker.push(socket);
            }
        }
        self.crew.give_each(of_workers);
    }

    fn change_over(&mut self, config: Config, plan: Plan, addresses: Vec<SocketAddr>) {
        let (before, now) = (self.plan.planned.identities(), plan.planned.identities());
        let of = |ours: &[Identity], theirs: &[Identity]| {
            (ours.iter().filter(|identity| !theirs.contains(identity)).count() * self.crew.len()) as u64
        };
        self.open = (self.open + of(&now, &before)).saturating_sub(of(&before, &now));
        for (listener, address) in config.listeners.iter().zip(&addresses) {
            if !self.addresses.contains(address) {
                tracing::info!(listener = listener.name, %address, workers = self.crew.len(), "listening");
            }
        }
        (self.config, self.plan, self.addresses) = (config, plan, addresses);
    }

    /// Compiles what serves on the interpreter until then.
    fn compile_later(&self, mut made: Made) -> io::Result<()> {
        let (jobs, cache) = made.compiler.take_jobs();
        if jobs.is_empty() {
            return Ok(());
        }
        let (tier_ups, stop) = (self.tier_ups.clone(), self.crew.stop().clone());
        compile_all(jobs, cache, move || tier_ups.send_modify(|count| *count += 1), move || *stop.borrow())
    }
}

/// Starts the plugins that are new in a plan, in VMs of their own: one that traps takes none with it that serves. They find each other's
/// queues, and those of plugins that serve, as they will in a worker.
fn rehearse(serving: &Plan, host: &GatewayHost, planned: &Planned, cancel: &Cancel) -> Result<(), NotStarted> {
    let apart = Plan { host: host.clone(), shared: serving.shared.trial(), ..serving.clone() };
    let mut worker = worker::new_worker(&apart, &portcullis_driver::QueueWake::default());
    for placed in Known::of(&serving.planned).new_in(planned) {
        if cancel.is_cancelled() {
            return Err(NotStarted::Cancelled);
        }
        worker::load_one(&placed, &mut worker).map_err(NotStarted::Plugin)?;
    }
    worker.shut_down();
    Ok(())
}

fn not_reloaded(config: &Config, failed: &NotStarted) -> ServeError {
    match failed {
        NotStarted::Plugin(failed) => explain(config, failed).into(),
        NotStarted::Worker(error) => ServeError::Io(io::Error::new(error.kind(), error.to_string())),
        NotStarted::Cancelled => ServeError::Cancelled,
        NotStarted::Ended => ServeError::Stopping,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
