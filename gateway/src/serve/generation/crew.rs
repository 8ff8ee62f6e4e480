//! The workers of a gateway as who reloads sees them.

use tokio::sync::mpsc;

use crate::net::sockets::WorkerSockets;
use crate::plan::planned::Plan;
use crate::serve::generation::Cancel;
use crate::serve::starts::{NotStarted, Report, Reports};
use crate::serve::worker::{Command, Prepare};

/// All workers that serve, in the order of their numbers.
#[derive(Debug, Default)]
pub(crate) struct Crew(Vec<mpsc::Sender<Command>>);

/// The sockets of new listeners in one worker, each with the index of its listener.
pub(crate) type Sockets = Vec<(usize, WorkerSockets)>;

/// The most commands that wait for a worker: what is prepared, and that it be given up.
pub(crate) const WAITING: usize = 4;

impl Crew {
    /// Adds a worker that takes commands from the other end of a channel.
    pub(crate) fn add(&mut self, commands: mpsc::Sender<Command>) {
        self.0.push(commands);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Starts the plugins of a plan in all workers, beside those that serve. `sockets` has those of new listeners for each worker.
    /// When one fails, nothing is left of it in any.
    ///
    /// # Errors
    /// The first reason that a worker reports.
    pub(crate) fn prepare(
        &self,
        plan: impl Fn(usize) -> Plan,
        sockets: Vec<Sockets>,
        cancel: &Cancel,
    ) -> Result<(), NotStarted> {
        let mut sockets = sockets.into_iter();
        let prepared = self.ask(|worker, report| {
            let sockets = sockets.next().unwrap_or_default();
            Command::Prepare(Box::new(Prepare { plan: plan(worker), sockets, cancel: cancel.clone(), report }))
        });
        if prepared.is_err() {
            // Those that are still at it need not finish.
            cancel.cancel();
            self.give_up();
        }
        prepared
    }

    /// Has all workers end what was prepared.
    pub(crate) fn give_up(&self) {
        // A worker that has ended has ended that as well.
        let _ = self.ask(|_, report| Command::GiveUp(report));
    }

    /// Has all workers change over to what was prepared.
    ///
    /// # Errors
    /// A worker has ended.
    pub(crate) fn change_over(&self) -> Result<(), NotStarted> {
        self.ask(|_, report| Command::ChangeOver(report))
    }

    /// Asks all workers, and waits until each has reported, or one has reported that it failed.
    fn ask(&self, mut command: impl FnMut(usize, Report) -> Command) -> Result<(), NotStarted> {
        let mut reports = Reports::new();
        for (worker, commands) in self.0.iter().enumerate() {
            // The report of a worker that has ended is that.
            let _ = commands.try_send(command(worker, reports.expect_one()));
        }
        reports.wait()
    }
}
