//! The upstream that a route or a callout sends a request to.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::Full;
use portcullis::model::ResourceMetadata;
use tokio::io::AsyncWriteExt;

use crate::config::{ClusterKind, Protocol};
use crate::net::transport::Io;
use crate::plan::clusters::PlannedCluster;
use crate::upstream::echo::echo;
use crate::upstream::pool::{self, PeerTls, Reached, UpstreamBody, UpstreamError, UpstreamProtocol};
use portcullis_driver::body::QueueBody;

/// An upstream of this worker.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    kind: Kind,
    metadata: Arc<ResourceMetadata>,
}

#[derive(Clone, Debug)]
enum Kind {
    /// The built-in echo.
    Echo,
    /// Servers, and how long a request to them may take.
    Pool { cluster: pool::Cluster, endpoints: usize, timeout: Duration, protocol: Protocol },
}

/// A connection for a TCP stream.
pub(crate) struct Dialed {
    pub(crate) io: Box<dyn Io>,
    /// None of the echo.
    pub(crate) addresses: Option<pool::Addresses>,
    pub(crate) metadata: Option<Arc<ResourceMetadata>>,
    /// None of a plain connection.
    pub(crate) tls: Option<Arc<PeerTls>>,
    /// Counts it, as long as it is open; the echo takes none.
    pub(crate) share: Option<pool::Share>,
}

/// Bytes that the echo of a TCP stream holds.
const ECHO_BUFFER: usize = 64 << 10;

/// A response on its way.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Response<AnswerBody>, UpstreamError>>>>;

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    Echo(Full<Bytes>),
    Pool(UpstreamBody),
}

impl Upstream {
    pub(crate) fn new(planned: &PlannedCluster, account: &pool::Account) -> Self {
        let cluster = &planned.config;
        let metadata = Arc::clone(&cluster.metadata);
        let ClusterKind::Endpoints(servers) = &cluster.kind else { return Self { kind: Kind::Echo, metadata } };
        let endpoints: Vec<_> = servers.endpoints.iter().map(|server| server.address.to_string()).collect();
        let count = endpoints.len();
        let config = pool::ClusterConfig {
            protocol: match servers.protocol {
                Protocol::Http1 => UpstreamProtocol::Http1,
                Protocol::Http2 => UpstreamProtocol::Http2,
                Protocol::Auto => UpstreamProtocol::Auto,
            },
            connect_timeout: servers.connect_timeout,
            max_idle: servers.max_idle,
            metadata: servers.endpoints.iter().map(|server| server.metadata.clone()).collect(),
            idle_timeout: servers.idle_timeout,
            keepalive: servers.keepalive,
            tls: planned.tls.clone().zip(servers.tls.as_ref()).map(|(files, tls)| pool::TlsConfig {
                files,
                server_name: tls.server_name.clone(),
                alpn: tls.alpn.clone(),
            }),
            ..pool::ClusterConfig::new(cluster.name.clone(), endpoints)
        };
        let protocol = servers.protocol;
        let timeout = servers.request_timeout;
        let cluster = pool::Cluster::within(config, account);
        Self { kind: Kind::Pool { cluster, endpoints: count, timeout, protocol }, metadata }
    }

    /// Returns the metadata of the cluster.
    pub(crate) fn metadata(&self) -> &Arc<ResourceMetadata> {
        &self.metadata
    }

    /// Sends a request when the answer is first polled. `connected` is called with the connection on which it goes out
    /// on, and again of the one on which it is sent again.
    pub(crate) fn send(&self, request: Request<QueueBody>, connected: impl Fn(&Reached<'_>) + 'static) -> Answer {
        match &self.kind {
            Kind::Echo => Box::pin(async { Ok(echo(request).await.map(AnswerBody::Echo)) }),
            Kind::Pool { cluster, .. } => {
                let answer = cluster.send_noting(request, connected);
                Box::pin(async { Ok(answer.await?.map(AnswerBody::Pool)) })
            }
        }
    }

    /// Opens a connection for a TCP stream; the echo sends back what it gets.
    pub(crate) fn dial(&self) -> Pin<Box<dyn Future<Output = io::Result<Dialed>>>> {
        match &self.kind {
            Kind::Echo => Box::pin(async {
                let (near, far) = tokio::io::duplex(ECHO_BUFFER);
                tokio::task::spawn_local(async move {
                    let (mut read, mut write) = tokio::io::split(far);
                    // It ends with either side of it.
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                    let _ = write.shutdown().await;
                });
                Ok(Dialed { io: Box::new(near), addresses: None, metadata: None, tls: None, share: None })
            }),
            Kind::Pool { cluster, .. } => {
                let dialed = cluster.dial();
                Box::pin(async {
                    let pool::Dialed { stream, addresses, metadata, tls, share } =
                        dialed.await.map_err(io::Error::other)?;
                    Ok(Dialed { io: Box::new(stream), addresses: Some(addresses), metadata, tls, share: Some(share) })
                })
            }
        }
    }

    /// Returns whether both have the same connections.
    #[cfg(test)]
    pub(crate) fn shares_connections_with(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Echo, Kind::Echo) => true,
            (Kind::Pool { cluster, .. }, Kind::Pool { cluster: other, .. }) => cluster.is(other),
            _ => false,
        }
    }

    /// Notes that a request was not answered within its limit.
    pub(crate) fn timed_out(&self, limit: Duration) {
        if let Kind::Pool { cluster, .. } = &self.kind {
            cluster.timed_out(limit);
        }
    }

    /// Returns true if it takes requests over HTTP/1.1 alone.
    pub(crate) fn speaks_http1(&self) -> bool {
        matches!(self.kind, Kind::Pool { protocol: Protocol::Http1, .. })
    }

    /// Returns true if it takes requests over HTTP/2, as gRPC needs it, or may agree to.
    pub(crate) fn speaks_http2(&self) -> bool {
        matches!(self.kind, Kind::Pool { protocol: Protocol::Http2 | Protocol::Auto, .. })
    }

    /// Returns the number of its servers; the echo has none.
    pub(crate) fn endpoints(&self) -> Option<u64> {
        match &self.kind {
            Kind::Echo => None,
            Kind::Pool { endpoints, .. } => Some(*endpoints as u64),
        }
    }

    /// Returns the time limit of requests that set none of their own.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        match &self.kind {
            Kind::Echo => None,
            Kind::Pool { timeout, .. } => Some(*timeout).filter(|limit| !limit.is_zero()),
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        match self.get_mut() {
            Self::Echo(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Pool(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Echo(body) => body.is_end_stream(),
            Self::Pool(body) => body.is_end_stream(),
        }
    }
}
