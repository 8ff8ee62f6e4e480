//! One endpoint of a cluster.

use std::rc::Rc;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use portcullis::model::ResourceMetadata;
use tokio::time::Instant;

use super::account::{Account, HoldsIdle};
use super::body::UpstreamBody;
use super::config::{ClusterConfig, UpstreamProtocol};
use super::error::{Failed, UpstreamError};
use super::framing::{self, Framing, UnknownCoding};
use super::server::{Addresses, Server};
use super::{h1, h2};
use portcullis_driver::body::QueueBody;

/// An endpoint and the connections to it.
#[derive(Debug)]
pub(super) struct Endpoint {
    server: Server,
    link: Link,
}

#[derive(Debug)]
enum Link {
    Http1(h1::Pool),
    Http2(h2::Shared),
}

impl Endpoint {
    pub(super) fn new(
        name: &str,
        metadata: Option<Arc<ResourceMetadata>>,
        config: &ClusterConfig,
        account: Account,
    ) -> Self {
        let link = match config.protocol {
            UpstreamProtocol::Http1 => Link::Http1(h1::Pool::new(config.max_idle, config.idle_timeout)),
            UpstreamProtocol::Http2 => Link::Http2(h2::Shared::new(config.idle_timeout, config.keepalive)),
        };
        Self { server: Server::new(name, metadata, config, account), link }
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    pub(super) async fn exchange(
        self: &Rc<Self>,
        request: Request<QueueBody>,
        connected: &impl Fn(Addresses, Option<&Arc<ResourceMetadata>>),
    ) -> Result<Response<UpstreamBody>, Failed> {
        match &self.link {
            Link::Http1(pool) => {
                let (response, connection) = h1::exchange(&self.server, pool, request, connected).await?;
                self.h1_response(response, connection)
            }
            Link::Http2(shared) => {
                let (response, addresses) = h2::exchange(&self.server, shared, request, connected).await?;
                Ok(self.response(response, addresses, None))
            }
        }
    }

    /// Takes back an HTTP/1.1 connection whose response is complete.
    pub(super) fn put_back(&self, connection: h1::Connection) {
        if let Link::Http1(pool) = &self.link {
            pool.put(connection);
        }
    }

    /// Returns a response over HTTP/1.1. Its connection goes back to the pool behind the body, if the head has one length or
    /// coding; otherwise later bytes on the connection would be taken for the next response. hyper has dropped every 1xx head
    /// but that of a 101, which is none that a request can have asked for.
    fn h1_response(
        self: &Rc<Self>,
        mut response: Response<Incoming>,
        connection: h1::Connection,
    ) -> Result<Response<UpstreamBody>, Failed> {
        let endpoint = || Arc::clone(self.server.name());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Failed { error: UpstreamError::Switching { endpoint: endpoint() }, unsent: None });
        }
        let addresses = connection.addresses();
        match framing::settle(response.headers_mut()) {
            Ok(Framing::Plain) => Ok(self.response(response, addresses, Some(connection))),
            Ok(Framing::Doubtful) => Ok(self.response(response, addresses, None)),
            Err(UnknownCoding) => Err(Failed { error: UpstreamError::Coding { endpoint: endpoint() }, unsent: None }),
        }
    }

    fn response(
        self: &Rc<Self>,
        response: Response<Incoming>,
        addresses: Addresses,
        lease: Option<h1::Connection>,
    ) -> Response<UpstreamBody> {
        response.map(|incoming| UpstreamBody::new(incoming, Rc::clone(self), addresses, lease))
    }
}

impl HoldsIdle for Endpoint {
    fn idle_since(&self) -> Option<Instant> {
        match &self.link {
            Link::Http1(pool) => pool.idle_since(),
            Link::Http2(_) => None,
        }
    }

    fn close_idle(&self) -> bool {
        match &self.link {
            Link::Http1(pool) => pool.close_oldest(),
            Link::Http2(_) => false,
        }
    }
}
