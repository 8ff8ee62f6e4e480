//! The server of an endpoint.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use portcullis::model::ResourceMetadata;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::account::{Account, Share};
use super::config::ClusterConfig;
use super::error::UpstreamError;
use super::failures::Failures;

/// The destination of an endpoint's connections, and the account that they count for.
#[derive(Debug)]
pub(super) struct Server {
    /// `host:port`, as configured. `Arc`, because errors carry it and must be `Send`.
    name: Arc<str>,
    metadata: Option<Arc<ResourceMetadata>>,
    connect_timeout: Duration,
    failures: Failures,
    account: Account,
}

/// Both ends of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Our own.
    pub local: SocketAddr,
    /// The endpoint's.
    pub remote: SocketAddr,
}

/// A connection for other bytes than HTTP.
#[derive(Debug)]
pub struct Dialed {
    /// The connection.
    pub tcp: TcpStream,
    /// Both of its ends.
    pub addresses: Addresses,
    /// The endpoint's metadata.
    pub metadata: Option<Arc<ResourceMetadata>>,
    /// Counts it, as long as it is open.
    pub share: Share,
}

impl Server {
    pub(super) fn new(
        name: &str,
        metadata: Option<Arc<ResourceMetadata>>,
        config: &ClusterConfig,
        account: Account,
    ) -> Self {
        let (connect_timeout, failures) = (config.connect_timeout, Failures::new(&config.name));
        Self { name: name.into(), metadata, connect_timeout, failures, account }
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

    /// Opens a connection for other bytes than HTTP.
    pub(super) async fn dial(&self) -> Result<Dialed, UpstreamError> {
        let (io, addresses, share) = self.connect().await?;
        Ok(Dialed { tcp: io.into_inner(), addresses, metadata: self.metadata.clone(), share })
    }
}

/// Tries each address of the name.
async fn open(name: &str) -> io::Result<(TcpStream, Addresses)> {
    let tcp = TcpStream::connect(name).await?;
    tcp.set_nodelay(true)?;
    let addresses = Addresses { local: tcp.local_addr()?, remote: tcp.peer_addr()? };
    Ok((tcp, addresses))
}
