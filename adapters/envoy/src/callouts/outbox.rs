//! Requests on their way to the thread of Envoy's that makes them.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use portcullis::model::Headers;
use tokio::sync::oneshot;

use super::events::Events;
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
    commands: Mutex<Vec<Command>>,
    /// None when Envoy does not call back any more. Held over each use, so that none comes after [`Outbox::close`].
    scheduler: Mutex<Option<Box<dyn Scheduler>>>,
}

impl Outbox {
    pub(crate) fn new(scheduler: Option<Box<dyn Scheduler>>) -> Self {
        Self { commands: Mutex::default(), scheduler: Mutex::new(scheduler) }
    }

    /// Adds a command; returns false if nobody would carry it out.
    pub(super) fn push(&self, command: Command) -> bool {
        let scheduler = self.scheduler.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(scheduler) = &*scheduler else { return false };
        let is_first = {
            let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
            commands.push(command);
            commands.len() == 1
        };
        if is_first {
            scheduler.commit(REQUESTS);
        }
        true
    }

    /// Has Envoy call back with this number.
    pub(super) fn call(&self, event: u64) {
        if let Some(scheduler) = &*self.scheduler.lock().unwrap_or_else(PoisonError::into_inner) {
            scheduler.commit(event);
        }
    }

    /// Takes all commands.
    pub(crate) fn take(&self) -> Vec<Command> {
        std::mem::take(&mut *self.commands.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends it: commands are dropped, and with them the senders of their events.
    pub(crate) fn close(&self) {
        let scheduler = self.scheduler.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(scheduler);
        drop(self.take());
    }
}
