//! The workers of a gateway as who reloads sees them.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::{io, mem};

use tokio::sync::{mpsc, watch};

use crate::net::sockets::WorkerSockets;
use crate::plan::planned::{Identity, Plan};
use crate::plan::source::ConnectionSource;
use crate::serve::generation::Cancel;
use crate::serve::starts::{NotStarted, Report, Reports};
use crate::serve::worker::{self, Command, Given, Prepare};

/// The sockets of new listeners in one worker, each with the index of its listener.
pub(crate) type Sockets = Vec<(usize, WorkerSockets)>;

/// The threads of all workers that have begun, those that leave included. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Threads(Arc<Mutex<Vec<JoinHandle<()>>>>);

/// All workers that serve.
#[derive(Debug)]
pub(crate) struct Crew {
    workers: Vec<mpsc::Sender<Command>>,
    threads: Threads,
    /// The bytes of stack of each worker's thread.
    stack: usize,
    stop: watch::Receiver<bool>,
}

/// The most commands that wait for a worker: what is prepared, and that it be given up.
const WAITING: usize = 4;

impl Threads {
    /// Takes all threads, to be joined.
    pub(crate) fn drain(&self) -> Vec<JoinHandle<()>> {
        mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, thread: JoinHandle<()>) {
        let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have left.
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
    }
}

impl Crew {
    /// Makes a crew without workers, whose threads have so much stack and end with `stop`.
    pub(crate) fn new(stack: usize, stop: watch::Receiver<bool>) -> Self {
        Self { workers: Vec::new(), threads: Threads::default(), stack, stop }
    }

    /// Starts one more worker, which reports when its plugins run.
    ///
    /// # Errors
    /// Its thread cannot be started.
    pub(crate) fn hire(
        &mut self,
        name: String,
        plan: Plan,
        sources: Vec<ConnectionSource>,
        mut report: Report,
    ) -> io::Result<()> {
        let (commands, commanded) = mpsc::channel(WAITING);
        let stop = self.stop.clone();
        let run = move || {
            let started = |result: Result<(), _>| report.send(result.map_err(NotStarted::Plugin));
            if let Err(error) = worker::run(plan, sources, stop, commanded, started) {
                report.send(Err(NotStarted::Worker(error)));
            }
        };
        self.threads.add(thread::Builder::new().name(name).stack_size(self.stack).spawn(run)?);
        self.workers.push(commands);
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    pub(crate) fn stack(&self) -> usize {
        self.stack
    }

    /// Returns what stops the workers.
    pub(crate) fn stop(&self) -> &watch::Receiver<bool> {
        &self.stop
    }

    pub(crate) fn threads(&self) -> &Threads {
        &self.threads
    }

    /// Starts the plugins of a plan in the workers that are there, `before` in number, beside those that serve, one worker after the other,
    /// so that a plugin that starts slowly keeps one of them at most; and then in new workers with the plans of `hired`, which have no sockets yet. `sockets` has those of new listeners for each worker that stays. When one fails,
    /// nothing is left of it in any.
    ///
    /// # Errors
    /// The first reason that a worker reports.
    pub(crate) fn prepare(
        &mut self,
        before: usize,
        plan: impl Fn(usize) -> Plan,
        sockets: Vec<Sockets>,
        hired: Vec<(String, Plan)>,
        cancel: &Cancel,
    ) -> Result<(), NotStarted> {
        let mut sockets = sockets.into_iter();
        let prepared = self.workers.iter().take(before).enumerate().try_for_each(|(worker, commands)| {
            let mut reports = Reports::new();
            let (sockets, cancel_of_worker) = (sockets.next().unwrap_or_default(), cancel.asked_only());
            let report = reports.expect_one();
            let prepare = Prepare { plan: plan(worker), sockets, cancel: cancel_of_worker, report };
            // The report of a worker that has ended is that.
            let _ = commands.try_send(Command::Prepare(Box::new(prepare)));
            reports.wait_and(|| cancel.look())
        });
        let prepared = prepared.and_then(|()| {
            let mut reports = Reports::new();
            for (name, plan) in hired {
                let report = reports.expect_one();
                self.hire(name, plan, Vec::new(), report).map_err(NotStarted::Worker)?;
            }
            reports.wait()
        });
        if prepared.is_err() {
            self.give_up(before);
        }
        prepared
    }

    /// Has the first workers end what was prepared, and dismisses those beyond.
    pub(crate) fn give_up(&mut self, before: usize) {
        // A worker that has ended has ended that as well.
        let _ = self.ask(..before, |_, report| Command::GiveUp(report));
        self.dismiss(before, &[]);
    }

    /// Has the first workers change over to what was prepared; those beyond have begun with it.
    ///
    /// # Errors
    /// A worker has ended.
    pub(crate) fn change_over(&self, before: usize) -> Result<(), NotStarted> {
        self.ask(..before, |_, report| Command::ChangeOver(report))
    }

    /// Has a worker accept connections of sockets, each of a listener.
    pub(crate) fn give(&self, worker: usize, sockets: Given) {
        let given = self.ask(worker..=worker, {
            let mut sockets = Some(sockets);
            move |_, report| Command::Accept(sockets.take().unwrap_or_default(), report)
        });
        if given.is_err() || worker >= self.workers.len() {
            tracing::error!("a worker cannot accept connections of a socket; start the gateway again");
        }
    }

    /// Has the workers accept connections, each of its own sockets.
    pub(crate) fn give_each(&self, sockets: Vec<Given>) {
        sockets.into_iter().enumerate().for_each(|(worker, sockets)| self.give(worker, sockets));
    }

    /// Dismisses all workers beyond so many. They tell their connections to end, and end with the last of these. Returns their sockets of
    /// listeners that stay, with the connections that wait in their queues.
    pub(crate) fn dismiss(&mut self, count: usize, staying: &[Identity]) -> Given {
        let given = Arc::new(Mutex::new(Given::new()));
        let _ = self.ask(count.., |_, report| Command::Leave {
            staying: staying.to_vec(),
            given: Arc::clone(&given),
            report,
        });
        self.workers.truncate(count);
        mem::take(&mut given.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks some workers, and waits until each has reported, or one has reported that it failed.
    fn ask(
        &self,
        range: impl std::slice::SliceIndex<[mpsc::Sender<Command>], Output = [mpsc::Sender<Command>]>,
        mut command: impl FnMut(usize, Report) -> Command,
    ) -> Result<(), NotStarted> {
        let mut reports = Reports::new();
        for (worker, commands) in self.workers.get(range).unwrap_or_default().iter().enumerate() {
            // The report of a worker that has ended is that.
            let _ = commands.try_send(command(worker, reports.expect_one()));
        }
        reports.wait()
    }
}
