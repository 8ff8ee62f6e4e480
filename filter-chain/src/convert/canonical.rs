//! The canonical form of a request: parts that two readers could read in two ways are brought to one form, or refused, before
//! routes, rules, plugins and logs see the request.

use std::net::{Ipv6Addr, SocketAddr};

use http::header::{COOKIE, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Method, StatusCode, Version, request};

/// The refusal of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The client gets a response with this status.
    #[error("{1}")]
    Answer(StatusCode, &'static str),
    /// The HTTP/2 stream is reset with PROTOCOL_ERROR (RFC 9113, section 8.1.1).
    #[error("{0}")]
    Malformed(&'static str),
}

/// Makes a request's head canonical. Afterwards it has one valid host, in its target or as its one `host` field, a path
/// that begins with a slash (or is `*`, for OPTIONS), and at most one `cookie` field.
///
/// `local` is the address that the client connected to: the host of an HTTP/1.0 request that names none (RFC 9112,
/// section 3.3).
///
/// # Errors
/// The request is malformed, or of a kind that is not forwarded.
pub fn canonical(parts: &mut request::Parts, local: SocketAddr) -> Result<(), Refusal> {
    let is_named = canonical_fields(parts)?;
    if parts.version == Version::HTTP_2 {
        return canonical_h2(parts, is_named);
    }
    if !is_named && parts.version != Version::HTTP_10 {
        return Err(bad("the request has no host: send one Host field"));
    }
    check_method(&parts.method)?;
    match (parts.uri.scheme(), parts.uri.authority()) {
        (Some(_), Some(_)) => {
            parts.uri = absolute(&parts.uri)?;
            // The target wins (RFC 9112, section 3.2.2).
            parts.headers.remove(HOST);
            return Ok(());
        }
        (None, None) if has_plain_path(parts) => {}
        _ => return Err(bad("the request target is neither a path nor an http URL")),
    }
    if !is_named {
        // Without the zone that a link-local address has, which is nobody else's.
        let local = SocketAddr::new(local.ip(), local.port()).to_string();
        let value = HeaderValue::from_str(&local).map_err(|_| bad("the request has no host"))?;
        parts.headers.insert(HOST, value);
    }
    Ok(())
}

/// Makes the head of a CONNECT canonical, for a proxy that lets it pass; [`canonical`] refuses it. Afterwards its target is one
/// valid host or, of an extended CONNECT (RFC 8441), a whole http URL, and it has no `host` field and at most one `cookie` field.
///
/// # Errors
/// The request is malformed, or of a kind that is not forwarded.
pub fn canonical_connect(parts: &mut request::Parts) -> Result<(), Refusal> {
    canonical_fields(parts)?;
    if !parts.uri.authority().is_some_and(|authority| is_authority(authority.as_str().as_bytes())) {
        return Err(bad("the request target of CONNECT is not a host"));
    }
    match parts.uri.scheme() {
        None if parts.uri.path_and_query().is_none() => {}
        Some(_) if parts.version == Version::HTTP_2 || parts.version == Version::HTTP_3 => check_target(parts)?,
        _ => return Err(bad("the request target of CONNECT is not a host")),
    }
    // The target wins (RFC 9112, section 3.2.2).
    parts.headers.remove(HOST);
    Ok(())
}

/// Makes the fields of any request canonical. Returns true if a `host` field names a host.
fn canonical_fields(parts: &mut request::Parts) -> Result<bool, Refusal> {
    let seen = Seen::find(&parts.headers);
    let host = seen.one_host()?;
    if parts.version == Version::HTTP_2 {
        check_authority(&parts.uri, host)?;
    } else if seen.is_coded {
        check_codings(&parts.headers)?;
    }
    let is_named = host.is_some_and(|host| !host.is_empty());
    if seen.cookies > 1 {
        join_cookies(&mut parts.headers);
    }
    Ok(is_named)
}

/// Returns true if `text` is a host, with a port or without, that every reader understands alike: a name, an IPv4
/// address or a bracketed IPv6 address.
///
/// differs: RFC 3986 allows percent-encoding and commas in names. No name of a host needs them; the former has two
/// spellings, and the latter is how some proxies join two `host` fields.
pub fn is_authority(text: &[u8]) -> bool {
    if let Some(rest) = text.strip_prefix(b"[") {
        let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
        let (address, after) = rest.split_at(end);
        let is_address = std::str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok());
        let after = after.strip_prefix(b"]").unwrap_or_default();
        return is_address && (after.is_empty() || after.strip_prefix(b":").is_some_and(is_port));
    }
    let mut parts = text.splitn(2, |byte| *byte == b':');
    parts.next().is_some_and(is_name) && parts.next().is_none_or(is_port)
}

