//! Tunnels: upgrades of HTTP/1.1 and CONNECT.
//!
//! | a request | plugins see | the inner service gets |
//! |---|---|---|
//! | that asks for an upgrade | its head, without `connection` and `upgrade` | the head as plugins left it, with these two fields |
//! | CONNECT | its head, with the path `/` where it has none | the head, its target in the client's form |
//!
//! | an answer | plugins see | the client gets |
//! |---|---|---|
//! | 101 | its head, without `connection` and `upgrade` | the head as plugins left it, with these two fields if its status is still 101 |
//! | 2xx to CONNECT | its head | the head as plugins left it |
//! | any other | all of it | as any other response |
//!
//! The bytes of a tunnel pass by the plugins: the stream ends with the head of the answer. An upgrade to another form of HTTP (`h2c`, TLS)
//! would let requests pass by that plugins are there for, so no service is told that a client asks for one; nobody has to grant it (RFC
//! 9110, section 7.8).

use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use http::{Method, StatusCode, Version, request, response};

/// The field `upgrade` of a message, if the message may switch protocols.
#[derive(Debug, Default)]
pub(crate) struct Upgrade(Option<HeaderValue>);

impl Upgrade {
    /// Reads what a client asks for.
    pub(crate) fn of_request(parts: &request::Parts) -> Self {
        let is_upgrade = |token: &[u8]| token.trim_ascii().eq_ignore_ascii_case(b"upgrade");
        let mut lines = parts.headers.get_all(CONNECTION).iter();
        let asks = parts.version == Version::HTTP_11
            && lines.any(|line| line.as_bytes().split(|byte| *byte == b',').any(is_upgrade));
        Self(parts.headers.get(UPGRADE).filter(|protocols| asks && !name_http(protocols)).cloned())
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
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let mut headers = HeaderMap::new();
            Upgrade::of_request(&parts).restore(&mut headers);
            assert_eq!(headers.get(UPGRADE).is_some(), expected, "{version:?} {connection} {upgrade}");
            assert_eq!(headers.get(CONNECTION).is_some(), expected);
        }
    }
}
