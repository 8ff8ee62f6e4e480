//! Messages to systemd, or to what starts the process in its place (`NOTIFY_SOCKET`); without it nothing is sent.
//!
//! | message | sent |
//! |---|---|
//! | `READY=1` | when requests are served, and after a reload |
//! | `RELOADING=1`, `MONOTONIC_USEC=` | when a reload begins |
//! | `STOPPING=1` | when the process is told to stop |
//! | `MAINPID=` | when another process has taken over |
//! | `STATUS=` | with each of these |
//! | `WATCHDOG=1` | twice in each `WATCHDOG_USEC`, while every worker answers ([`crate::serve::pulse`]) |

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use sd_notify::NotifyState;

use crate::serve::pulse::Pulse;

/// Says that requests are served, or that a reload has ended.
pub(crate) fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Says that a reload begins. Its end is [`ready`], also when it was refused.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now, NotifyState::Status("reloading")]),
        Err(error) => tracing::debug!(%error, "the monotonic clock cannot be read"),
    }
}

/// Says that the process stops.
pub(crate) fn stopping(status: &str) {
    send(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Says that another process has taken over, which speaks from now on.
pub(crate) fn main_pid(pid: u32) {
    send(&[NotifyState::MainPid(pid), NotifyState::Status("another process serves")]);
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(
            %error,
            "cannot send a message to NOTIFY_SOCKET; let the process write to that socket, or start it without the variable"
        );
    }
}

/// Shows systemd that the process lives, until this is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    _until: Option<mpsc::Sender<()>>,
}

impl Watchdog {
    /// Starts a thread if systemd asks for signs of life. It gives them while every worker answers.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn start(pulse: Pulse) -> std::io::Result<Self> {
        let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
            return Ok(Self { _until: None });
        };
        let (until, over) = mpsc::channel();
        let send = || send(&[NotifyState::Watchdog]);
        std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || watch(&pulse, limit / 2, &over, send))?;
        Ok(Self { _until: Some(until) })
    }
}

/// Gives a sign of life in each period in which all workers have answered.
fn watch(pulse: &Pulse, period: Duration, over: &mpsc::Receiver<()>, mut sign: impl FnMut()) {
    sign();
    loop {
        pulse.ask();
        if over.recv_timeout(period) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        let silent = pulse.silent();
        if silent.is_empty() {
            sign();
        } else {
            tracing::error!(
                workers = silent.join(", "),
                ?period,
                "workers do not answer, and systemd's watchdog gets no sign of life; report what they do (`gdb -p PID`), or raise \
                 WatchdogSec if it is shorter than twice the longest deadline of a plugin"
            );
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_does_not_answer_is_no_life() {
        let pulse = Pulse::default();
        let (until, over) = mpsc::channel();
        let (signs, given) = mpsc::channel();
        let watched = pulse.clone();
        let watching = std::thread::spawn(move || {
            watch(&watched, Duration::from_millis(1), &over, || signs.send(()).unwrap());
        });
        // Without workers, as while they end: there is none that does not answer.
        for _ in 0..3 {
            given.recv().unwrap();
        }
        let silent = pulse.worker("worker-0");
        // From when it has been asked.
        let asked = silent.asked();
        while silent.asked() < asked + 2 {
            std::thread::yield_now();
        }
        while given.try_recv().is_ok() {}
        let asked = silent.asked();
        while silent.asked() < asked + 3 {
            std::thread::yield_now();
        }
        assert!(given.try_recv().is_err());
        drop(silent);
        given.recv().unwrap();
        drop(until);
        watching.join().unwrap();
    }
}