fn is_name(name: &[u8]) -> bool {
    /// A table, because the host of every request is checked.
    const NAME: [bool; 256] = alphanumeric_or(b"-._~!$&'()*+;=");
    !name.is_empty() && name.iter().all(|byte| NAME[usize::from(*byte)])
}

/// Returns true at each letter, digit and byte of `others`, all of which are ASCII.
pub(super) const fn alphanumeric_or(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut rest = others;
    while let [byte, after @ ..] = rest {
        table[*byte as usize] = true;
        rest = after;
    }
    table
}

pub(super) fn is_port(port: &[u8]) -> bool {
    let number = |port: &[u8]| port.iter().fold(0_u32, |number, digit| number * 10 + u32::from(digit - b'0'));
    port.len() <= 5 && port.iter().all(u8::is_ascii_digit) && number(port) <= 65_535
}

/// The fields that [`canonical`] looks at, found in one pass: most requests have one of them.
#[derive(Default)]
struct Seen<'a> {
    host: Option<&'a [u8]>,
    hosts: usize,
    cookies: usize,
    is_coded: bool,
}

impl<'a> Seen<'a> {
    fn find(headers: &'a HeaderMap) -> Self {
        let mut seen = Self::default();
        for (name, value) in headers {
            if *name == HOST {
                seen.host = Some(value.as_bytes());
                seen.hosts += 1;
            } else if *name == COOKIE {
                seen.cookies += 1;
            } else {
                seen.is_coded |= *name == TRANSFER_ENCODING;
            }
        }
        seen
    }

    /// Returns the `host` field, if there is one.
    fn one_host(&self) -> Result<Option<&'a [u8]>, Refusal> {
        match self.host {
            _ if self.hosts > 1 => Err(bad("the request has more than one Host field")),
            Some(host) if !host.is_empty() && !is_authority(host) => Err(bad("the request has a malformed Host field")),
            host => Ok(host),
        }
    }
}

/// Checks that an HTTP/2 request has one host, said once or twice alike.
fn check_authority(target: &Uri, host: Option<&[u8]>) -> Result<(), Refusal> {
    let authority = target.authority().map(|authority| authority.as_str().as_bytes());
    match (authority, host) {
        (None, None | Some([])) => Err(bad("the request has no host: send :authority")),
        (Some(authority), _) if !is_authority(authority) => {
            Err(Refusal::Malformed("the request has a malformed :authority"))
        }
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            Err(bad(":authority and host of the request differ"))
        }
        _ => Ok(()),
    }
}

fn canonical_h2(parts: &mut request::Parts, has_host: bool) -> Result<(), Refusal> {
    if has_host && parts.uri.authority().is_some() {
        parts.headers.remove(HOST);
    }
    check_method(&parts.method)?;
    check_target(parts)
}

/// Checks the scheme and the path of an HTTP/2 request.
fn check_target(parts: &request::Parts) -> Result<(), Refusal> {
    if parts.uri.scheme().is_some_and(|scheme| !is_http(scheme)) {
        return Err(bad("the request's scheme is neither http nor https"));
    }
    if !has_plain_path(parts) {
        return Err(Refusal::Malformed("the request has a malformed :path"));
    }
    Ok(())
}

/// Joins the lines of `cookie` (RFC 9113, section 8.2.3): a reader that looks at the first alone would miss the others.
///
/// differs: Envoy leaves the lines of an HTTP/1 request apart. No client may send more than one (RFC 6265, section
/// 5.4), and servers join them the same way.
fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let joined = lines.join(&b"; "[..]);
    // Each is a valid value, and so are they together.
    if let Ok(joined) = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)) {
        headers.insert(COOKIE, joined);
    }
}

/// Checks that the body is chunked and nothing else. hyper has refused what does not end with `chunked`, and removes
/// that coding alone: another would be forwarded without its name.
fn check_codings(headers: &HeaderMap) -> Result<(), Refusal> {
    let values = headers.get_all(TRANSFER_ENCODING);
    let codings = values.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let mut codings = codings.map(<[u8]>::trim_ascii).filter(|coding| !coding.is_empty());
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if is_chunked(only) => Ok(()),
        (Some(first), _) if is_chunked(first) => Err(bad("the request's body is chunked twice")),
        _ => Err(Refusal::Answer(StatusCode::NOT_IMPLEMENTED, "no transfer coding but chunked is supported")),
    }
}

