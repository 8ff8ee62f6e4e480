//! A message of which plugins have changed nothing, or to which they have added fields, goes on as it came: to read all
//! of it once more would be most of what passing it on costs.
//!
//! Each function answers none for what it does not know to be such a message; [`to_request`](super::to_request) and
//! [`to_response`](super::to_response) are for every other.

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Scheme};
use http::{StatusCode, Version, request, response};
use portcullis_core::model::{Entries, Headers};

use super::canonical::{alphanumeric_or, has_plain_path, is_authority, is_port};
use super::hop_by_hop::is_hop_by_hop;
use super::request_pseudo;

/// Returns a request's head as an upstream gets it: what came, and what was added. `original` has no hop-by-hop fields.
pub fn request(headers: &Headers, mut original: request::Parts, secure: bool) -> Option<request::Parts> {
    let pseudo = request_pseudo(&original, secure);
    let shown = || original.headers.iter().filter(|(name, _)| **name != HOST).map(bytes);
    let added = headers.changes(|| pseudo.into_iter().chain(shown())).appended()?;
    if !is_plain(&original, secure) {
        return None;
    }
    add(&mut original.headers, added, |name| *name != HOST)?;
    if original.uri.authority().is_some() {
        original.headers.remove(HOST);
    }
    original.extensions.clear();
    original.version = Version::default();
    Some(original)
}

/// Returns a response's head as a client gets it: what came, and what was added. `original` has no hop-by-hop fields.
pub fn response(headers: &Headers, mut original: response::Parts) -> Option<(StatusCode, HeaderMap)> {
    let status: (&[u8], &[u8]) = (b":status", original.status.as_str().as_bytes());
    let added = headers.changes(|| std::iter::once(status).chain(original.headers.iter().map(bytes))).appended()?;
    add(&mut original.headers, added, |_| true)?;
    Some((original.status, original.headers))
}

/// Adds fields to a map; `may` says which of their names may be.
fn add(original: &mut HeaderMap, added: Entries<'_>, may: impl Fn(&HeaderName) -> bool) -> Option<()> {
    for (name, value) in added {
        let name = HeaderName::from_bytes(name).ok()?;
        if !may(&name) || is_hop_by_hop(name.as_str()) {
            return None;
        }
        original.try_append(name, HeaderValue::from_bytes(value).ok()?).ok()?;
    }
    Some(())
}

fn bytes<'a>((name, value): (&'a HeaderName, &'a HeaderValue)) -> (&'a [u8], &'a [u8]) {
    (name.as_str().as_bytes(), value.as_bytes())
}

/// Returns true if the target is written in one of the two usual forms, whole with the client's true scheme or as a path behind one
/// host. What else a client may send means what the pseudo-headers say.
fn is_plain(original: &request::Parts, secure: bool) -> bool {
    let expected = if secure { Scheme::HTTPS } else { Scheme::HTTP };
    let has_place = match (original.uri.scheme(), original.uri.authority()) {
        (Some(scheme), Some(authority)) => *scheme == expected && is_authority(authority.as_str().as_bytes()),
        (None, None) => names_one_host(&original.headers),
        _ => false,
    };
    // An empty path says that it is `/`, and is sent empty.
    let is_written = |path: &PathAndQuery| path.as_str() != "/" || *path == PathAndQuery::from_static("/");
    has_place && has_plain_path(original) && original.uri.path_and_query().is_some_and(is_written)
}

/// The bytes of a host's name that no reader understands in another way.
const PLAIN: [bool; 256] = alphanumeric_or(b"-._");

/// Returns true if there is one host: a name or an IPv4 address, and a port if there is one.
fn names_one_host(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let mut parts = host.as_bytes().splitn(2, |byte| *byte == b':');
    let is_name = |name: &[u8]| !name.is_empty() && name.iter().all(|byte| PLAIN[usize::from(*byte)]);
    parts.next().is_some_and(is_name) && parts.next().is_none_or(is_port)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use http::Request;

    use super::*;
    use crate::convert::{request_headers, response_headers};

    #[test]
    fn what_only_had_fields_added_need_not_be_read_again() {
        for (target, host) in [("/a", "a"), ("/", "a.example:8080"), ("http://a/b", "a")] {
            let (original, ()) =
                Request::get(target).header("host", host).header("x-one", "1").body(()).unwrap().into_parts();
            let mut headers = request_headers(&original, false);
            headers.add(b"x-new", b"2");
            let sent = request(&headers, original, false).unwrap();
            assert_eq!(
                (&sent.headers["x-one"], &sent.headers["x-new"]),
                (&"1".parse().unwrap(), &"2".parse().unwrap())
            );
        }
        let (original, ()) = http::Response::builder().header("x-one", "1").body(()).unwrap().into_parts();
        let mut headers = response_headers(&original);
        headers.add(b"x-new", b"2");
        let (_, sent) = response(&headers, original).unwrap();
        assert_eq!((sent.len(), &sent["x-new"]), (2, &"2".parse().unwrap()));
    }

    #[test]
    fn a_host_that_could_be_read_in_two_ways_is_read() {
        for hosts in
            [&["a", "b"][..], &["a/b"], &["user@a"], &[""], &[], &["a:80:x"], &["a:x"], &["["], &["]a["], &["a::1"]]
        {
            let (mut original, ()) = Request::get("/").body(()).unwrap().into_parts();
            for host in hosts {
                original.headers.append(HOST, HeaderValue::from_static(host));
            }
            let headers = request_headers(&original, false);
            assert!(request(&headers, original, false).is_none(), "{hosts:?}");
        }
    }

    #[test]
    fn a_target_in_another_form_is_read() {
        for target in ["a.example", "http://a.example#x", "https://a.example/"] {
            let (original, ()) = Request::get(target).header("host", "a.example").body(()).unwrap().into_parts();
            let headers = request_headers(&original, false);
            assert!(request(&headers, original, false).is_none(), "{target}");
        }
    }
}
