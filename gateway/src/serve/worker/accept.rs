//! Accepting connections and handing their requests to exchanges.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use crate::config::Timeouts;
use crate::net::io::{ConnectionInfo, Stream};
use crate::net::listen::Listener;
use crate::plan::source::{ConnectionSource, Sample};
use crate::serve::seats::{Inbound, Outbound, Seat, Watched, refuse};
use crate::serve::worker::arrival::Arrival;
use crate::serve::worker::cut::Cut;
use crate::serve::worker::deadline::Deadlines;
use crate::serve::worker::deadline::guard::{Guard, StreamExec};
use crate::serve::worker::listener::ListenerState;
use crate::serve::worker::post::{Leaving, Post};
use crate::serve::worker::respond::respond;
use crate::serve::worker::slot::Slot;
use crate::serve::worker::tcp;

/// Accepts the connections of one source until the post leaves, and those that the kernel has taken by then.
///
/// Returns the socket if it is given away.
pub(super) async fn run(
    post: Rc<Post>,
    source: ConnectionSource,
    leaving: watch::Receiver<Leaving>,
) -> Option<Listener> {
    match source {
        ConnectionSource::Socket(sockets, sample) => match sockets.register() {
            Ok(socket) => post.accept_from(socket, sample, leaving).await,
            Err(error) => {
                tracing::error!(%error, "cannot accept connections of a listener in this worker; start the gateway again");
                None
            }
        },
        ConnectionSource::Handed(handed) => {
            post.take(handed).await;
            None
        }
    }
}

impl Post {
    /// Accepts the connections of one socket. Returns it if it is given away.
    pub(super) async fn accept_from(
        &self,
        socket: Listener,
        sample: Option<Sample>,
        mut leaving: watch::Receiver<Leaving>,
    ) -> Option<Listener> {
        let relieve = || self.slot().state().seats.relieve();
        let serve = async |tcp| {
            let (slot, state) = self.now();
            let Some(seat) = state.seats.take().await else { return refuse_client(&state, tcp) };
            let own = match &sample {
                None => Some((tcp, seat)),
                Some(sample) => sample.offer(tcp, seat),
            };
            if let Some((tcp, seat)) = own {
                self.spawn(tcp, seat, slot);
            }
        };
        loop {
            tokio::select! {
                (tcp, _) = socket.accept_or(relieve) => serve(tcp).await,
                _ = leaving.wait_for(|leaving| *leaving != Leaving::Stays) => break,
            }
            if self.slot().state().seats.any_leaving() {
                // Those that gave way close first.
                tokio::task::yield_now().await;
            }
        }
        if *leaving.borrow() == Leaving::GivesAway {
            return Some(socket);
        }
        // Clients whose connection the kernel has taken already must not be turned away; those that come meanwhile need not be taken.
        for _ in 0..socket.backlog() {
            let Ok((tcp, _)) = tokio::time::timeout(Duration::ZERO, socket.accept_or(relieve)).await else { break };
            serve(tcp).await;
        }
        None
    }

    async fn take(&self, mut handed: mpsc::Receiver<(std::net::TcpStream, Seat)>) {
        while let Some((tcp, seat)) = handed.recv().await {
            match TcpStream::from_std(tcp) {
                Ok(tcp) => self.spawn(tcp, seat, self.slot()),
                Err(error) => tracing::debug!(%error, "a connection cannot be handed over and was closed"),
            }
        }
    }

    /// Returns the slot of a connection that is accepted now, and the listener as it is now.
    fn now(&self) -> (Rc<Slot>, Rc<ListenerState>) {
        let slot = self.slot();
        let state = slot.state();
        (slot, state)
    }

    fn spawn(&self, tcp: TcpStream, seat: Seat, slot: Rc<Slot>) {
        let context = Rc::clone(self.context());
        let id = context.connections.get() + 1;
        context.connections.set(id);
        context.driver.with(|worker| worker.note_io());
        let ending = slot.ending(seat.state());
        let mut tasks = self.connections().borrow_mut();
        // Those that have ended.
        while tasks.try_join_next().is_some() {}
        let (key, seats) = (seat.key(), seat.seats().clone());
        let task = tasks.spawn_local(async move {
            // Given back when the socket has been closed.
            let seat = seat;
            let standing = Arc::clone(seat.state());
            let state = slot.state();
            let limits = state.timeouts;
            let stream = match state.tls.clone() {
                None => Stream::Plain(tcp),
                Some(tls) => {
                    let handshake = Stream::accept_tls(tcp, tls, limits.handshake);
                    match ending.unless_free(handshake).await {
                        Some(Ok(stream)) => {
                            context.driver.with(|worker| worker.note_io());
                            stream
                        }
                        Some(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
                        None => return,
                    }
                }
            };
            let Ok(client) = stream.info() else { return };
            if state.tcp_proxy.is_some() {
                drop(state);
                let line = tcp::serve(Rc::clone(&context), &slot, id, stream, &client, &standing);
                ending.unless_free(line).await;
                return;
            }
            // It may be idle for long: only its requests belong to a generation.
            drop(state);
            let client: Rc<ConnectionInfo> = Rc::new(client);
            let deadlines = Deadlines::new(limits);
            let _listed = context.list(&deadlines);
            let guard = Guard::new(Rc::clone(&deadlines), stream);
            let io = Watched::new(TokioIo::new(guard.io()), Arc::clone(&standing));
            let shared = Rc::clone(&context);
            let service = service_fn(move |request: Request<Incoming>| {
                let flight = standing.begin();
                let request = request.map(|body| Inbound::new(body, Arc::clone(&standing)));
                let (client, deadlines) = (Rc::clone(&client), Rc::clone(&deadlines));
                let version = request.version();
                let (context, slot) = (Rc::clone(&shared), Rc::clone(&slot));
                async move {
                    let arrival =
                        Arrival { client, deadlines: Rc::clone(&deadlines), connection: id, listener: slot.stay() };
                    let mut response = respond(context, arrival, request).await?;
                    deadlines.announce(version, response.headers_mut());
                    Ok::<_, Cut>(response.map(|body| Outbound::new(body, flight)))
                }
            });
            let builder = builder(&guard, &limits);
            let connection = builder.serve_connection(io, service).into_owned();
            guard.serve(&context, connection, ending).await;
        });
        Seat::occupied_by(&seats, key, task);
    }
}

/// Refuses a client, with a response if it speaks plain HTTP.
fn refuse_client(listener: &ListenerState, tcp: TcpStream) {
    if listener.tls.is_none() && listener.tcp_proxy.is_none() {
        tcp.into_std().into_iter().for_each(refuse);
    }
}

fn builder(guard: &Guard, limits: &Timeouts) -> auto::Builder<StreamExec> {
    let mut builder = auto::Builder::new(guard.exec());
    // The guard has the limits.
    builder.http1().header_read_timeout(None);
    let interval = Some(limits.keepalive.interval).filter(|interval| !interval.is_zero());
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).max_concurrent_streams(256);
    http2.keep_alive_interval(interval).keep_alive_timeout(limits.keepalive.timeout);
    builder
}
