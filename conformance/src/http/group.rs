//! The processes of a host that the kit has started.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

/// The process group of a host that the kit starts. Each clone ends it.
///
/// A group of its own gets no signals of the kit's terminal, and outlives a kit that ends without a word. So the kit ends it
/// whichever way it ends itself, except by a signal that no process hears of.
#[derive(Clone, Debug, Default)]
pub struct Group(Arc<Mutex<State>>);

#[derive(Debug, Default)]
enum State {
    /// No process has been started, or it has died.
    #[default]
    Empty,
    /// The group of this process runs. Its number is nobody else's until its end has been asked for.
    Started(Pid),
    /// No process is started any more.
    Ended,
}

impl Group {
    /// Starts a command as the first of the group, in the place of one that has died.
    ///
    /// # Errors
    /// The start fails, or the group has been ended.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        // Held over the start: a host whose number is not there yet would not be ended.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Ended) {
            return Err(io::Error::other("the examination has ended"));
        }
        let child = command.process_group(0).spawn()?;
        *state = State::Started(Pid::from_child(&child));
        Ok(child)
    }

    /// Returns how the first of the group has ended, if it has, and ends the others.
    pub(super) fn status(&self, first: &mut Child) -> Option<ExitStatus> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let status = first.try_wait().ok().flatten()?;
        if matches!(*state, State::Started(_)) {
            end(&state);
            *state = State::Empty;
        }
        Some(status)
    }

    /// Kills all processes of the group, and lets no other begin.
    pub fn end(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        end(&state);
        *state = State::Ended;
    }
}

fn end(state: &State) {
    if let State::Started(first) = state {
        // It may be gone already.
        let _ = kill_process_group(*first, Signal::KILL);
    }
}
