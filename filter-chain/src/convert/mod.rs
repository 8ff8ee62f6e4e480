//! Conversions between the types of the crate `http` and the header maps that plugins see, where `:method` and its like
//! are ordinary entries.
//!
//! | a message | to plugins | from plugins |
//! |---|---|---|
//! | request | [`canonical()`], [`strip_hop_by_hop`], [`request_headers`] | [`unchanged::request`], or [`to_request`] |
//! | response | [`strip_hop_by_hop`], [`response_headers`] | [`unchanged::response`], or [`to_response`] |
//! | trailers | [`trailers`] | [`to_trailers`] |
//!
//! ```
//! use portcullis_chain::convert;
//!
//! let request = http::Request::get("/hello").header("host", "example.com").header("connection", "close").body(())?;
//! let (mut parts, ()) = request.into_parts();
//! convert::canonical(&mut parts, ([127, 0, 0, 1], 80).into())?;
//! convert::strip_hop_by_hop(&mut parts.headers);
//! let mut headers = convert::request_headers(&parts, false);
//! assert_eq!(headers.get_str(":authority"), Some("example.com"));
//! assert_eq!(headers.get_str("connection"), None);
//!
//! // A plugin adds a field, so the head need not be made anew.
//! headers.add(b"x-plugin", b"tagger");
//! let sent = convert::unchanged::request(&headers, parts, false).map_or_else(|| convert::to_request(&headers), Ok)?;
//! assert_eq!(sent.headers["x-plugin"], "tagger");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod canonical;
mod expect;
mod hop_by_hop;
pub mod unchanged;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri, request, response};
use portcullis_core::model::Headers;

pub use self::canonical::{Refusal, canonical, canonical_connect, has_plain_path, is_authority};
pub use self::expect::take_expectation;
use self::hop_by_hop::has_strippable_trailers;
pub use self::hop_by_hop::{strip_hop_by_hop, strip_trailers};

/// The number of fields for which there is room from the beginning; no guest leaves more.
const MOST_AT_ONCE: usize = 1024;

/// A plugin left something in a header map that HTTP cannot carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// A header's name or value.
    #[error("a plugin made the header {0:?} invalid")]
    Header(String),
    /// A pseudo-header that is missing or wrong.
    #[error("a plugin made {0} invalid")]
    Pseudo(&'static str),
    /// A status that ends no response: 1xx, or none that a client knows.
    #[error("a plugin made the status {0}: one from 200 to 599 can be sent")]
    Status(StatusCode),
}

/// Returns a request's head as plugins see it. `secure` says whether the client used TLS.
#[inline]
pub fn request_headers(parts: &request::Parts, secure: bool) -> Headers {
    let mut headers = with_room(&parts.headers);
    for (name, value) in request_pseudo(parts, secure) {
        headers.add(name, value);
    }
    // `:authority` stands for it.
    add_fields(&mut headers, parts.headers.iter().filter(|(name, _)| *name != http::header::HOST));
    headers
}

/// Returns a response's head as plugins see it.
pub fn response_headers(parts: &response::Parts) -> Headers {
    let mut headers = with_room(&parts.headers);
    headers.add(b":status", parts.status.as_str().as_bytes());
    add_fields(&mut headers, parts.headers.iter());
    headers
}

/// Trailers as plugins see them.
pub fn trailers(fields: &HeaderMap) -> Headers {
    if has_strippable_trailers(fields) {
        let mut fields = fields.clone();
        strip_trailers(&mut fields);
        return trailers(&fields);
    }
    let mut headers = with_room(fields);
    add_fields(&mut headers, fields.iter());
    headers
}

/// Returns a request's head as an upstream gets it, its target in absolute form.
///
/// # Errors
/// The plugin's head cannot be sent.
pub fn to_request(headers: &Headers) -> Result<request::Parts, Unsendable> {
    let required = |name: &'static str| headers.get(name.as_bytes()).ok_or(Unsendable::Pseudo(name));
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = Method::from_bytes(required(":method")?).map_err(|_| Unsendable::Pseudo(":method"))?;
    let path = required(":path")?;
    if !path.starts_with(b"/") && (path != b"*" || parts.method != Method::OPTIONS) {
        return Err(Unsendable::Pseudo(":path"));
    }
    let authority = headers.get(b":authority").or_else(|| headers.get(b"host")).unwrap_or_default();
    if !is_authority(authority) {
        return Err(Unsendable::Pseudo(":authority"));
    }
    let uri = Uri::builder().path_and_query(path).authority(authority);
    let uri = uri.scheme(required(":scheme").unwrap_or(b"http")).build();
    parts.uri = uri.map_err(|_| Unsendable::Pseudo(":path, :scheme or :authority"))?;
    parts.headers = fields(headers)?;
    parts.headers.remove(http::header::HOST);
    strip_hop_by_hop(&mut parts.headers);
    Ok(parts)
}

