//! Requests on their way to the thread of Envoy's that makes them.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use portcullis::model::Headers;
use tokio::sync::oneshot;

use super::events::Events;
use crate::call::Call;
use crate::envoy::Scheduler;

/// The number of the scheduler's event that says that an outbox has commands.
pub(crate) const REQUESTS: u64 = 1;

/// The name of a request, which no other one of the process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(pub(super) u64);

/// Something to do with a request.
#[derive(Debug)]
pub(crate) enum Command {
    Start {
        key: Key,
        cluster: String,
        headers: Headers,
        body: Bytes,
        end: bool,
        events: Events,
    },
    /// Dropping `taken` without an answer says that there is no such request any more.
    Data {
        key: Key,
        data: Bytes,
        end: bool,
        taken: oneshot::Sender<()>,
    },
    Trailers {
        key: Key,
        trailers: Headers,
    },
    Reset {
        key: Key,
    },
}

/// Commands for one of Envoy's threads, from any thread.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// None when nobody carries them out any more.
    commands: Mutex<Option<Vec<Command>>>,
    call: Call,
}

impl Outbox {
    pub(crate) fn new(scheduler: Option<Box<dyn Scheduler>>) -> Self {
        let commands = Mutex::new(scheduler.is_some().then(Vec::new));
        Self { commands, call: Call::new(scheduler) }
    }

    /// Adds a command; returns false if nobody would carry it out.
    pub(super) fn push(&self, command: Command) -> bool {
        let is_first = {
            let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(commands) = &mut *commands else { return false };
            commands.push(command);
            commands.len() == 1
        };
        if is_first {
            self.call.call(REQUESTS);
        }
        true
    }

    /// Has Envoy call back with this number.
    pub(super) fn call(&self, event: u64) {
        self.call.call(event);
    }

    /// Takes all commands.
    pub(crate) fn take(&self) -> Vec<Command> {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        commands.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Ends it: commands are dropped, and with them the senders of their events.
    pub(crate) fn close(&self) {
        let commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.call.close();
        drop(commands);
    }
}
