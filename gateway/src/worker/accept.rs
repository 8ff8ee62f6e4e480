//! Accepting connections and handing their requests to exchanges.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::config::Timeouts;
use crate::net::io::{Facts, Stream};
use crate::net::listen::Listener;
use crate::record::Sample;
use crate::worker::deadline::Deadlines;
use crate::worker::deadline::guard::{Guard, StreamExec};
use crate::worker::exchange::{Arrival, Exchange};
use crate::worker::tcp;
use crate::worker::{Context, Door};

/// Takes connections of one listener until told to stop, then lets what is in flight finish.
pub(super) async fn run(
    context: Rc<Context>,
    listener: usize,
    door: Door,
    tls: Option<Arc<ServerConfig>>,
    stop: watch::Receiver<bool>,
) {
    let closing = watch::Sender::new(false);
    let connections = Connections { context, listener, tls, closing, tasks: RefCell::default() };
    match door {
        Door::Socket(socket, sample) => match Listener::from_std(socket) {
            Ok(socket) => connections.accept(socket, sample, stop).await,
            Err(error) => return tracing::error!(%error, "cannot use a listening socket"),
        },
        Door::Handed(handed) => connections.take(handed).await,
    }
    let limit = connections.context.shutdown_timeout;
    let Connections { closing, tasks, .. } = connections;
    let mut tasks = tasks.into_inner();
    closing.send_replace(true);
    let done = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(limit, done).await.is_err() {
        tracing::warn!(?limit, "connections did not finish in time");
    }
}

struct Connections {
    context: Rc<Context>,
    listener: usize,
    tls: Option<Arc<ServerConfig>>,
    /// Tells each connection to end.
    closing: watch::Sender<bool>,
    tasks: RefCell<JoinSet<()>>,
}

impl Connections {
    async fn accept(&self, socket: Listener, sample: Option<Sample>, mut stop: watch::Receiver<bool>) {
        let serve = |tcp| {
            let own = match &sample {
                None => Some(tcp),
                Some(sample) => sample.offer(tcp),
            };
            own.into_iter().for_each(|tcp| self.spawn(tcp));
        };
        loop {
            tokio::select! {
                (tcp, _) = socket.accept() => serve(tcp),
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        // Clients whose connection the kernel has taken already must not be turned away.
        while let Ok((tcp, _)) = tokio::time::timeout(Duration::ZERO, socket.accept()).await {
            serve(tcp);
        }
    }

    async fn take(&self, mut handed: mpsc::Receiver<std::net::TcpStream>) {
        while let Some(tcp) = handed.recv().await {
            match TcpStream::from_std(tcp) {
                Ok(tcp) => self.spawn(tcp),
                Err(error) => tracing::debug!(%error, "a connection is lost"),
            }
        }
    }

    fn spawn(&self, tcp: TcpStream) {
        let (context, listener, tls) = (Rc::clone(&self.context), self.listener, self.tls.clone());
        let id = context.connections.get() + 1;
        context.connections.set(id);
        let closing = self.closing.subscribe();
        let mut tasks = self.tasks.borrow_mut();
        // Those that have ended.
        while tasks.try_join_next().is_some() {}
        tasks.spawn_local(async move {
            let Some(state) = context.listeners.get(listener) else { return };
            let limits = state.timeouts;
            let stream = match tls {
                None => Stream::Plain(tcp),
                Some(tls) => match Stream::accept_tls(tcp, tls, limits.handshake).await {
                    Ok(stream) => stream,
                    Err(error) => return tracing::debug!(%error, "TLS handshake failed"),
                },
            };
            let Ok(facts) = stream.facts() else { return };
            if state.tcp_proxy.is_some() {
                return tcp::serve(Rc::clone(&context), listener, id, stream, &facts).await;
            }
            let facts: Rc<Facts> = Rc::new(facts);
            let deadlines = Deadlines::new(limits);
            let guard = Guard::new(Rc::clone(&deadlines), stream);
            let shared = Rc::clone(&context);
            let service = service_fn(move |request| {
                let (facts, deadlines) = (Rc::clone(&facts), Rc::clone(&deadlines));
                let arrival = Arrival { facts, deadlines, connection: id, listener };
                Exchange::start(Rc::clone(&shared), arrival, request)
            });
            let builder = builder(&guard, &limits);
            let connection = builder.serve_connection(TokioIo::new(guard.io()), service).into_owned();
            guard.serve(&context, connection, closing).await;
        });
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
