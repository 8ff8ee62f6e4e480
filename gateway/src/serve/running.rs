//! A gateway that serves, and how it is stopped.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};

use crate::config::Config;
use crate::error::ServeError;
use crate::observe::admin::{self, Admin, AdminSocket};
use crate::observe::{log, profile};
use crate::serve::control::{By, Control, HeldTurn, Source};
use crate::serve::drain::{Drain, Patience};
use crate::serve::generation::crew::Threads;
use crate::serve::generation::{Cancel, Reload, Reloaded, Reloader};
use crate::serve::openings::Later;
use crate::serve::pulse::Pulse;
use crate::serve::signals::Signals;
use crate::serve::systemd::{self, Watchdog};
use crate::serve::upgrade::{self, Asked, Attempt, Successor, Upgrade};

/// A gateway that serves.
#[derive(Debug)]
pub struct Running {
    /// The addresses of its listeners, in the order of the configuration.
    pub addresses: Vec<SocketAddr>,
    /// The address that its admin interface listens at, if it does so at one.
    pub admin: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    drain: Drain,
    workers: Threads,
    /// Ends the admin interface, which says that the process drains until workers have ended.
    admin_stop: watch::Sender<bool>,
    admin_task: Option<JoinHandle<()>>,
    profile: Option<profile::Writer>,
    control: Option<Control>,
    reloader: Reloader,
    replacing: Option<Replacing>,
    /// Reloads are refused since another process serves.
    replaced: Option<HeldTurn>,
    pulse: Pulse,
}

/// Processes that take over from others.
#[derive(Debug)]
pub(super) struct Replacing {
    /// How this process is replaced.
    pub(super) upgrade: Upgrade,
    /// Requests for it.
    pub(super) asked: mpsc::Receiver<Asked>,
    /// The process that this one replaces.
    pub(super) predecessor: Option<Predecessor>,
}

/// A process that serves until this one does.
#[derive(Debug)]
pub(super) struct Predecessor {
    pub(super) channel: UnixStream,
    /// The sockets on which it accepts connections until then.
    pub(super) sockets: Later,
    /// Keeps reloads away until then, which could change the workers that the sockets are for.
    pub(super) turn: Option<HeldTurn>,
}

/// A new process that is starting, who asked for it, and what keeps reloads away meanwhile.
type Trying = Option<(Attempt, Option<Asked>, Option<HeldTurn>)>;

impl Running {
    /// Takes over workers that serve at these addresses until `stop`, and that end as `drain` says.
    pub(super) fn new(
        addresses: Vec<SocketAddr>,
        stop: watch::Sender<bool>,
        drain: Drain,
        pulse: Pulse,
        workers: Threads,
        profile: Option<profile::Writer>,
        reloader: Reloader,
    ) -> Self {
        let admin_stop = watch::Sender::new(false);
        Self {
            addresses,
            admin: None,
            stop,
            drain,
            workers,
            admin_stop,
            admin_task: None,
            profile,
            control: None,
            replacing: None,
            replaced: None,
            pulse,
            reloader,
        }
    }

    /// Serves the admin interface on a thread of its own.
    ///
    /// # Errors
    /// The socket has no address, or no thread can be started.
    pub(super) fn serve_admin(&mut self, admin: Admin, socket: AdminSocket) -> std::io::Result<()> {
        if let AdminSocket::Tcp(socket) = &socket {
            self.admin = Some(socket.local_addr()?);
        }
        let stopped = self.admin_stop.subscribe();
        let serve = move || admin::run(admin, socket, stopped);
        self.admin_task = Some(std::thread::Builder::new().name("admin".to_owned()).spawn(serve)?);
        Ok(())
    }

    /// Says how this process replaces and is replaced.
    pub(super) fn replace(&mut self, replacing: Replacing) {
        self.replacing = Some(replacing);
    }

