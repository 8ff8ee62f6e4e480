//! A gateway that serves, and how it is stopped.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use tokio::sync::{oneshot, watch};

use crate::error::ServeError;
use crate::observe::admin::{self, Admin, AdminSocket};
use crate::observe::{log, profile};
use crate::serve::control::{By, Control};
use crate::serve::signals::Signals;

/// A gateway that serves.
#[derive(Debug)]
pub struct Running {
    /// The addresses of its listeners, in the order of the configuration.
    pub addresses: Vec<SocketAddr>,
    /// The address that its admin interface listens at, if it does so at one.
    pub admin: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
    admin_task: Option<JoinHandle<()>>,
    profile: Option<profile::Writer>,
    control: Option<Control>,
}

impl Running {
    /// Takes over workers that serve at these addresses until `stop`.
    pub(super) fn new(
        addresses: Vec<SocketAddr>,
        stop: watch::Sender<bool>,
        workers: Vec<JoinHandle<()>>,
        profile: Option<profile::Writer>,
    ) -> Self {
        Self { addresses, admin: None, stop, workers, admin_task: None, profile, control: None }
    }

    /// Serves the admin interface on a thread of its own.
    ///
    /// # Errors
    /// The socket has no address, or no thread can be started.
    pub(super) fn serve_admin(&mut self, admin: Admin, socket: AdminSocket) -> std::io::Result<()> {
        if let AdminSocket::Tcp(socket) = &socket {
            self.admin = Some(socket.local_addr()?);
        }
        let stopped = self.stop.subscribe();
        let serve = move || admin::run(admin, socket, stopped);
        self.admin_task = Some(std::thread::Builder::new().name("admin".to_owned()).spawn(serve)?);
        Ok(())
    }

    /// Stops gracefully: no new connection is taken, requests in flight finish, plugins end.
    pub fn stop(&mut self) {
        if let Some(control) = self.control.take() {
            control.stop();
        }
        let _ = self.stop.send(true);
        for thread in self.workers.drain(..).chain(self.admin_task.take()) {
            if thread.join().is_err() {
                tracing::error!("a thread ended by a panic; report its message, which is on standard error");
            }
        }
        if let Some(profile) = self.profile.take() {
            profile.finish();
        }
    }

    /// Serves until the first signal to stop, then stops gracefully; a second signal cuts this short. SIGHUP has the configuration
    /// read again.
    ///
    /// # Errors
    /// No runtime or thread can be started to wait in; requests in flight were cut.
    pub fn until(mut self, signals: &Signals) -> Result<(), ServeError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        signals.serve();
        runtime.block_on(async {
            let mut reloads = signals.reloads();
            loop {
                tokio::select! {
                    () = signals.stop(1) => break,
                    Ok(()) = reloads.changed() => self.read_again(),
                }
            }
        });
        log::hurry();
        tracing::info!("stopping; requests in flight finish; a second signal ends the process at once");
        let (done, stopped) = oneshot::channel();
        std::thread::Builder::new().name("stop".to_owned()).spawn(move || {
            self.stop();
            done.send(())
        })?;
        runtime.block_on(async {
            tokio::select! {
                _ = stopped => Ok(()),
                () = signals.stop(2) => Err(ServeError::StoppedTwice),
            }
        })
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
        self.stop();
    }
}
