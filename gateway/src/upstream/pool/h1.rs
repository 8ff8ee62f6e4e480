//! HTTP/1.1: idle connections are kept on a stack, and closed when they have been idle for too long.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use tokio::time::Instant;

use super::error::{Failed, UpstreamError, is_lost};
use super::server::{Addresses, Connected, Peer, Reached};
use super::source::Source;
use super::stream::Fault;
use portcullis_driver::body::QueueBody;

/// After so long without use, the operating system is asked for news of a connection before a request is put on it.
const CHECK_AFTER: Duration = Duration::from_millis(10);

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<QueueBody>,
    peer: Peer,
    fault: Fault,
}

/// Connections whose last response is complete. The most recently used is taken first, so that the surplus of a busy
/// time grows old and is let go.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Rc<Shared>,
    max_idle: usize,
}

#[derive(Debug)]
struct Shared {
    /// Oldest first.
    idle: RefCell<VecDeque<Idle>>,
    /// Maximum idle time; zero for no limit.
    timeout: Duration,
    /// A task waits for the oldest to become too old.
    swept: Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// Sends a request on an idle connection, or on a fresh one when there is none or when it turns out to be closed.
pub(super) async fn exchange(
    source: &Source<'_>,
    pool: &Pool,
    mut request: Request<QueueBody>,
    connected: &impl Fn(&Reached<'_>),
) -> Result<(Response<Incoming>, Connection), Failed> {
    let server = source.server();
    if let Some(mut connection) = pool.take().await {
        connected(&server.reached(&connection.peer));
        let copy = replayable(&request);
        match connection.sender.try_send_request(request).await {
            Ok(response) => return Ok((response, connection)),
            Err(mut error) => match error.take_message() {
                Some(unsent) => request = unsent,
                None => match copy.filter(|_| is_lost(error.error())) {
                    Some(copy) => request = copy,
                    None => return Err(Failed::sending(server.name(), error)),
                },
            },
        }
    }
    let mut connection = match open(source).await {
        Ok(connection) => connection,
        Err(error) => return Err(Failed::before(error, request)),
    };
    connected(&server.reached(&connection.peer));
    match connection.sender.try_send_request(request).await {
        Ok(response) => Ok((response, connection)),
        Err(error) => Err(Failed::sending(server.name(), error).because_of(server.name(), &connection.fault)),
    }
}

impl Connection {
    /// Returns both of its ends.
    pub(super) fn addresses(&self) -> Addresses {
        self.peer.addresses
    }
}

impl Pool {
    pub(super) fn new(max_idle: usize, timeout: Duration) -> Self {
        Self { shared: Rc::new(Shared { idle: RefCell::default(), timeout, swept: Cell::new(false) }), max_idle }
    }

    /// Keeps a connection. Its task may still be busy with it for a moment; it is taken only when it is ready.
    pub(super) fn put(&self, connection: Connection) {
        if self.max_idle == 0 || connection.sender.is_closed() {
            return;
        }
        let mut idle = self.shared.idle.borrow_mut();
        if idle.len() >= self.max_idle {
            idle.pop_front();
        }
        idle.push_back(Idle { connection, since: Instant::now() });
        drop(idle);
        if !self.shared.timeout.is_zero() && !self.shared.swept.replace(true) {
            tokio::task::spawn_local(sweep(Rc::downgrade(&self.shared)));
        }
    }

    /// Returns the time since which the oldest idle connection has been idle.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.shared.idle.borrow().front().map(|idle| idle.since)
    }

    /// Closes the oldest idle connection; returns whether there was one.
    pub(super) fn close_oldest(&self) -> bool {
        self.shared.idle.borrow_mut().pop_front().is_some()
    }

    async fn take(&self) -> Option<Connection> {
        let mut found = self.pop_ready();
        let stale = match &found {
            Some(idle) => idle.since.elapsed() >= CHECK_AFTER,
            None if self.shared.idle.borrow().is_empty() => return None,
            None => true,
        };
        if stale {
            // Lets the runtime ask the operating system for news and the connections' tasks act on it: one that the
            // upstream has closed then says so, and one that was just put back becomes ready.
            tokio::task::yield_now().await;
            found = found.filter(|idle| !idle.connection.sender.is_closed()).or_else(|| self.pop_ready());
        }
        found.map(|idle| idle.connection)
    }

    fn pop_ready(&self) -> Option<Idle> {
        self.shared.drop_spent();
        let mut idle = self.shared.idle.borrow_mut();
        for index in (0..idle.len()).rev() {
            let sender = &idle.get(index)?.connection.sender;
            if sender.is_closed() {
                idle.remove(index);
            } else if sender.is_ready() {
                return idle.remove(index);
            }
        }
        None
    }
}

impl Shared {
    /// Drops connections that are closed or too old, and returns when the next one will be too old.
    fn drop_spent(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut idle = self.idle.borrow_mut();
        while let Some(oldest) = idle.front() {
            let is_old = !self.timeout.is_zero() && now.duration_since(oldest.since) >= self.timeout;
            if !is_old && !oldest.connection.sender.is_closed() {
                return Some(oldest.since + self.timeout);
            }
            idle.pop_front();
        }
        None
    }
}

/// Closes connections as they become too old, while there are any.
async fn sweep(pool: Weak<Shared>) {
    while let Some(shared) = pool.upgrade() {
        let Some(next) = shared.drop_spent() else { return shared.swept.set(false) };
        drop(shared);
        tokio::time::sleep_until(next).await;
    }
}

async fn open(source: &Source<'_>) -> Result<Connection, UpstreamError> {
    let name = source.server().name().clone();
    let Connected { io, peer, share, .. } = source.open(false).await?;
    let fault = io.inner().fault();
    let (sender, driver) = http1::handshake(io).await.map_err(|error| UpstreamError::http(&name, error))?;
    tokio::task::spawn_local(async move {
        let _share = share;
        if let Err(error) = driver.await {
            tracing::debug!(endpoint = %name, %error, "upstream connection failed");
        }
    });
    Ok(Connection { sender, peer, fault })
}

/// Copies a request, to be sent again if the upstream closes the connection just while the request is on its way, which no client can
/// rule out.
///
/// Only requests without a body that may be repeated are copied (RFC 9110, section 9.2.2: a proxy must not repeat others).
fn replayable(request: &Request<QueueBody>) -> Option<Request<QueueBody>> {
    if !request.method().is_idempotent() || !http_body::Body::is_end_stream(request.body()) {
        return None;
    }
    let mut copy = Request::new(QueueBody::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}