    /// Serves another configuration from now on: plugins whose sandbox and configuration are the same keep their VMs, what is new is
    /// started first, and requests in flight end as they began. Blocks until all workers have changed over, or nothing has changed;
    /// [`Self::reloader`] does the same on another thread.
    ///
    /// ```
    /// use portcullis_gateway::config::Config;
    /// use portcullis_gateway::serve::server::Gateway;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let text = |status: u16| format!("
    /// workers: 1
    /// listeners:
    /// - address: 127.0.0.1:0
    ///   routes: [{{direct_response: {{status: {status}}}}}]
    /// ");
    /// let mut running = Gateway::prepare(Config::parse("gateway.yaml", &text(200))?)?.serve()?;
    /// let reloaded = running.reload(Config::parse("gateway.yaml", &text(204))?)?;
    /// assert_eq!(reloaded.generation, 2);
    /// running.stop();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The configuration cannot be served, as at the start: a fault in it, a plugin that does not start, a port in use. Or it changes
    /// what lasts as long as the process: `admin`, `stats_config`. The gateway serves as before, and nothing is left of what was begun.
    pub fn reload(&self, config: Config) -> Result<Reloaded, ServeError> {
        self.reloader.reload(config, &Cancel::default())
    }

    /// Returns what reloads this gateway from other threads.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Has a file read again by those who ask for it.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn reload_from(&mut self, source: Source, watches: bool) -> std::io::Result<Control> {
        let control = Control::start(self.reloader(), source, watches)?;
        self.control = Some(control.clone());
        Ok(control)
    }

    /// Stops gracefully: no new connection is taken, requests in flight finish, plugins end. `drain_delay` is left out.
    ///
    /// HTTP/1 connections without a request are kept for a tenth of `shutdown_timeout`, from 1 s to 5 s, and while others have requests;
    /// where the gateway is dropped instead, not at all.
    pub fn stop(&mut self) {
        if let Some(control) = self.control.take() {
            control.stop();
        }
        self.drain.tell();
        let _ = self.stop.send(true);
        self.workers.drain().into_iter().for_each(joined);
        let _ = self.admin_stop.send(true);
        self.admin_task.take().into_iter().for_each(joined);
        if let Some(profile) = self.profile.take() {
            profile.finish();
        }
    }

    /// Serves until the first signal to stop, and for `drain_delay`, then stops gracefully. A second signal ends the delay, and each
    /// after the delay cuts the stop short. SIGHUP has the configuration read again, SIGUSR2 has another process take over. systemd is
    /// told of all of this.
    ///
    /// # Errors
    /// No runtime or thread can be started to wait in; requests in flight were cut.
    pub fn until(mut self, signals: &Signals) -> Result<(), ServeError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        signals.serve();
        let watchdog = Watchdog::start(self.pulse.clone())?;
        if let Some(predecessor) = self.replacing.as_mut().and_then(|replacing| replacing.predecessor.take()) {
            // Whatever keeps this process from serving has been tried: a connection that it accepts is not cut.
            upgrade::say_ready(&predecessor.channel);
            self.reloader.open(predecessor.sockets);
            drop(predecessor.turn);
        }
        systemd::ready(&format!("serving {} listener(s)", self.addresses.len()));
        let drain = self.drain.clone();
        let successor = runtime.block_on(self.replaced(signals));
        let is_replaced = successor.is_some();
        let _watchdog = match successor {
            Some((successor, asked)) => {
                // From here on the other process says whether the service lives.
                drop(watchdog);
                self.leave_to(successor, asked);
                None
            }
            None => {
                systemd::stopping("requests in flight finish");
                Some(watchdog)
            }
        };
        let signals_before = if is_replaced { 0 } else { runtime.block_on(delay(&drain, signals)) };
        log::hurry();
        let (which, cut) = match signals_before {
            0 => ("the second", 2),
            before => ("another", before + 1),
        };
        tracing::info!("stopping; requests in flight finish; {which} signal ends the process at once");
        let (done, stopped) = oneshot::channel();
        std::thread::Builder::new().name("stop".to_owned()).spawn(move || {
            self.stop();
            done.send(())
        })?;
        let hurried = async {
            if is_replaced {
                signals.stop(1).await;
                drain.set_patience(Patience::None);
            }
            std::future::pending::<()>().await;
        };
        runtime.block_on(async {
            tokio::select! {
                _ = stopped => Ok(()),
                () = hurried => Ok(()),
                () = signals.stop(cut) => Err(ServeError::StoppedTwice),
            }
        })
    }
}

