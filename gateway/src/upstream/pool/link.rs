//! The connections with one endpoint under one server name.

use std::cell::Cell;

use http::{Request, Response};
use hyper::body::Incoming;
use portcullis_driver::body::QueueBody;
use rustls::pki_types::ServerName;
use tokio::time::Instant;

use super::config::{ClusterConfig, UpstreamProtocol};
use super::error::Failed;
use super::request::{NeedsHttp2, reform};
use super::server::{Reached, Server};
use super::source::{Crossing, Source};
use super::{h1, h2};

/// The connections with one endpoint under one server name.
#[derive(Debug)]
pub(super) struct Link {
    kind: Kind,
    name: Option<ServerName<'static>>,
}

#[derive(Debug)]
enum Kind {
    Http1(h1::Pool),
    Http2(h2::Shared),
    Agreed(Agreed),
}

/// Connections of both protocols; ALPN decides of which each is.
#[derive(Debug)]
struct Agreed {
    http1: h1::Pool,
    http2: h2::Shared,
    /// The protocol of the last connection, which is expected of the next.
    speaks_http2: Cell<bool>,
    crossing: Crossing,
}

/// A response, and the HTTP/1.1 connection that its body occupies.
pub(super) type Answered = (Response<Incoming>, Origin);

/// The connection of a response.
#[derive(Debug)]
pub(super) enum Origin {
    Http1(h1::Connection),
    Http2(super::server::Addresses),
}

impl Link {
    pub(super) fn new(config: &ClusterConfig, name: Option<ServerName<'static>>) -> Self {
        let http1 = || h1::Pool::new(config.max_idle, config.idle_timeout);
        let http2 = || h2::Shared::new(config.idle_timeout, config.keepalive);
        let kind = match config.protocol {
            UpstreamProtocol::Http1 => Kind::Http1(http1()),
            UpstreamProtocol::Http2 => Kind::Http2(http2()),
            UpstreamProtocol::Auto => Kind::Agreed(Agreed {
                http1: http1(),
                http2: http2(),
                speaks_http2: Cell::new(true),
                crossing: Crossing::default(),
            }),
        };
        Self { kind, name }
    }

    /// Returns the server name, if the connections have TLS.
    pub(super) fn name(&self) -> Option<&ServerName<'static>> {
        self.name.as_ref()
    }

    pub(super) async fn exchange(
        &self,
        server: &Server,
        request: Request<QueueBody>,
        connected: &impl Fn(&Reached<'_>),
    ) -> Result<Answered, Failed> {
        let source = |crossing| Source::new(server, self.name.as_ref(), crossing);
        match &self.kind {
            Kind::Http1(pool) => over_http1(&source(None), pool, request, connected).await,
            Kind::Http2(shared) => over_http2(&source(None), shared, request, connected).await,
            Kind::Agreed(agreed) => agreed.exchange(&source(Some(&agreed.crossing)), request, connected).await,
        }
    }

    /// Takes back an HTTP/1.1 connection whose response is complete.
    pub(super) fn put_back(&self, connection: h1::Connection) {
        if let Some(pool) = self.http1() {
            pool.put(connection);
        }
    }

    /// Returns whether a connection is there that requests may use.
    pub(super) fn has_connection(&self) -> bool {
        let http2 = match &self.kind {
            Kind::Http2(shared) => shared.is_open(),
            Kind::Agreed(agreed) => agreed.http2.is_open(),
            Kind::Http1(_) => false,
        };
        http2 || self.idle_since().is_some()
    }

    /// Returns the time since which its oldest idle connection has been idle.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.http1()?.idle_since()
    }

    /// Closes that connection; returns whether there was one.
    pub(super) fn close_idle(&self) -> bool {
        self.http1().is_some_and(h1::Pool::close_oldest)
    }

    fn http1(&self) -> Option<&h1::Pool> {
        match &self.kind {
            Kind::Http1(pool) => Some(pool),
            Kind::Agreed(agreed) => Some(&agreed.http1),
            Kind::Http2(_) => None,
        }
    }
}

async fn over_http1(
    source: &Source<'_>,
    pool: &h1::Pool,
    request: Request<QueueBody>,
    connected: &impl Fn(&Reached<'_>),
) -> Result<Answered, Failed> {
    let (response, connection) = h1::exchange(source, pool, request, connected).await?;
    Ok((response, Origin::Http1(connection)))
}

async fn over_http2(
    source: &Source<'_>,
    shared: &h2::Shared,
    request: Request<QueueBody>,
    connected: &impl Fn(&Reached<'_>),
) -> Result<Answered, Failed> {
    let (response, addresses) = h2::exchange(source, shared, request, connected).await?;
    Ok((response, Origin::Http2(addresses)))
}

impl Agreed {
    /// Sends a request by the protocol that is expected, and by the other one if the server agrees to that.
    ///
    /// | last connection | next connection agrees to | the request goes |
    /// |---|---|---|
    /// | none, HTTP/2 | HTTP/2 | on it, with all others |
    /// | none, HTTP/2 | HTTP/1.1 | on it; others that waited for it open their own |
    /// | HTTP/1.1 | HTTP/1.1 | on it |
    /// | HTTP/1.1 | HTTP/2 | on it, and all later ones, too |
    async fn exchange(
        &self,
        source: &Source<'_>,
        mut request: Request<QueueBody>,
        connected: &impl Fn(&Reached<'_>),
    ) -> Result<Answered, Failed> {
        /// A server that agrees to another protocol each time is not followed further.
        const MOST_CHANGES: usize = 3;
        let needs_http2 = request.extensions().get::<NeedsHttp2>().is_some();
        let mut changes = 0;
        loop {
            let http2 = needs_http2 || self.speaks_http2.get();
            let outcome = if http2 {
                reform(UpstreamProtocol::Http2, true, &mut request);
                over_http2(source, &self.http2, request, connected).await
            } else {
                reform(UpstreamProtocol::Http1, true, &mut request);
                over_http1(source, &self.http1, request, connected).await
            };
            match outcome {
                Err(Failed { error, unsent: Some(unsent) }) if error.is_other_protocol() => {
                    self.speaks_http2.set(!http2);
                    changes += 1;
                    if needs_http2 || changes > MOST_CHANGES {
                        return Err(Failed { error, unsent: Some(unsent) });
                    }
                    request = *unsent;
                }
                outcome => return outcome,
            }
        }
    }
}