/// Returns a response's head as a client gets it. `original` is the status of the upstream's response, if it is one.
///
/// # Errors
/// The plugin's head cannot be sent.
pub fn to_response(headers: &Headers, original: Option<StatusCode>) -> Result<(StatusCode, HeaderMap), Unsendable> {
    let status = headers.get(b":status").and_then(|status| StatusCode::from_bytes(status).ok());
    let status = status.ok_or(Unsendable::Pseudo(":status"))?;
    // 600 to 999 are an upstream's own affair, as in Envoy.
    if !(200..=599).contains(&status.as_u16()) && original != Some(status) {
        return Err(Unsendable::Status(status));
    }
    let mut fields = fields(headers)?;
    strip_hop_by_hop(&mut fields);
    Ok((status, fields))
}

/// Trailers as they are sent.
///
/// # Errors
/// The plugin's trailers cannot be sent.
pub fn to_trailers(headers: &Headers) -> Result<HeaderMap, Unsendable> {
    let mut fields = fields(headers)?;
    strip_trailers(&mut fields);
    Ok(fields)
}

/// Returns the fields of a map that are not pseudo-headers.
///
/// # Errors
/// A plugin made one that cannot be sent.
pub fn fields(headers: &Headers) -> Result<HeaderMap, Unsendable> {
    // More than a map can hold must not be asked for at once: that panics, where adding them one by one fails.
    let mut fields = HeaderMap::with_capacity(headers.len().min(MOST_AT_ONCE));
    for (name, value) in headers.iter().filter(|(name, _)| !name.starts_with(b":")) {
        let bad = || Unsendable::Header(String::from_utf8_lossy(name).into_owned());
        let name = HeaderName::from_bytes(name).map_err(|_| bad())?;
        let value = HeaderValue::from_bytes(value).map_err(|_| bad())?;
        fields.try_append(name, value).map_err(|_| bad())?;
    }
    Ok(fields)
}

/// Returns the pseudo-headers of a request, in their order.
#[inline]
fn request_pseudo(parts: &request::Parts, secure: bool) -> [(&[u8], &[u8]); 4] {
    let uri = &parts.uri;
    let host = || parts.headers.get(http::header::HOST).map(HeaderValue::as_bytes);
    let authority = uri.authority().map(|authority| authority.as_str().as_bytes()).or_else(host).unwrap_or_default();
    [
        (b":authority", authority),
        (b":path", uri.path_and_query().map_or("/", |path| path.as_str()).as_bytes()),
        (b":method", parts.method.as_str().as_bytes()),
        (b":scheme", if secure { b"https" } else { b"http" }),
    ]
}

fn with_room(fields: &HeaderMap) -> Headers {
    let bytes: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    Headers::with_capacity(fields.len() + 4, bytes + 96)
}

fn add_fields<'a>(headers: &mut Headers, fields: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>) {
    for (name, value) in fields {
        headers.add(name.as_str().as_bytes(), value.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_comes_back_as_it_went() {
        let request = http::Request::post("http://a.example/x?y").header("x-one", "1").header("x-one", "2").body(());
        let (parts, ()) = request.unwrap_or_default().into_parts();
        let headers = request_headers(&parts, false);
        assert_eq!(headers.get_str(":authority"), Some("a.example"));
        let back = to_request(&headers);
        assert!(
            back.is_ok_and(|back| back.uri == parts.uri
                && back.method == parts.method
                && back.headers == parts.headers)
        );
    }

    #[test]
    fn what_http_cannot_carry_is_named() {
        let headers: Headers = [(":status", "200"), ("x-bad", "a\r\nb")].into_iter().collect();
        let error = to_response(&headers, None).map(drop).map_err(|error| error.to_string());
        assert_eq!(error, Err("a plugin made the header \"x-bad\" invalid".to_owned()));
        let headers: Headers = [(":status", "abc")].into_iter().collect();
        assert_eq!(to_response(&headers, None).map(drop), Err(Unsendable::Pseudo(":status")));
        let headers: Headers = [(":status", "103")].into_iter().collect();
        assert_eq!(to_response(&headers, None).map(drop), Err(Unsendable::Status(StatusCode::EARLY_HINTS)));
        let headers: Headers = [(":status", "700")].into_iter().collect();
        assert!(to_response(&headers, None).is_err());
        assert!(to_response(&headers, StatusCode::from_u16(700).ok()).is_ok(), "the upstream's own");
        let headers: Headers =
            [(":method", "GET"), (":path", "/ x"), (":authority", "a"), (":scheme", "http")].into_iter().collect();
        assert_eq!(to_request(&headers).map(drop), Err(Unsendable::Pseudo(":path, :scheme or :authority")));
    }
}