fn check_method(method: &Method) -> Result<(), Refusal> {
    match *method {
        Method::CONNECT => Err(Refusal::Answer(StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not supported")),
        // It would show an upstream's view of the request, credentials included, to a script of the client.
        Method::TRACE => Err(Refusal::Answer(StatusCode::METHOD_NOT_ALLOWED, "TRACE is not supported")),
        _ => Ok(()),
    }
}

/// Returns the target without user information and with a path.
fn absolute(target: &Uri) -> Result<Uri, Refusal> {
    if !target.scheme().is_some_and(is_http) {
        return Err(bad("the scheme of the request target is neither http nor https"));
    }
    let unreadable = || bad("the request target is malformed");
    let mut parts = target.clone().into_parts();
    let authority = parts.authority.as_ref().map_or("", Authority::as_str);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if !is_authority(host.as_bytes()) {
        return Err(bad("the request target has a malformed host"));
    }
    if host.len() != authority.len() {
        parts.authority = Some(host.parse().map_err(|_| unreadable())?);
    }
    match parts.path_and_query.as_ref().map(PathAndQuery::as_str) {
        Some(query) if query.starts_with('?') => {
            parts.path_and_query = Some(format!("/{query}").parse().map_err(|_| unreadable())?);
        }
        // What is empty is shown as a slash, and sent as nothing.
        Some("/") | None => parts.path_and_query = Some(PathAndQuery::from_static("/")),
        Some(path) if path.starts_with('/') => {}
        Some(_) => return Err(unreadable()),
    }
    Uri::from_parts(parts).map_err(|_| unreadable())
}

/// Returns true if the target has a path that begins with a slash, or is `*` for OPTIONS.
pub fn has_plain_path(parts: &request::Parts) -> bool {
    let path = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
    path.starts_with('/') || path == "*" && parts.method == Method::OPTIONS
}

fn is_http(scheme: &Scheme) -> bool {
    *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS
}

const fn bad(why: &'static str) -> Refusal {
    Refusal::Answer(StatusCode::BAD_REQUEST, why)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_connect_is_made_canonical_as_any_request() {
        let (h1, h2) = (Version::HTTP_11, Version::HTTP_2);
        for (target, version, fields, expected) in [
            ("a:443", h1, &[("host", "b")][..], Ok(())),
            ("a:443", h2, &[("cookie", "a=1"), ("cookie", "b=2")], Ok(())),
            ("https://a/chat", h2, &[("host", "a")], Ok(())),
            ("https://a/chat", h1, &[], Err(400)),
            ("/chat", h1, &[("host", "a")], Err(400)),
            ("u@a:443", h1, &[], Err(400)),
            ("a:443", h1, &[("host", "a"), ("host", "b")], Err(400)),
            ("a:443", h1, &[("transfer-encoding", "gzip, chunked")], Err(501)),
            ("a:443", h2, &[("host", "b")], Err(400)),
            ("ftp://a/chat", h2, &[], Err(400)),
            ("https://a?chat", h2, &[], Err(400)),
        ] {
            let mut request = http::Request::connect(target).version(version);
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            let refused = canonical_connect(&mut parts).map_err(|refusal| match refusal {
                Refusal::Answer(status, _) => status.as_u16(),
                Refusal::Malformed(_) => 400,
            });
            assert_eq!(refused, expected, "{target} {fields:?}");
            if expected.is_ok() {
                assert!(!parts.headers.contains_key(HOST) && parts.headers.get_all(COOKIE).iter().count() < 2);
            }
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_a_port_or_without() {
        for host in ["a", "a.b-c_d.", "A:80", "a:", "127.0.0.1:65535", "[::1]", "[2001:db8::1]:443", "xn--a", "1"] {
            assert!(is_authority(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            ":80",
            "a b",
            "a/b",
            "u@a",
            "a:b",
            "a:80:80",
            "a:65536",
            "a:-1",
            "a::1",
            "[",
            "[]",
            "[::1",
            "[::1]a",
            "[a]",
            "]",
            "a,b",
            "a%20",
            "\u{e9}",
            "a?b",
            "a#b",
            "a\\b",
            "[fe80::1%25eth0]",
        ] {
            assert!(!is_authority(host.as_bytes()), "{host}");
        }
    }
}
