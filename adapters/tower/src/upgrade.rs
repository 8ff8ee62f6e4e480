//! Tunnels: upgrades of HTTP/1.1 and CONNECT.
//!
//! | a request | plugins see | the inner service gets |
//! |---|---|---|
//! | that asks for an upgrade | its head with `upgrade`, without `connection` | the head as plugins left it, with both fields if they left `upgrade` as it was |
//! | CONNECT | its head, with the path `/` where it has none | the head, its target in the client's form |
//!
//! | an answer | plugins see | the client gets |
//! |---|---|---|
//! | 101 to a request that asked for an upgrade | its head, without `connection` and `upgrade` | the head as plugins left it, with these two fields if its status is still 101 |
//! | 2xx to CONNECT | its head | the head as plugins left it |
//! | any other 101, and one to a form of HTTP | 502 in its place | that response as plugins left it |
//! | any other | all of it | as any other response |
//!
//! The bytes of a tunnel pass by the plugins: the stream ends with the head of the answer. An upgrade to another form of HTTP (`h2c`, TLS)
//! would let requests pass by that plugins are there for, so neither plugins nor services are told that a client asks for one; nobody
//! has to grant it (RFC 9110, section 7.8).
//!
//! differs: Envoy shows `connection: upgrade` as well, and lets plugins make a request ask for an upgrade.

use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use http::{Method, Response, StatusCode, Version, request, response};
use portcullis_core::model::Headers;

/// The field `upgrade` of a message, if the message may switch protocols.
#[derive(Debug, Default)]
pub(crate) struct Upgrade(Option<HeaderValue>);

impl Upgrade {
    /// Takes from a request's head what the client asks for.
    pub(crate) fn take(parts: &mut request::Parts) -> Self {
        let Some(protocols) = parts.headers.remove(UPGRADE) else { return Self(None) };
        let is_upgrade = |token: &[u8]| token.trim_ascii().eq_ignore_ascii_case(b"upgrade");
        let mut lines = parts.headers.get_all(CONNECTION).iter();
        let asks = parts.version == Version::HTTP_11
            && lines.any(|line| line.as_bytes().split(|byte| *byte == b',').any(is_upgrade));
        if name_http(&protocols) {
            // It goes with `h2c`, and means nothing without.
            parts.headers.remove("http2-settings");
            return Self(None);
        }
        Self(Some(protocols).filter(|_| asks))
    }

    pub(crate) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Shows plugins what the client asks for.
    pub(crate) fn show(&self, headers: &mut HeaderMap) {
        if let Some(protocols) = &self.0 {
            headers.insert(UPGRADE, protocols.clone());
        }
    }

    /// Keeps what the client asks for if plugins have left it as it was.
    pub(crate) fn left_in(self, headers: &Headers) -> Self {
        Self(self.0.filter(|protocols| headers.get(b"upgrade") == Some(protocols.as_bytes())))
    }

    /// Reads what an answer switches to.
    pub(crate) fn of_answer(parts: &response::Parts) -> Self {
        Self(parts.headers.get(UPGRADE).filter(|_| parts.status == StatusCode::SWITCHING_PROTOCOLS).cloned())
    }

    /// Puts the fields back.
    pub(crate) fn restore(self, headers: &mut HeaderMap) {
        if let Some(protocol) = self.0 {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, protocol);
        }
    }
}

/// Returns true if HTTP is spoken after a switch to one of these protocols.
fn name_http(protocols: &HeaderValue) -> bool {
    let speaks_http = |name: &[u8]| {
        let is_named =
            |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()));
        ["h2", "http", "tls"].into_iter().any(is_named)
    };
    protocols.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).any(speaks_http)
}

/// Returns false for an answer that switches protocols without being asked: the client would go on with HTTP, and plugins would not
/// see what follows. `asks` says that the request asked for an upgrade.
pub(crate) fn may_answer<B>(asks: bool, answer: &Response<B>) -> bool {
    answer.status() != StatusCode::SWITCHING_PROTOCOLS
        || asks && !answer.headers().get_all(UPGRADE).iter().any(name_http)
}

/// Returns true if a tunnel follows the head of an answer.
pub(crate) fn is_tunnel(method: &Method, status: StatusCode) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS || (*method == Method::CONNECT && status.is_success())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn an_upgrade_is_asked_for_by_both_fields_and_over_http1_1_alone() {
        for (version, connection, upgrade, expected) in [
            (Version::HTTP_11, "keep-alive, Upgrade", "websocket", true),
            (Version::HTTP_11, "upgrade", "", false),
            (Version::HTTP_11, "keep-alive", "websocket", false),
            (Version::HTTP_11, "x-upgrade", "websocket", false),
            (Version::HTTP_10, "upgrade", "websocket", false),
            (Version::HTTP_11, "upgrade", "h2c", false),
            (Version::HTTP_11, "upgrade, http2-settings", "H2C", false),
            (Version::HTTP_11, "upgrade", "websocket, h2c", false),
            (Version::HTTP_11, "upgrade", "TLS/1.2", false),
            (Version::HTTP_11, "upgrade", "HTTP/2.0", false),
            (Version::HTTP_11, "upgrade", "h", true),
        ] {
            let mut request = Request::get("/").version(version).header(CONNECTION, connection);
            if !upgrade.is_empty() {
                request = request.header(UPGRADE, upgrade);
            }
            let request = request.header("http2-settings", "AAMAAABk");
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            let mut headers = HeaderMap::new();
            Upgrade::take(&mut parts).restore(&mut headers);
            assert!(!parts.headers.contains_key(UPGRADE));
            if upgrade.to_ascii_lowercase().contains("h2c") {
                assert!(!parts.headers.contains_key("http2-settings"));
            }
            assert_eq!(headers.get(UPGRADE).is_some(), expected, "{version:?} {connection} {upgrade}");
            assert_eq!(headers.get(CONNECTION).is_some(), expected);
        }
    }
}
