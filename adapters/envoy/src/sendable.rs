//! Headers that may be given to Envoy.
//!
//! Envoy takes bytes from a module as they are, and its codec for HTTP/1 writes them so: a line break in a value, or a space in a path,
//! would be another message for whoever reads it. Plugins may leave any bytes.

use http::header::{HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode};
use portcullis::chain::convert;

/// Returns whether a header can be sent as one header, or as the pseudo-header that it is.
pub(crate) fn is_sendable(name: &[u8], value: &[u8]) -> bool {
    let is_word = |value: &[u8]| !value.is_empty() && value.iter().all(u8::is_ascii_alphanumeric);
    match name {
        b":method" => Method::from_bytes(value).is_ok(),
        // The first is that of CONNECT without a path, the second that of OPTIONS.
        b":path" => {
            value.is_empty() || value == b"*" || value.starts_with(b"/") && PathAndQuery::try_from(value).is_ok()
        }
        b":authority" => convert::is_authority(value),
        b":scheme" => is_word(value),
        b":protocol" => HeaderName::from_bytes(value).is_ok(),
        // Others end no response, or none that a client knows.
        b":status" => StatusCode::from_bytes(value).is_ok_and(|status| (200..=599).contains(&status.as_u16())),
        _ => HeaderName::from_bytes(name).is_ok() && HeaderValue::from_bytes(value).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_another_message_is_not_sendable() {
        for (name, value, expected) in [
            ("x-a", "b c\td \u{fc}", true),
            ("x-a", "", true),
            ("x-a", "b\r\nx-c: d", false),
            ("x-a", "b\nc", false),
            ("x-a", "b\0c", false),
            ("x-a\r\nx-b", "c", false),
            ("x a", "b", false),
            ("", "b", false),
            (":path", "/a?b=c%20d", true),
            (":path", "*", true),
            (":path", "/a HTTP/1.1\r\nx: y", false),
            (":path", "/a b", false),
            (":path", "a", false),
            (":method", "GET", true),
            (":method", "GET /x", false),
            (":authority", "a.example:8080", true),
            (":authority", "a\r\n", false),
            (":scheme", "https", true),
            (":scheme", "a b", false),
            (":status", "200", true),
            (":status", "2 0", false),
            (":status", "101", false),
            (":other", "x", false),
        ] {
            assert_eq!(is_sendable(name.as_bytes(), value.as_bytes()), expected, "{name:?} {value:?}");
        }
    }
}
