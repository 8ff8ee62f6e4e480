//! The admin interface: `/ready`, `/metrics`, `/config`, `/sandboxes`, `/denials`.

mod hosts;
mod socket;

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;

use crate::net::listen::Listener;
use crate::observe::health::Readiness;
use crate::observe::log::{self, Dropped};
use crate::observe::metrics::Metrics;
use crate::observe::usage;
use crate::plan::host::GatewayHost;
use crate::serve::descriptors;
use crate::serve::seats::{Seat, Seats, Watched, refuse};
use hosts::{Hosts, Refused};
pub(crate) use socket::{AdminSocket, UnixSocket};

/// A client that has not sent a whole head, or is idle, for so long is disconnected.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Descriptors that are kept open for nothing but to be closed when there is none left for a connection.
const SPARE: usize = 4;

/// The answer of `/ready` while workers wait for the reader of the log.
const NO_READER: &str = "not ready\nlog: workers wait for its reader, which reads nothing (--log-when-full wait); let it read, or start \
                         the gateway with --log-when-full drop\n";

/// Time to wait when a Unix socket accepts nothing and nothing can be given up for it.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// The state that the admin interface shows.
pub(crate) struct Admin {
    pub(crate) config: serde_json::Value,
    pub(crate) metrics: Metrics,
    pub(crate) host: GatewayHost,
    pub(crate) sandboxes: serde_json::Value,
    /// Hosts whose requests it answers, besides those of loopback.
    pub(crate) hosts: Vec<String>,
}

/// Serves until `stop`, on a thread of its own, so that a busy worker does not delay it. Clients that are slow, or have taken
/// all descriptors, do not delay it either: it has connections and descriptors of its own.
pub(crate) fn run(admin: Admin, socket: AdminSocket, mut stop: watch::Receiver<bool>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return tracing::error!(%error, "cannot serve the admin interface; raise the limit of descriptors (`ulimit -n`), and start the gateway again");
        }
    };
    let (hosts, admin) = (Arc::new(Hosts::new(&admin.hosts)), Arc::new(admin));
    let remedy = "see which clients of the admin interface keep connections that they do not use";
    let seats = Seats::with_remedy("admin", descriptors::admin_connections(descriptors::limit()), remedy);
    let spare: RefCell<Vec<OwnedFd>> = RefCell::new(Vec::with_capacity(SPARE));
    runtime.block_on(async {
        let refill = || {
            let mut spare = spare.borrow_mut();
            while spare.len() < SPARE {
                let Ok(descriptor) = socket.as_fd().try_clone_to_owned() else { break };
                spare.push(descriptor);
            }
        };
        let relieve = || spare.borrow_mut().pop().is_some() || seats.relieve();
        refill();
        let listener = match Accepting::new(&socket) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "cannot serve the admin interface; raise the limit of descriptors (`ulimit -n`), and start the gateway again"),
        };
        loop {
            let connection = tokio::select! {
                connection = listener.accept_or(relieve) => connection,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            refill();
            let Some(seat) = seats.take().await else {
                connection.refuse();
                continue;
            };
            let of = Of { admin: Arc::clone(&admin), hosts: Arc::clone(&hosts), own: connection.own() };
            let key = seat.key();
            let task = match connection {
                Connection::Tcp(tcp) => tokio::spawn(serve(tcp, of, seat)),
                Connection::Unix(unix) => tokio::spawn(serve(unix, of, seat)),
            };
            Seat::occupied_by(&seats, key, task.abort_handle());
            if seats.any_leaving() {
                tokio::task::yield_now().await;
            }
        }
    });
}

/// The state that requests of a connection are answered from.
struct Of {
    admin: Arc<Admin>,
    hosts: Arc<Hosts>,
    own: Option<IpAddr>,
}

async fn serve(io: impl AsyncRead + AsyncWrite + Unpin, of: Of, seat: Seat) {
    let state = Arc::clone(seat.state());
    let service = service_fn(move |request: Request<Incoming>| {
        let response = match of.hosts.judge(request.version(), request.uri(), request.headers(), of.own) {
            Ok(()) => of.admin.answer(request.method(), request.uri().path()),
            Err(Refused { status, text }) => respond(status, "text/plain", text.to_owned()),
        };
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(Watched::new(TokioIo::new(io), state), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "admin connection ended");
    }
}

/// A socket that accepts connections.
enum Accepting {
    Tcp(Listener),
    Unix(UnixListener),
}

enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Accepting {
    fn new(socket: &AdminSocket) -> std::io::Result<Self> {
        Ok(match socket {
            AdminSocket::Tcp(socket) => Self::Tcp(Listener::from_std(socket.try_clone()?)?),
            AdminSocket::Unix(socket) => Self::Unix(UnixListener::from_std(socket.listener.try_clone()?)?),
        })
    }

    /// Waits for the next connection; never fails. `relieve` frees descriptors, and returns whether it could.
    async fn accept_or(&self, mut relieve: impl FnMut() -> bool) -> Connection {
        match self {
            Self::Tcp(listener) => Connection::Tcp(listener.accept_or(relieve).await.0),
            Self::Unix(listener) => loop {
                match listener.accept().await {
                    Ok((unix, _)) => return Connection::Unix(unix),
                    Err(error) => {
                        tracing::debug!(%error, "the admin socket cannot accept connections");
                        if relieve() {
                            tokio::task::yield_now().await;
                        } else {
                            tokio::time::sleep(EXHAUSTED_PAUSE).await;
                        }
                    }
                }
            },
        }
    }
}

impl Connection {
    /// Returns the address of this machine that the client has connected to.
    fn own(&self) -> Option<IpAddr> {
        match self {
            // A socket without an address is one that its client has left.
            Self::Tcp(tcp) => Some(tcp.local_addr().map_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), |own| own.ip())),
            Self::Unix(_) => None,
        }
    }

    fn refuse(self) {
        match self {
            Self::Tcp(tcp) => tcp.into_std().into_iter().for_each(refuse),
            Self::Unix(unix) => unix.into_std().into_iter().for_each(refuse),
        }
    }
}

impl Admin {
    /// Returns the time that workers count in.
    fn now(&self) -> Duration {
        Duration::from_nanos(self.host.clock.monotonic())
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return respond(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned());
        }
        match path {
            "/ready" => {
                // Names of a plugin's functions may be in it.
                let Readiness { is_ready, text } = match log::holds_workers_up() {
                    false => self.host.health.readiness(self.now()),
                    true => Readiness { is_ready: false, text: NO_READER.to_owned() },
                };
                let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                respond(status, "text/plain", log::escaped(&text).into_owned())
            }
            "/metrics" => {
                self.host.health.set_gauges();
                let Dropped { plugins, gateway } = log::dropped();
                for (of, lines) in [("plugin", plugins), ("gateway", gateway)] {
                    metrics::counter!("portcullis_log_lines_dropped_total", "of" => of).absolute(lines);
                }
                let text = self.metrics.render() + &usage::exposition();
                respond(StatusCode::OK, "text/plain; version=0.0.4", text)
            }
            "/config" => respond(StatusCode::OK, "application/json", format!("{:#}\n", self.config)),
            "/sandboxes" => respond(StatusCode::OK, "application/json", format!("{:#}\n", self.sandboxes)),
            "/denials" => respond(StatusCode::OK, "application/json", format!("{:#}\n", self.host.denials.to_json())),
            _ => {
                let pages = "there is /ready, /metrics, /config, /sandboxes, /denials\n";
                respond(StatusCode::NOT_FOUND, "text/plain", pages.to_owned())
            }
        }
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
