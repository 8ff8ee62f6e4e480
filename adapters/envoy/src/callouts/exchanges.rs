//! Requests that Envoy makes, on the thread on which it makes them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::events::{Event, Events};
use super::outbox::{Command, Key};
use crate::envoy::{NotStarted, Requests};

/// The most requests under way where none can be given up: a plugin may leave them as fast as it makes them.
const MOST_LASTING: usize = 64;

/// The requests in flight of a configuration or a connection.
#[derive(Debug, Default)]
pub(crate) struct Exchanges(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    running: HashMap<u64, (Key, Events)>,
    ids: HashMap<Key, u64>,
    /// The one that Envoy is beginning: it may tell its end before it has told its number.
    starting: Option<(Key, Events)>,
}

impl Exchanges {
    /// Carries out commands. Nothing is locked while Envoy is called, which calls [`Exchanges::event`] meanwhile.
    pub(crate) fn carry_out(&self, envoy: &mut (impl Requests + ?Sized), commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Start { key, cluster, headers, body, end, events } => {
                    // Nobody waits for it any more.
                    if events.is_closed() {
                        continue;
                    }
                    if !envoy.can_reset() && self.state().running.len() >= MOST_LASTING {
                        let _ = events.send(Event::NotStarted(NotStarted::FULL));
                        continue;
                    }
                    self.state().starting = Some((key, events));
                    let started = envoy.start(&cluster, &headers, &body, end);
                    let mut state = self.state();
                    let Some((key, events)) = state.starting.take() else { continue };
                    match started {
                        Ok(id) => {
                            state.ids.insert(key, id);
                            state.running.insert(id, (key, events));
                        }
                        Err(why) => drop(events.send(Event::NotStarted(why))),
                    }
                }
                Command::Data { key, data, end, taken } => {
                    if let Some(id) = self.id(key)
                        && envoy.send(id, &data, end)
                    {
                        let _ = taken.send(());
                    }
                }
                Command::Trailers { key, trailers } => {
                    if let Some(id) = self.id(key) {
                        envoy.send_trailers(id, &trailers);
                    }
                }
                Command::Reset { key } => {
                    // One that lasts is counted until its end.
                    if envoy.can_reset()
                        && let Some(id) = self.id(key)
                    {
                        self.state().forget(id);
                        envoy.reset(id);
                    }
                }
            }
        }
    }

    /// Passes an event on. A request whose answer nobody wants, or does not fit, is given up.
    pub(crate) fn event(&self, envoy: &mut (impl Requests + ?Sized), id: u64, event: Event) {
        let is_end = matches!(event, Event::Complete | Event::Reset(_));
        let mut state = self.state();
        let events = match state.running.get(&id) {
            Some((_, events)) => events.clone(),
            None => match &state.starting {
                Some((_, events)) => events.clone(),
                None => return,
            },
        };
        if is_end {
            state.forget(id);
        }
        drop(state);
        if !events.send(event) && !is_end && envoy.can_reset() {
            let was_running = self.state().forget(id);
            if was_running {
                envoy.reset(id);
            }
        }
    }

    fn id(&self, key: Key) -> Option<u64> {
        self.state().ids.get(&key).copied()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets a request; returns whether it ran. One that is being begun is over, too.
    fn forget(&mut self, id: u64) -> bool {
        match self.running.remove(&id) {
            Some((key, _)) => self.ids.remove(&key).is_some(),
            None => {
                self.starting = None;
                false
            }
        }
    }
}
