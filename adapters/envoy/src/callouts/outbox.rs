//! Requests on their way to the thread of Envoy's that makes them.

use std::sync::{Mutex, MutexGuard, PoisonError};

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

impl Command {
    /// Returns the request, and whether this begins it.
    fn about(&self) -> (Key, bool) {
        match self {
            Self::Start { key, .. } => (*key, true),
            Self::Data { key, .. } | Self::Trailers { key, .. } | Self::Reset { key } => (*key, false),
        }
    }
}

/// Commands for one of Envoy's threads, from any thread.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// None when nobody carries them out any more.
    queue: Mutex<Option<Queue>>,
    call: Call,
}

#[derive(Debug, Default)]
struct Queue {
    commands: Vec<Command>,
    /// Envoy was asked to call, and has not taken the commands since.
    is_called: bool,
}

impl Outbox {
    pub(crate) fn new(scheduler: Option<Box<dyn Scheduler>>) -> Self {
        let queue = Mutex::new(scheduler.is_some().then(Queue::default));
        Self { queue, call: Call::new(scheduler) }
    }

    /// Adds a command; returns false if nobody would carry it out. Giving up a request that is not begun takes it and its body back: while
    /// Envoy's thread is busy, only requests that somebody waits for stay here.
    pub(super) fn push(&self, command: Command) -> bool {
        let (calls, dropped) = {
            let mut queue = self.queue();
            let Some(queue) = &mut *queue else { return false };
            let dropped = queue.push(command);
            (!queue.commands.is_empty() && !std::mem::replace(&mut queue.is_called, true), dropped)
        };
        // Whoever waits for them is told without the lock.
        drop(dropped);
        if calls {
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
        self.queue().as_mut().map(std::mem::take).unwrap_or_default().commands
    }

    /// Ends it: commands are dropped, and with them the senders of their events.
    pub(crate) fn close(&self) {
        let queue = self.queue().take();
        self.call.close();
        drop(queue);
    }

    fn queue(&self) -> MutexGuard<'_, Option<Queue>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Adds a command; returns those that it makes needless.
    fn push(&mut self, command: Command) -> Vec<Command> {
        let Command::Reset { key } = command else {
            self.commands.push(command);
            return Vec::new();
        };
        let dropped: Vec<_> = self.commands.extract_if(.., |queued| queued.about().0 == key).collect();
        if !dropped.iter().any(|dropped| dropped.about().1) {
            self.commands.push(command);
        }
        dropped
    }
}
