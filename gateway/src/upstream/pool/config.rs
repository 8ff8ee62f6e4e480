//! The configuration of a pool.

use std::sync::Arc;
use std::time::Duration;

use portcullis::model::ResourceMetadata;

use crate::config::{Keepalive, ServerNames};
use crate::net::client_tls::ClientTls;

/// The protocol of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpstreamProtocol {
    /// HTTP/1.1: one request at a time on a connection.
    #[default]
    Http1,
    /// HTTP/2: one connection to each endpoint, without TLS by prior knowledge.
    Http2,
    /// The one that the endpoint takes by ALPN. Without TLS it is HTTP/1.1.
    Auto,
}

/// TLS with the endpoints of a cluster.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// The authorities, and our certificate.
    pub files: ClientTls,
    /// The source of the endpoints' names.
    pub server_name: ServerNames,
    /// The protocols that connections for other bytes than HTTP offer by ALPN.
    pub alpn: Vec<String>,
}

/// The configuration of a cluster's connections.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// The name in messages.
    pub name: String,
    /// `host:port` each; a name is looked up whenever a connection is opened.
    pub endpoints: Vec<String>,
    /// Metadata of the endpoints, by their index; those behind the last have none.
    pub metadata: Vec<Option<Arc<ResourceMetadata>>>,
    /// The protocol of the endpoints.
    pub protocol: UpstreamProtocol,
    /// Maximum time for looking up the name, connecting and the handshake of TLS, together, for each endpoint.
    pub connect_timeout: Duration,
    /// HTTP/1.1 connections kept for later, for each endpoint and worker.
    pub max_idle: usize,
    /// A connection unused for so long is closed; zero for no limit.
    pub idle_timeout: Duration,
    /// The PINGs of HTTP/2 while requests are on the connection.
    pub keepalive: Keepalive,
    /// TLS with the endpoints; none for plain connections.
    pub tls: Option<TlsConfig>,
}

impl ClusterConfig {
    /// Sets five seconds to connect, and 64 idle connections that are kept for a minute.
    pub fn new(name: impl Into<String>, endpoints: Vec<String>) -> Self {
        Self {
            name: name.into(),
            endpoints,
            metadata: Vec::new(),
            protocol: UpstreamProtocol::Http1,
            connect_timeout: Duration::from_secs(5),
            max_idle: 64,
            idle_timeout: Duration::from_secs(60),
            keepalive: Keepalive::default(),
            tls: None,
        }
    }
}