impl Running {
    /// Waits for the first signal to stop, or until another process serves.
    async fn replaced(&mut self, signals: &Signals) -> Option<(Successor, Option<Asked>)> {
        let (mut reloads, mut upgrades) = (signals.reloads(), signals.upgrades());
        let mut trying: Trying = None;
        loop {
            tokio::select! {
                () = signals.stop(1) => {
                    if let Some((attempt, ..)) = trying {
                        attempt.cancel();
                    }
                    return None;
                }
                Ok(()) = reloads.changed() => self.read_again(),
                Ok(()) = upgrades.changed() => self.try_another(&mut trying, None),
                Some(asked) = next(&mut self.replacing) => self.try_another(&mut trying, Some(asked)),
                result = ended(&mut trying) => {
                    let (asked, turn) = trying.take().map_or((None, None), |(_, asked, turn)| (asked, turn));
                    match result {
                        Ok(successor) => {
                            self.replaced = turn;
                            return Some((successor, asked));
                        }
                        Err(reason) => {
                            drop(turn);
                            refuse(reason, asked);
                        }
                    }
                }
            }
        }
    }

    /// Starts another process, unless one is starting or a reload runs.
    fn try_another(&self, trying: &mut Trying, asked: Option<Asked>) {
        let begun = match (&trying, &self.replacing) {
            (Some(_), _) => Err("another process is starting already; wait for it".to_owned()),
            (None, Some(replacing)) => self.begin(&replacing.upgrade),
            (None, None) => Err("this process cannot be replaced; stop it and start another".to_owned()),
        };
        match begun {
            Ok((attempt, turn)) => *trying = Some((attempt, asked, turn)),
            Err(reason) => refuse(reason, asked),
        }
    }

    /// Starts another process with the sockets that there are, which no reload changes until it serves or fails.
    fn begin(&self, upgrade: &Upgrade) -> Result<(Attempt, Option<HeldTurn>), String> {
        let turn = self.control.as_ref().map(Control::refuse_reloads).transpose()?;
        Ok((upgrade.begin()?, turn))
    }

    /// Leaves what this process had to another one.
    fn leave_to(&mut self, successor: Successor, asked: Option<Asked>) {
        let pid = successor.pid();
        if let Some(replacing) = &self.replacing {
            replacing.upgrade.leave_admin();
        }
        systemd::main_pid(pid);
        tracing::info!(pid, "another process serves; this one drains");
        if let Some(asked) = asked {
            let _ = asked.send(Ok(pid));
        }
        successor.take_over();
        self.drain.set_patience(Patience::Long);
        self.drain.tell();
        let _ = self.admin_stop.send(true);
    }
}

/// Drains for `drain_delay`, which another signal ends. Returns the number of signals by then.
async fn delay(drain: &Drain, signals: &Signals) -> u32 {
    drain.begin("a signal");
    tokio::select! {
        biased;
        () = drain.delay() => 1,
        () = signals.stop(2) => {
            tracing::info!("a second signal ends drain_delay");
            drain.tell();
            2
        }
    }
}

async fn next(replacing: &mut Option<Replacing>) -> Option<Asked> {
    replacing.as_mut()?.asked.recv().await
}

async fn ended(trying: &mut Trying) -> Result<Successor, String> {
    match trying {
        Some((attempt, ..)) => {
            let result = (&mut attempt.result).await;
            result.unwrap_or_else(|_| Err("the thread that waits for it has ended".to_owned()))
        }
        None => std::future::pending().await,
    }
}

fn refuse(reason: String, asked: Option<Asked>) {
    tracing::error!(reason, "no other process takes over, and this one serves on");
    if let Some(asked) = asked {
        let _ = asked.send(Err(reason));
    }
}

impl Running {
    /// Reads the configuration again, as SIGHUP asks.
    fn read_again(&self) {
        match &self.control {
            Some(control) => control.ask(By::Signal),
            None => tracing::warn!(
                "SIGHUP does nothing: there is no file to read again; start the gateway with a file, by `portcullis serve FILE`"
            ),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.drain.set_patience(Patience::None);
        self.stop();
    }
}

fn joined(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread ended by a panic; report its message, which is on standard error");
    }
}
