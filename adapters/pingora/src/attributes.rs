//! Properties that plugins ask for: of the request's connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use http::{Version, request};
use pingora_core::protocols::l4::socket;
use pingora_core::protocols::tls::SslDigest;
use pingora_proxy::Session;
use portcullis_core::model::{Attributes, StreamInfo};

/// Describes a request.
pub(crate) fn describe(session: &Session, parts: &request::Parts) -> StreamInfo {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let digest = session.digest();
    let connection = digest.and_then(|digest| digest.socket_digest.as_ref());
    let tls = digest.and_then(|digest| digest.ssl_digest.clone());
    StreamInfo {
        id: LAST.fetch_add(1, Ordering::Relaxed) + 1,
        connection_id: connection.and_then(|socket| socket.socket_cookie().ok()).unwrap_or_default(),
        source: session.client_addr().and_then(inet),
        destination: session.server_addr().and_then(inet),
        attributes: tls.map(|tls| Arc::new(Tls(tls)) as Arc<dyn Attributes>),
        protocol: protocol(parts.version),
        start_time: now(),
        ..StreamInfo::default()
    }
}

/// Returns an address, unless it is that of a Unix socket.
pub(crate) fn inet(address: &socket::SocketAddr) -> Option<SocketAddr> {
    address.as_inet().copied()
}

/// Returns the time in nanoseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

/// TLS of the client's connection.
#[derive(Debug)]
struct Tls(Arc<SslDigest>);

impl Attributes for Tls {
    /// Knows the version, and the client's certificate by its digest. The name that the client has asked for is not in Pingora's
    /// [`SslDigest`].
    fn get(&self, path: &[u8], out: &mut Vec<u8>) -> bool {
        let has_certificate = !self.0.cert_digest.is_empty();
        match path {
            b"connection\0tls_version" => out.extend_from_slice(self.0.version.as_bytes()),
            b"connection\0mtls" => out.push(u8::from(has_certificate)),
            b"connection\0sha256_peer_certificate_digest" if has_certificate => {
                for byte in &self.0.cert_digest {
                    out.extend_from_slice(format!("{byte:02x}").as_bytes());
                }
            }
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(digest: Vec<u8>, path: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let tls = Tls(Arc::new(SslDigest::new("AES", "TLSv1.3", None, None, digest)));
        tls.get(path, &mut out).then_some(out)
    }

    #[test]
    fn a_connection_tells_its_version_and_its_certificate() {
        assert_eq!(get(Vec::new(), b"connection\0tls_version"), Some(b"TLSv1.3".to_vec()));
        assert_eq!(get(Vec::new(), b"connection\0mtls"), Some(vec![0]));
        assert_eq!(get(Vec::new(), b"connection\0sha256_peer_certificate_digest"), None);
        assert_eq!(get(vec![10, 255], b"connection\0sha256_peer_certificate_digest"), Some(b"0aff".to_vec()));
        assert_eq!(get(vec![1], b"connection\0requested_server_name"), None);
    }
}
