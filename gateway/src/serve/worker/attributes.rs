//! Properties of the connections of a stream, with client and upstream, that plugins ask for.

use std::fmt::Write;
use std::sync::Arc;

use portcullis::model::Attributes;
use sha2::{Digest, Sha256};
use webpki::EndEntityCert;

use crate::net::io::TlsInfo;
use crate::upstream::pool::PeerTls;

/// Returns the properties of a connection with TLS.
pub(super) fn of(tls: &Arc<TlsInfo>) -> Arc<dyn Attributes> {
    Arc::clone(tls) as Arc<dyn Attributes>
}

/// Returns the properties of a stream's connection with its client, if that has TLS, and with its upstream, if that has.
pub(super) fn with_upstream(
    client: Option<&Arc<dyn Attributes>>,
    upstream: Option<&Arc<PeerTls>>,
) -> Option<Arc<dyn Attributes>> {
    let Some(upstream) = upstream else { return client.cloned() };
    Some(Arc::new(Both { client: client.cloned(), upstream: Arc::clone(upstream) }))
}

/// The properties of both connections of a stream.
#[derive(Debug)]
struct Both {
    client: Option<Arc<dyn Attributes>>,
    upstream: Arc<PeerTls>,
}

impl Attributes for Both {
    fn get(&self, path: &[u8], out: &mut Vec<u8>) -> bool {
        match path.strip_prefix(b"upstream\0") {
            Some(name) => of_upstream(&self.upstream, name, out),
            None => self.client.as_ref().is_some_and(|client| client.get(path, out)),
        }
    }
}

/// Writes a property of the server's certificate, which is read for who asks alone. Of several names the first is told, as in Envoy.
fn of_upstream(tls: &PeerTls, name: &[u8], out: &mut Vec<u8>) -> bool {
    let certificate = || EndEntityCert::try_from(tls.certificate()?).ok();
    let value = match name {
        b"tls_version" => Some(tls.version().to_owned()),
        b"sha256_peer_certificate_digest" => tls.certificate().map(|certificate| hex(&Sha256::digest(certificate))),
        b"dns_san_peer_certificate" => certificate().and_then(|it| it.valid_dns_names().next().map(str::to_owned)),
        b"uri_san_peer_certificate" => certificate().and_then(|it| it.valid_uri_names().next().map(str::to_owned)),
        _ => None,
    };
    out.extend_from_slice(value.as_deref().unwrap_or_default().as_bytes());
    value.is_some()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

impl Attributes for TlsInfo {
    fn get(&self, path: &[u8], out: &mut Vec<u8>) -> bool {
        let value = match path {
            b"connection\0tls_version" => Some(self.version),
            b"connection\0requested_server_name" => self.sni.as_deref(),
            _ => None,
        };
        out.extend_from_slice(value.unwrap_or_default().as_bytes());
        value.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_tells_its_version_and_the_name_that_was_asked_for() {
        let get = |sni: Option<&str>, path: &[u8]| {
            let mut out = Vec::new();
            let tls = Arc::new(TlsInfo { version: "TLSv1.3", alpn: None, sni: sni.map(str::to_owned) });
            of(&tls).get(path, &mut out).then_some(out)
        };
        assert_eq!(get(None, b"connection\0tls_version"), Some(b"TLSv1.3".to_vec()));
        assert_eq!(get(Some("a.example"), b"connection\0requested_server_name"), Some(b"a.example".to_vec()));
        assert_eq!(get(None, b"connection\0requested_server_name"), None, "empty, says the core");
        assert_eq!(get(Some("a.example"), b"connection\0id"), None);
    }
}
