//! One endpoint of a cluster.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use portcullis::core::ResourceMetadata;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::account::{Account, Share};
use super::body::UpstreamBody;
use super::error::{Failed, UpstreamError};
use super::failures::Failures;
use super::framing::{self, Framing, UnknownCoding};
use super::{ClusterConfig, Dialed, UpstreamProtocol, h1, h2};
use crate::net::queue::QueueBody;

/// An endpoint and the connections to it.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// `host:port`, as configured. `Arc`, because errors carry it and must be `Send`.
    name: Arc<str>,
    metadata: Option<Arc<ResourceMetadata>>,
    connect_timeout: Duration,
    link: Link,
    failures: Failures,
    account: Account,
}

#[derive(Debug)]
enum Link {
    Http1(h1::Pool),
    Http2(h2::Shared),
}

/// Both ends of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Our own.
    pub local: SocketAddr,
    /// The endpoint's.
    pub remote: SocketAddr,
}

impl Endpoint {
    pub(super) fn new(
        name: &str,
        metadata: Option<Arc<ResourceMetadata>>,
        config: &ClusterConfig,
        account: Account,
    ) -> Self {
        Self {
            name: name.into(),
            metadata,
            connect_timeout: config.connect_timeout,
            failures: Failures::new(&config.name),
            account,
            link: match config.protocol {
                UpstreamProtocol::Http1 => Link::Http1(h1::Pool::new(config.max_idle, config.idle_timeout)),
                UpstreamProtocol::Http2 => Link::Http2(h2::Shared::new(config.idle_timeout, config.keepalive)),
            },
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn metadata(&self) -> Option<&Arc<ResourceMetadata>> {
        self.metadata.as_ref()
    }

    /// Notes that a request to it has failed, or a connection.
    pub(super) fn failed(&self, error: &UpstreamError) {
        self.failures.note(&self.name, error);
    }

    pub(super) async fn exchange(
        self: &Rc<Self>,
        request: Request<QueueBody>,
        connected: &impl Fn(Addresses, Option<&Arc<ResourceMetadata>>),
    ) -> Result<Response<UpstreamBody>, Failed> {
        match &self.link {
            Link::Http1(pool) => h1::exchange(self, pool, request, connected).await,
            Link::Http2(shared) => h2::exchange(self, shared, request, connected).await,
        }
    }

    /// Takes back an HTTP/1.1 connection whose response is complete.
    pub(super) fn put_back(&self, connection: h1::Connection) {
        if let Link::Http1(pool) = &self.link {
            pool.put(connection);
        }
    }

    /// Since when its oldest idle connection has been idle, if it has one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        match &self.link {
            Link::Http1(pool) => pool.idle_since(),
            Link::Http2(_) => None,
        }
    }

    /// Closes that connection.
    pub(super) fn close_idle(&self) -> bool {
        match &self.link {
            Link::Http1(pool) => pool.close_oldest(),
            Link::Http2(_) => false,
        }
    }

    /// Opens a connection, which counts as long as its share lasts.
    pub(super) async fn connect(&self) -> Result<(TokioIo<TcpStream>, Addresses, Share), UpstreamError> {
        let share = self.account.open().await?;
        match timeout(self.connect_timeout, open(&self.name)).await {
            Ok(Ok((tcp, addresses))) => Ok((TokioIo::new(tcp), addresses, share)),
            Ok(Err(source)) => Err(UpstreamError::connect(&self.name, source)),
            Err(_) => {
                Err(UpstreamError::ConnectTimeout { endpoint: Arc::clone(&self.name), limit: self.connect_timeout })
            }
        }
    }

    /// A connection of its own, for other bytes than HTTP.
    pub(super) async fn dial(&self) -> Result<Dialed, UpstreamError> {
        let (io, addresses, share) = self.connect().await?;
        Ok(Dialed { tcp: io.into_inner(), addresses, metadata: self.metadata.clone(), share })
    }

    /// Returns a response over HTTP/1.1. Its connection goes back to the pool behind the body, if the head says once where that
    /// ends; whatever else stands on the connection would be taken for the next response. hyper has dropped every 1xx head
    /// but that of a 101, which is none that a request can have asked for.
    pub(super) fn h1_response(
        self: &Rc<Self>,
        mut response: Response<Incoming>,
        addresses: Addresses,
        connection: h1::Connection,
    ) -> Result<Response<UpstreamBody>, Failed> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Failed { error: UpstreamError::Switching { endpoint: Arc::clone(&self.name) }, unsent: None });
        }
        match framing::settle(response.headers_mut()) {
            Ok(Framing::Plain) => Ok(self.response(response, addresses, Some(connection))),
            Ok(Framing::Doubtful) => Ok(self.response(response, addresses, None)),
            Err(UnknownCoding) => {
                Err(Failed { error: UpstreamError::Coding { endpoint: Arc::clone(&self.name) }, unsent: None })
            }
        }
    }

    pub(super) fn response(
        self: &Rc<Self>,
        response: Response<Incoming>,
        addresses: Addresses,
        lease: Option<h1::Connection>,
    ) -> Response<UpstreamBody> {
        response.map(|incoming| UpstreamBody::new(incoming, Rc::clone(self), addresses, lease))
    }
}

/// Tries each address that the name stands for.
async fn open(name: &str) -> io::Result<(TcpStream, Addresses)> {
    let tcp = TcpStream::connect(name).await?;
    tcp.set_nodelay(true)?;
    let addresses = Addresses { local: tcp.local_addr()?, remote: tcp.peer_addr()? };
    Ok((tcp, addresses))
}
