//! Properties of a client's connection that plugins ask for: all streams of the connection have them from one place.

use std::sync::Arc;

use portcullis::model::Attributes;

use crate::net::io::TlsInfo;

/// Returns the properties of a connection with TLS.
pub(super) fn of(tls: &Arc<TlsInfo>) -> Arc<dyn Attributes> {
    Arc::clone(tls) as Arc<dyn Attributes>
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
