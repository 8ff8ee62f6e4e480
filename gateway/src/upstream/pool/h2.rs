//! HTTP/2: one connection carries every request.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::TokioTimer;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::error::{Failed, UpstreamError};
use super::server::{Addresses, Connected, Peer, Reached};
use super::source::Source;
use super::stream::Fault;
use crate::config::Keepalive;
use crate::net::exec::LocalExec;
use portcullis_driver::body::QueueBody;

/// hyper's default of 16 KiB is less than many upstreams send; Envoy allows 60 KiB.
const MAX_HEADER_LIST: u32 = 64 * 1024;

/// The connection that all requests share, or the attempt at one.
#[derive(Debug)]
pub(super) struct Shared {
    current: Rc<Current>,
    keepalive: Keepalive,
}

#[derive(Debug)]
struct Current {
    /// Replaced when the connection has closed or the attempt has failed; requests that wait on the old cell still get
    /// its outcome.
    cell: RefCell<Rc<Attempt>>,
    /// The last time that a request asked for it.
    used: Cell<Instant>,
    /// Maximum time without a request; zero for no limit.
    timeout: Duration,
    /// A task waits for that.
    swept: Cell<bool>,
}

/// Requests that come while one is connecting wait for its outcome, and all get it.
type Attempt = OnceCell<Result<Connection, UpstreamError>>;

#[derive(Debug, Clone)]
struct Connection {
    sender: SendRequest<QueueBody>,
    peer: Peer,
    fault: Fault,
}

/// Sends a request on the shared connection, and again on a fresh one if that turns out to be closed.
pub(super) async fn exchange(
    source: &Source<'_>,
    shared: &Shared,
    mut request: Request<QueueBody>,
    connected: &impl Fn(&Reached<'_>),
) -> Result<(Response<Incoming>, Addresses), Failed> {
    let server = source.server();
    let mut first = true;
    loop {
        let (connection, reused) = shared.connection(source).await;
        let mut connection = match connection {
            Ok(connection) => connection,
            Err(error) => return Err(Failed::before(error, request)),
        };
        connected(&server.reached(&connection.peer));
        match connection.sender.try_send_request(request).await {
            Ok(response) => return Ok((response, connection.peer.addresses)),
            Err(mut error) => match error.take_message() {
                Some(unsent) if first && reused => request = unsent,
                Some(unsent) => {
                    let error = UpstreamError::http(server.name(), error.into_error());
                    return Err(Failed::before(error, unsent).because_of(server.name(), &connection.fault));
                }
                None => {
                    let failed = Failed::sending(server.name(), error);
                    return Err(failed.because_of(server.name(), &connection.fault));
                }
            },
        }
        first = false;
    }
}

impl Shared {
    pub(super) fn new(timeout: Duration, keepalive: Keepalive) -> Self {
        let used = Cell::new(Instant::now());
        let current = Current { cell: RefCell::default(), used, timeout, swept: Cell::new(false) };
        Self { current: Rc::new(current), keepalive }
    }

    /// Returns whether there is a connection.
    pub(super) fn is_open(&self) -> bool {
        let attempt = self.current.cell.borrow();
        matches!(attempt.get(), Some(Ok(connection)) if !connection.sender.is_closed())
    }

    /// Returns the connection and whether it stood before.
    async fn connection(&self, source: &Source<'_>) -> (Result<Connection, UpstreamError>, bool) {
        self.current.used.set(Instant::now());
        let mut attempt = Rc::clone(&self.current.cell.borrow());
        match attempt.get() {
            Some(Ok(connection)) if !connection.sender.is_closed() => {
                return (Ok(connection.clone()), true);
            }
            Some(_) => {
                attempt = Rc::default();
                self.current.cell.replace(Rc::clone(&attempt));
            }
            None => {}
        }
        let outcome = attempt.get_or_init(|| open(source, self.keepalive)).await;
        if !self.current.timeout.is_zero() && !self.current.swept.replace(true) {
            tokio::task::spawn_local(sweep(Rc::downgrade(&self.current)));
        }
        (outcome.clone(), false)
    }
}

/// Drops the connection when it was not used for too long. Its requests keep it until they end.
async fn sweep(current: Weak<Current>) {
    while let Some(shared) = current.upgrade() {
        let due = shared.used.get() + shared.timeout;
        if due <= Instant::now() {
            shared.swept.set(false);
            shared.cell.replace(Rc::default());
            return;
        }
        drop(shared);
        tokio::time::sleep_until(due).await;
    }
}

async fn open(source: &Source<'_>, keepalive: Keepalive) -> Result<Connection, UpstreamError> {
    let name = source.server().name().clone();
    let Connected { io, peer, share, .. } = source.open(true).await?;
    let fault = io.inner().fault();
    let (sender, driver) = Builder::new(LocalExec)
        .max_header_list_size(MAX_HEADER_LIST)
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(keepalive.interval).filter(|interval| !interval.is_zero()))
        .keep_alive_timeout(keepalive.timeout)
        .handshake(io)
        .await
        .map_err(|error| UpstreamError::http(&name, error))?;
    tokio::task::spawn_local(async move {
        let _share = share;
        if let Err(error) = driver.await {
            tracing::debug!(endpoint = %name, %error, "upstream connection failed");
        }
    });
    Ok(Connection { sender, peer, fault })
}
