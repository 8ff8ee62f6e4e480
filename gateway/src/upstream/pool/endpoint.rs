//! One endpoint of a cluster.

use std::rc::Rc;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use portcullis::model::ResourceMetadata;
use tokio::time::Instant;

use super::account::{Account, HoldsIdle};
use super::body::UpstreamBody;
use super::config::ClusterConfig;
use super::error::{Failed, UpstreamError};
use super::framing::{self, Framing, UnknownCoding};
use super::h1;
use super::link::{Link, Origin};
use super::links::Links;
use super::server::{Addresses, Dialed, Reached, Server};
use super::tls::{Tls, host_of};
use super::tls_fault::TlsFault;
use portcullis_driver::body::QueueBody;

/// An endpoint and the connections to it.
#[derive(Debug)]
pub(super) struct Endpoint {
    server: Server,
    links: Links,
}

impl Endpoint {
    pub(super) fn new(
        name: &str,
        metadata: Option<Arc<ResourceMetadata>>,
        config: &ClusterConfig,
        account: Account,
        tls: Option<Rc<Tls>>,
    ) -> Self {
        let links = match &tls {
            Some(tls) if tls.names_by_request() => Links::by_name(config),
            tls => Links::one(config, tls.as_ref().and_then(|tls| tls.name_of(name))),
        };
        Self { server: Server::new(name, metadata, config, account, tls), links }
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    pub(super) async fn exchange(
        self: &Rc<Self>,
        request: Request<QueueBody>,
        connected: &impl Fn(&Reached<'_>),
    ) -> Result<Response<UpstreamBody>, Failed> {
        let Some(link) = self.links.get(|| host_of(&request)) else {
            return Err(Failed::before(UpstreamError::tls(self.server.name(), TlsFault::NoName), request));
        };
        let (response, origin) = link.exchange(&self.server, request, connected).await?;
        match origin {
            Origin::Http1(connection) => self.h1_response(link, response, connection),
            Origin::Http2(addresses) => Ok(self.response(response, addresses, None)),
        }
    }

    /// Opens a connection for other bytes than HTTP.
    pub(super) async fn dial(self: &Rc<Self>) -> Result<Dialed, UpstreamError> {
        let link = self.links.get(|| None);
        let dialed = self.server.dial(link.as_ref().and_then(|link| link.name())).await?;
        let endpoint = Rc::clone(self);
        dialed.stream.tell_fault(move |fault| {
            let server = endpoint.server();
            server.failed(&UpstreamError::tls(server.name(), fault.clone()));
        });
        Ok(dialed)
    }

    /// Returns a response over HTTP/1.1. Its connection goes back to the pool behind the body, if the head has one length or
    /// coding; otherwise later bytes on the connection would be taken for the next response. hyper has dropped every 1xx head
    /// but that of a 101, which is none that a request can have asked for.
    fn h1_response(
        self: &Rc<Self>,
        link: Rc<Link>,
        mut response: Response<Incoming>,
        connection: h1::Connection,
    ) -> Result<Response<UpstreamBody>, Failed> {
        let endpoint = || Arc::clone(self.server.name());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Failed { error: UpstreamError::Switching { endpoint: endpoint() }, unsent: None });
        }
        let addresses = connection.addresses();
        match framing::settle(response.headers_mut()) {
            Ok(Framing::Plain) => Ok(self.response(response, addresses, Some((link, connection)))),
            Ok(Framing::Doubtful) => Ok(self.response(response, addresses, None)),
            Err(UnknownCoding) => Err(Failed { error: UpstreamError::Coding { endpoint: endpoint() }, unsent: None }),
        }
    }

    fn response(
        self: &Rc<Self>,
        response: Response<Incoming>,
        addresses: Addresses,
        lease: Option<(Rc<Link>, h1::Connection)>,
    ) -> Response<UpstreamBody> {
        response.map(|incoming| UpstreamBody::new(incoming, Rc::clone(self), addresses, lease))
    }
}

impl HoldsIdle for Endpoint {
    fn idle_since(&self) -> Option<Instant> {
        self.links.oldest_idle().map(|(since, _)| since)
    }

    fn close_idle(&self) -> bool {
        self.links.oldest_idle().is_some_and(|(_, link)| link.close_idle())
    }
}
