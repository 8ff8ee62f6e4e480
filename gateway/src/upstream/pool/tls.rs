//! TLS with the endpoints of a cluster, as one worker uses it.

use std::io;

use http::Request;
use http::header::HOST;
use http::uri::Authority;
use rustls::ProtocolVersion;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::config::{TlsConfig, UpstreamProtocol};
use super::tls_fault::TlsFault;
use crate::config::ServerNames;

/// TLS with the endpoints of a cluster.
pub(super) struct Tls {
    for_requests: TlsConnector,
    for_streams: TlsConnector,
    names: Names,
    has_identity: bool,
}

/// The name of a server.
enum Names {
    Endpoint,
    Request,
    /// The configuration has no other than what can be parsed.
    Fixed(Option<ServerName<'static>>),
}

/// The use of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Requests,
    Streams,
}

/// The peer of a connection with TLS.
#[derive(Debug)]
pub struct PeerTls {
    version: &'static str,
    certificate: Option<CertificateDer<'static>>,
}

impl Tls {
    pub(super) fn new(config: &TlsConfig, protocol: UpstreamProtocol) -> Self {
        let offered: &[&[u8]] = match protocol {
            UpstreamProtocol::Http1 => &[b"http/1.1"],
            UpstreamProtocol::Http2 => &[b"h2"],
            UpstreamProtocol::Auto => &[b"h2", b"http/1.1"],
        };
        let offered = offered.iter().map(|name| name.to_vec()).collect();
        let of_streams = config.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let names = match &config.server_name {
            ServerNames::Endpoint => Names::Endpoint,
            ServerNames::Request => Names::Request,
            ServerNames::Fixed(name) => Names::Fixed(parse(name)),
        };
        Self {
            for_requests: config.files.offering(offered).into(),
            for_streams: config.files.offering(of_streams).into(),
            names,
            has_identity: config.files.has_identity(),
        }
    }

    /// Returns the one name of an endpoint, `host:port`; none if each request has another.
    pub(super) fn name_of(&self, endpoint: &str) -> Option<ServerName<'static>> {
        match &self.names {
            Names::Fixed(name) => name.clone(),
            Names::Endpoint => {
                let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
                parse(without_brackets(host))
            }
            Names::Request => None,
        }
    }

    /// Returns whether each request says the name.
    pub(super) fn names_by_request(&self) -> bool {
        matches!(self.names, Names::Request)
    }

    /// Returns whether servers that ask for a certificate get one.
    pub(super) fn has_identity(&self) -> bool {
        self.has_identity
    }

    /// Performs the client's side of the handshake.
    ///
    /// # Errors
    /// The fault of the server or the connection.
    pub(super) async fn connect(
        &self,
        tcp: TcpStream,
        name: ServerName<'static>,
        to_use: Use,
    ) -> Result<TlsStream<TcpStream>, TlsFault> {
        let connector = match to_use {
            Use::Requests => &self.for_requests,
            Use::Streams => &self.for_streams,
        };
        let handshake = connector.connect(name, tcp).await;
        handshake.map_err(|error: io::Error| TlsFault::of_handshake(&error, self.has_identity))
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl PeerTls {
    pub(super) fn of(stream: &TlsStream<TcpStream>) -> Self {
        let session = stream.get_ref().1;
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "unknown",
        };
        let certificate = session.peer_certificates().and_then(|chain| chain.first()).cloned();
        Self { version, certificate: certificate.map(CertificateDer::into_owned) }
    }

    /// Returns the version as Envoy writes it: `TLSv1.2` or `TLSv1.3`.
    pub fn version(&self) -> &'static str {
        self.version
    }

    /// Returns the server's own certificate.
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.certificate.as_ref()
    }
}

/// Returns the name of the host that a request is for.
pub(super) fn host_of<B>(request: &Request<B>) -> Option<ServerName<'static>> {
    let of_field = || Authority::try_from(request.headers().get(HOST)?.as_bytes()).ok();
    let authority = request.uri().authority().cloned().or_else(of_field)?;
    parse(without_brackets(authority.host()))
}

fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn parse(name: &str) -> Option<ServerName<'static>> {
    // A name may end with the root's dot, which certificates do not have.
    let name = name.strip_suffix('.').unwrap_or(name);
    ServerName::try_from(name.to_ascii_lowercase()).ok()
}

/// Returns true if an endpoint's address, `host:port`, has a host that certificates can have.
pub(crate) fn can_be_named(endpoint: &str) -> bool {
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    parse(without_brackets(host)).is_some()
}
