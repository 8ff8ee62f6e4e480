//! A listener of a worker over all generations: its sockets, its connections, and what these meet.
//!
//! | a post | its sockets | its connections |
//! |---|---|---|
//! | serves | accept | each request meets the listener of the current generation |
//! | serves another kind of clients from now on | accept | those from before are told to close, and meet the listener from before |
//! | leaves: no listener of the configuration is it any more | accept what waits in their queues, and close | are told to close |
//! | leaves: there are to be fewer workers | are given to another worker, with what waits in their queues | are told to close |
//! | leaves: the worker stops | the same | are told to close, and end within `shutdown_timeout` |

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::net::listen::Listener;
use crate::net::sockets::WorkerSockets;
use crate::plan::source::ConnectionSource;
use crate::serve::worker::accept;
use crate::serve::worker::context::Context;
use crate::serve::worker::listener::ListenerState;
use crate::serve::worker::slot::Slot;

/// A listener of a worker.
pub(super) struct Post {
    context: Rc<Context>,
    slot: RefCell<Rc<Slot>>,
    leaving: watch::Sender<Leaving>,
    /// Tasks that accept, which return their sockets if these are given away.
    accepting: RefCell<JoinSet<Option<Listener>>>,
    /// Takes what is given away.
    taker: Cell<Option<oneshot::Sender<Vec<WorkerSockets>>>>,
    connections: RefCell<JoinSet<()>>,
}

/// How a post leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Not at all.
    Stays,
    /// With its sockets: it accepts what waits in their queues.
    Closes,
    /// Without them: another worker has them, and their queues, from now on.
    GivesAway,
}

impl Post {
    /// Makes the post of a listener. It has no sockets yet.
    pub(super) fn new(context: Rc<Context>, state: Rc<ListenerState>) -> Rc<Self> {
        let slot = Slot::new(state, &context);
        Rc::new(Self {
            context,
            slot: RefCell::new(slot),
            leaving: watch::Sender::new(Leaving::Stays),
            accepting: RefCell::default(),
            taker: Cell::default(),
            connections: RefCell::default(),
        })
    }

    /// Accepts the connections of a source until the post leaves.
    pub(super) fn accept(self: &Rc<Self>, source: ConnectionSource) {
        let run = accept::run(Rc::clone(self), source, self.leaving.subscribe());
        self.accepting.borrow_mut().spawn_local(run);
    }

    /// Accepts the connections of a socket that is registered with the worker's runtime, until the post leaves.
    pub(super) fn accept_registered(self: &Rc<Self>, socket: Listener) {
        let (post, leaving) = (Rc::clone(self), self.leaving.subscribe());
        self.accepting.borrow_mut().spawn_local(async move { post.accept_from(socket, None, leaving).await });
    }

    pub(super) fn context(&self) -> &Rc<Context> {
        &self.context
    }

    /// Returns the slot of connections that are accepted now.
    pub(super) fn slot(&self) -> Rc<Slot> {
        Rc::clone(&self.slot.borrow())
    }

    /// Returns the tasks of its connections.
    pub(super) fn connections(&self) -> &RefCell<JoinSet<()>> {
        &self.connections
    }

    /// Serves the listener of another generation from the next request on.
    pub(super) fn renew(&self, state: Rc<ListenerState>) {
        let slot = self.slot();
        if state.takes_over(&slot.state()) {
            slot.renew(state);
        } else {
            self.slot.replace(Slot::new(state, &self.context));
            slot.closing().begin(self.context.shutdown_timeout());
        }
    }

    /// Has it leave: it accepts what its sockets have taken already, and its connections are told to close.
    pub(super) fn leave(&self) {
        self.leaving.send_replace(Leaving::Closes);
    }

    /// Has it leave without its sockets, at once; what is returned waits for these.
    pub(super) fn give_away(&self) -> impl Future<Output = Vec<WorkerSockets>> + use<> {
        let (taker, taken) = oneshot::channel();
        self.taker.set(Some(taker));
        self.leaving.send_replace(Leaving::GivesAway);
        async move { taken.await.unwrap_or_default() }
    }

    /// Serves until it leaves, and then the connections to their end; when the worker stops, for `shutdown_timeout` at most.
    pub(super) async fn run(self: Rc<Self>, mut stop: watch::Receiver<bool>) {
        let mut leaving = self.leaving.subscribe();
        let _ = leaving.wait_for(|leaving| *leaving != Leaving::Stays).await;
        let mut accepting = self.accepting.take();
        let mut sockets = Vec::new();
        while let Some(ended) = accepting.join_next().await {
            match ended {
                Ok(socket) => sockets.extend(socket),
                Err(error) => {
                    tracing::error!(%error, "a listener ended in this worker; start the gateway again, and report the panic above");
                }
            }
        }
        if let Some(taker) = self.taker.take() {
            let _ = taker.send(sockets.into_iter().filter_map(given_away).collect());
        }
        let limit = self.context.shutdown_timeout();
        let over = async {
            let _ = stop.wait_for(|stop| *stop).await;
            tokio::time::sleep(limit).await;
        };
        self.slot().closing().end(self.connections.take(), limit, over).await;
    }
}

/// Takes a socket away from this worker.
fn given_away(socket: Listener) -> Option<WorkerSockets> {
    let address = socket.local_addr();
    let failed = |error| {
        tracing::error!(%address, %error, "a socket cannot be given to another worker; connections that wait there are reset");
    };
    socket.into_sockets().map_err(failed).ok()
}
