//! Accepting connections and handing their requests to exchanges.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::config::Timeouts;
use crate::net::io::{ConnectionInfo, Stream};
use crate::net::listen::{BACKLOG, Listener};
use crate::plan::source::{ConnectionSource, Sample};
use crate::serve::seats::{Inbound, Outbound, Seat, Seats, Watched, refuse};
use crate::serve::worker::arrival::Arrival;
use crate::serve::worker::context::Context;
use crate::serve::worker::cut::Cut;
use crate::serve::worker::deadline::Deadlines;
use crate::serve::worker::deadline::guard::{Guard, StreamExec};
use crate::serve::worker::drain::Closing;
use crate::serve::worker::respond::respond;
use crate::serve::worker::tcp;

/// Accepts connections of one listener until `stop`, then lets requests in flight finish.
pub(super) async fn run(
    context: Rc<Context>,
    listener: usize,
    source: ConnectionSource,
    tls: Option<Arc<ServerConfig>>,
    stop: watch::Receiver<bool>,
) {
    let Some(seats) = context.listeners.get(listener).map(|listener| listener.seats.clone()) else { return };
    let closing = Closing::new(context.drain.clone());
    let connections = Connections { context, listener, tls, seats, closing, tasks: RefCell::default() };
    match source {
        ConnectionSource::Socket(socket, sample) => match Listener::from_std(socket) {
            Ok(socket) => connections.accept(socket, sample, stop).await,
            Err(error) => {
                return tracing::error!(%error, "cannot accept connections of a listener in this worker; start the gateway again");
            }
        },
        ConnectionSource::Handed(handed) => connections.take(handed).await,
    }
    let limit = connections.context.shutdown_timeout;
    let Connections { closing, tasks, .. } = connections;
    closing.end(tasks.into_inner(), limit).await;
}

struct Connections {
    context: Rc<Context>,
    listener: usize,
    tls: Option<Arc<ServerConfig>>,
    seats: Seats,
    /// Tells each connection to end.
    closing: Closing,
    tasks: RefCell<JoinSet<()>>,
}

impl Connections {
    async fn accept(&self, socket: Listener, sample: Option<Sample>, mut stop: watch::Receiver<bool>) {
        let relieve = || self.seats.relieve();
        let serve = async |tcp| {
            let Some(seat) = self.seats.take().await else { return self.refuse(tcp) };
            let own = match &sample {
                None => Some((tcp, seat)),
                Some(sample) => sample.offer(tcp, seat),
            };
            own.into_iter().for_each(|(tcp, seat)| self.spawn(tcp, seat));
        };
        loop {
            tokio::select! {
                (tcp, _) = socket.accept_or(relieve) => serve(tcp).await,
                _ = stop.wait_for(|stop| *stop) => break,
            }
            if self.seats.any_leaving() {
                // Those that gave way close first.
                tokio::task::yield_now().await;
            }
        }
        // Clients whose connection the kernel has taken already must not be turned away; those that come meanwhile need not be taken.
        for _ in 0..BACKLOG {
            let Ok((tcp, _)) = tokio::time::timeout(Duration::ZERO, socket.accept_or(relieve)).await else { break };
            serve(tcp).await;
        }
    }

    /// Refuses a client, with a response if it speaks plain HTTP.
    fn refuse(&self, tcp: TcpStream) {
        let speaks_http =
            self.context.listeners.get(self.listener).is_some_and(|listener| listener.tcp_proxy.is_none());
        if self.tls.is_none() && speaks_http {
            tcp.into_std().into_iter().for_each(refuse);
        }
    }

    async fn take(&self, mut handed: mpsc::Receiver<(std::net::TcpStream, Seat)>) {
        while let Some((tcp, seat)) = handed.recv().await {
            match TcpStream::from_std(tcp) {
                Ok(tcp) => self.spawn(tcp, seat),
                Err(error) => tracing::debug!(%error, "a connection cannot be handed over and was closed"),
            }
        }
    }

    fn spawn(&self, tcp: TcpStream, seat: Seat) {
        let (context, listener, tls) = (Rc::clone(&self.context), self.listener, self.tls.clone());
        let id = context.connections.get() + 1;
        context.connections.set(id);
        context.driver.with(|worker| worker.note_io());
        let ending = self.closing.of(seat.state());
        let mut tasks = self.tasks.borrow_mut();
        // Those that have ended.
        while tasks.try_join_next().is_some() {}
        let key = seat.key();
        let task = tasks.spawn_local(async move {
            // Given back when the socket has been closed.
            let seat = seat;
            let standing = Arc::clone(seat.state());
            let Some(state) = context.listeners.get(listener) else { return };
            let limits = state.timeouts;
            let stream = match tls {
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
                let line = tcp::serve(Rc::clone(&context), listener, id, stream, &client, &standing);
                ending.unless_free(line).await;
                return;
            }
            let client: Rc<ConnectionInfo> = Rc::new(client);
            let deadlines = Deadlines::new(limits);
            let guard = Guard::new(Rc::clone(&deadlines), stream);
            let io = Watched::new(TokioIo::new(guard.io()), Arc::clone(&standing));
            let shared = Rc::clone(&context);
            let service = service_fn(move |request: Request<Incoming>| {
                let flight = standing.begin();
                let request = request.map(|body| Inbound::new(body, Arc::clone(&standing)));
                let (client, deadlines) = (Rc::clone(&client), Rc::clone(&deadlines));
                let version = request.version();
                let arrival = Arrival { client, deadlines: Rc::clone(&deadlines), connection: id, listener };
                let answer = respond(Rc::clone(&shared), arrival, request);
                async move {
                    let mut response = answer.await?;
                    deadlines.announce(version, response.headers_mut());
                    Ok::<_, Cut>(response.map(|body| Outbound::new(body, flight)))
                }
            });
            let builder = builder(&guard, &limits);
            let connection = builder.serve_connection(io, service).into_owned();
            guard.serve(&context, connection, ending).await;
        });
        Seat::occupied_by(&self.seats, key, task);
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
