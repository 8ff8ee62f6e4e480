//! The admin interface.
//!
//! | module | what it holds |
//! |---|---|
//! | `pages` | the paths, and what answers them |
//! | `hosts` | names that the interface answers to |
//! | `writes` | who may change something |
//! | `shown` | what follows the configuration that runs |
//! | `socket` | the address or Unix socket |

mod hosts;
mod pages;
mod shown;
mod socket;
mod writes;

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::net::listen::Listener;
use crate::observe::metrics::Metrics;
use crate::plan::host::GatewayHost;
use crate::serve::control::Control;
use crate::serve::descriptors;
use crate::serve::drain::Drain;
use crate::serve::seats::{Seat, Seats, Watched, refuse};
use crate::serve::upgrade::Upgrades;
use hosts::Refused;
pub(crate) use pages::PAGES;
use pages::{Answer, Handler, Page};
pub(crate) use shown::{Showing, Shown};
pub(crate) use socket::{AdminSocket, UnixSocket};
use writes::Way;

/// A client that has not sent a whole head, or is idle, for so long is disconnected.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum time for answers that have begun when the interface ends.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Descriptors that are kept open for nothing but to be closed when there is none left for a connection.
const SPARE: usize = 4;

/// Time to wait when a Unix socket accepts nothing and nothing can be given up for it.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// The state that the admin interface shows.
pub(crate) struct Admin {
    pub(crate) pages: &'static [Page],
    pub(crate) showing: Showing,
    pub(crate) metrics: Metrics,
    pub(crate) host: GatewayHost,
    /// The orderly end of the process.
    pub(crate) drain: Drain,
    /// Processes that take over.
    pub(crate) upgrades: Upgrades,
    /// Reloads, if the gateway has a file to read again.
    pub(crate) control: Option<Control>,
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
    let admin = Arc::new(admin);
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
        let mut tasks = JoinSet::new();
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
            let (own, way) = (connection.own(), socket.way());
            let of = Of { admin: Arc::clone(&admin), own, way, stop: stop.clone() };
            let key = seat.key();
            let task = match connection {
                Connection::Tcp(tcp) => tasks.spawn(serve(tcp, of, seat)),
                Connection::Unix(unix) => tasks.spawn(serve(unix, of, seat)),
            };
            while tasks.try_join_next().is_some() {}
            Seat::occupied_by(&seats, key, task);
            if seats.any_leaving() {
                tokio::task::yield_now().await;
            }
        }
        drop(listener);
        // Answers that have begun, such as that to a request which ends this very interface.
        let answered = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_ANSWERS, answered).await;
    });
}

/// A connection, as far as answers depend on it.
struct Of {
    admin: Arc<Admin>,
    own: Option<IpAddr>,
    way: Way,
    stop: watch::Receiver<bool>,
}

impl Of {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        self.respond(&request).await.unwrap_or_else(|Refused { status, text }| pages::text(status, text))
    }

    async fn respond(&self, request: &Request<Incoming>) -> Result<Answer, Refused> {
        let shown = self.admin.showing.get();
        shown.hosts.judge(request.version(), request.uri(), request.headers(), self.own)?;
        Ok(match pages::find(self.admin.pages, request.method(), request.uri().path()) {
            Err(answer) => *answer,
            Ok(Handler::Read(handler)) => handler(&self.admin, &shown),
            Ok(Handler::Ask(handler)) => handler(&shown, request.uri().query().unwrap_or_default()),
            Ok(Handler::Write(handler)) => {
                self.way.judge(request.headers(), shown.token.as_ref())?;
                handler(Arc::clone(&self.admin)).await
            }
        })
    }
}

async fn serve(io: impl AsyncRead + AsyncWrite + Unpin, of: Of, seat: Seat) {
    let state = Arc::clone(seat.state());
    let mut stop = of.stop.clone();
    let of = Arc::new(of);
    let service = service_fn(move |request: Request<Incoming>| {
        let of = Arc::clone(&of);
        async move { Ok::<_, Infallible>(of.answer(request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(Watched::new(TokioIo::new(io), state), service);
    let mut connection = pin!(connection);
    let stopped = async { drop(stop.wait_for(|stop| *stop).await) };
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stopped => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
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
}
