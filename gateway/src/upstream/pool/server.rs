//! The server of an endpoint.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use portcullis::model::ResourceMetadata;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::account::{Account, Share};
use super::config::ClusterConfig;
use super::error::UpstreamError;
use super::failures::Failures;
use super::stream::UpstreamStream;
use super::tls::{PeerTls, Tls, Use};
use super::tls_fault::TlsFault;

/// The destination of an endpoint's connections, and the account that they count for.
#[derive(Debug)]
pub(super) struct Server {
    /// `host:port`, as configured. `Arc`, because errors carry it and must be `Send`.
    name: Arc<str>,
    metadata: Option<Arc<ResourceMetadata>>,
    connect_timeout: Duration,
    failures: Failures,
    account: Account,
    tls: Option<Rc<Tls>>,
}

/// Both ends of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Our own.
    pub local: SocketAddr,
    /// The endpoint's.
    pub remote: SocketAddr,
}

/// The far side of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Reached<'a> {
    /// Both ends.
    pub addresses: Addresses,
    /// The endpoint's metadata.
    pub metadata: Option<&'a Arc<ResourceMetadata>>,
    /// The server, as TLS has shown it.
    pub tls: Option<&'a Arc<PeerTls>>,
}

/// A connection for other bytes than HTTP.
#[derive(Debug)]
pub struct Dialed {
    /// The connection.
    pub stream: UpstreamStream,
    /// Both of its ends.
    pub addresses: Addresses,
    /// The endpoint's metadata.
    pub metadata: Option<Arc<ResourceMetadata>>,
    /// The server, as TLS has shown it.
    pub tls: Option<Arc<PeerTls>>,
    /// Counts it, as long as it is open.
    pub share: Share,
}

/// A connection that nothing has been sent on yet.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) io: TokioIo<UpstreamStream>,
    pub(super) peer: Peer,
    /// Whether HTTP/2 was agreed on by ALPN; none without TLS.
    pub(super) agreed_http2: Option<bool>,
    pub(super) share: Share,
}

/// The far side of a connection, kept with it.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) addresses: Addresses,
    pub(super) tls: Option<Arc<PeerTls>>,
}

impl Server {
    pub(super) fn new(
        name: &str,
        metadata: Option<Arc<ResourceMetadata>>,
        config: &ClusterConfig,
        account: Account,
        tls: Option<Rc<Tls>>,
    ) -> Self {
        let (connect_timeout, failures) = (config.connect_timeout, Failures::new(&config.name));
        Self { name: name.into(), metadata, connect_timeout, failures, account, tls }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Notes that a request to it has failed, or a connection.
    pub(super) fn failed(&self, error: &UpstreamError) {
        self.failures.note(&self.name, error);
    }

    /// Returns the far side of a connection with it.
    pub(super) fn reached<'a>(&'a self, peer: &'a Peer) -> Reached<'a> {
        Reached { addresses: peer.addresses, metadata: self.metadata.as_ref(), tls: peer.tls.as_ref() }
    }

    /// Opens a connection for HTTP, which counts as long as its share lasts. With TLS the server has to be `name`.
    pub(super) async fn connect(&self, name: Option<&ServerName<'static>>) -> Result<Connected, UpstreamError> {
        let (stream, peer, agreed_http2, share) = self.reach(name, Use::Requests).await?;
        Ok(Connected { io: TokioIo::new(stream), peer, agreed_http2, share })
    }

    /// Opens a connection for other bytes than HTTP. With TLS the server has to be `name`.
    pub(super) async fn dial(&self, name: Option<&ServerName<'static>>) -> Result<Dialed, UpstreamError> {
        let (stream, Peer { addresses, tls }, _, share) = self.reach(name, Use::Streams).await?;
        Ok(Dialed { stream, addresses, metadata: self.metadata.clone(), tls, share })
    }

    async fn reach(
        &self,
        name: Option<&ServerName<'static>>,
        to_use: Use,
    ) -> Result<(UpstreamStream, Peer, Option<bool>, Share), UpstreamError> {
        let share = self.account.open().await?;
        let reaching = async {
            let opened = open(&self.name).await;
            let (tcp, addresses) = opened.map_err(|source| UpstreamError::connect(&self.name, source))?;
            let Some(tls) = &self.tls else {
                return Ok((UpstreamStream::plain(tcp), Peer { addresses, tls: None }, None));
            };
            let failed = |fault| UpstreamError::tls(&self.name, fault);
            let name = name.ok_or_else(|| failed(TlsFault::NoName))?.clone();
            // The state of a handshake is large, and few connections are in one.
            let stream = Box::pin(tls.connect(tcp, name, to_use)).await.map_err(failed)?;
            let agreed_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let peer = Peer { addresses, tls: Some(Arc::new(PeerTls::of(&stream))) };
            Ok((UpstreamStream::tls(stream, tls.has_identity()), peer, Some(agreed_http2)))
        };
        match timeout(self.connect_timeout, reaching).await {
            Ok(Ok((stream, peer, agreed_http2))) => Ok((stream, peer, agreed_http2, share)),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                Err(UpstreamError::ConnectTimeout { endpoint: Arc::clone(&self.name), limit: self.connect_timeout })
            }
        }
    }
}

/// Tries each address of the name.
async fn open(name: &str) -> io::Result<(TcpStream, Addresses)> {
    let tcp = TcpStream::connect(name).await?;
    tcp.set_nodelay(true)?;
    let addresses = Addresses { local: tcp.local_addr()?, remote: tcp.peer_addr()? };
    Ok((tcp, addresses))
}
