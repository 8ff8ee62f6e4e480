//! A message of which plugins have changed nothing, or to which they have added fields, goes on as it came: to read all
//! of it once more would be most of what passing it on costs.
//!
//! Each function answers none for what it does not know to be such a message; [`to_request`](super::to_request) and
//! [`to_response`](super::to_response) are for every other.

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Scheme};
use http::{StatusCode, Version, request, response};
use portcullis::model::Headers;

use super::canonical::{alphanumeric_or, has_plain_path, is_authority, is_port};
use super::request_pseudo;
use crate::net::headers::is_hop_by_hop;

/// Returns a request's head as an upstream gets it: what came, and what was added. `original` has no hop-by-hop fields.
pub(crate) fn request(headers: &Headers, mut original: request::Parts, secure: bool) -> Option<request::Parts> {
    let mut entries = headers.iter();
    let pseudo = request_pseudo(&original, secure);
    if !pseudo.iter().all(|pseudo| entries.next() == Some(*pseudo)) {
        return None;
    }
    if !is_plain(&original, secure) {
        return None;
    }
    add(&mut original.headers, entries, |name| *name != HOST)?;
    if original.uri.authority().is_some() {
        original.headers.remove(HOST);
    }
    original.extensions.clear();
    original.version = Version::default();
    Some(original)
}

/// Returns a response's head as a client gets it: what came, and what was added. `original` has no hop-by-hop fields.
pub(crate) fn response(headers: &Headers, mut original: response::Parts) -> Option<(StatusCode, HeaderMap)> {
    let mut entries = headers.iter();
    if entries.next() != Some((b":status", original.status.as_str().as_bytes())) {
        return None;
    }
    add(&mut original.headers, entries, |_| true)?;
    Some((original.status, original.headers))
}

/// Adds to a map what follows in `entries`, which begin with what the map has of `shown` fields.
fn add<'a>(
    original: &mut HeaderMap,
    mut entries: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    shown: impl Fn(&HeaderName) -> bool,
) -> Option<()> {
    for (name, value) in original.iter().filter(|(name, _)| shown(name)) {
        if entries.next() != Some((name.as_str().as_bytes(), value.as_bytes())) {
            return None;
        }
    }
    for (name, value) in entries {
        let name = HeaderName::from_bytes(name).ok()?;
        if !shown(&name) || is_hop_by_hop(name.as_str()) {
            return None;
        }
        original.try_append(name, HeaderValue::from_bytes(value).ok()?).ok()?;
    }
    Some(())
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
    use proptest::prelude::*;

    use http::Request;

    use super::*;
    use crate::net::queue::QueueBody;
    use crate::serve::convert::{request_headers, response_headers, to_request, to_response};
    use crate::upstream::pool::{UpstreamProtocol, prepare};

    /// An edit of a plugin.
    #[derive(Clone, Debug)]
    enum Edit {
        Add(String, String),
        Replace(String, String),
        Remove(String),
    }

    fn edits() -> impl Strategy<Value = Vec<Edit>> {
        let name = prop_oneof![
            Just("x-one"),
            Just("x-two"),
            Just("host"),
            Just("connection"),
            Just("te"),
            Just("bad name"),
            Just(":status"),
            Just(":path"),
            Just(":authority"),
            Just(":method"),
            Just(":scheme"),
            Just(":new"),
            Just("content-length"),
        ]
        .prop_map(str::to_owned);
        let value = prop_oneof![
            Just("1"),
            Just("x-one"),
            Just("http"),
            Just("200"),
            Just("/"),
            Just("GET"),
            Just("a.example"),
            Just("b\n"),
        ]
        .prop_map(str::to_owned);
        let edit = prop_oneof![
            4 => (name.clone(), value.clone()).prop_map(|(name, value)| Edit::Add(name, value)),
            1 => (name.clone(), value).prop_map(|(name, value)| Edit::Replace(name, value)),
            1 => name.prop_map(Edit::Remove),
        ];
        proptest::collection::vec(edit, 0..4)
    }

    fn edit(headers: &mut Headers, edits: &[Edit]) {
        for edit in edits {
            match edit {
                Edit::Add(name, value) => headers.add(name.as_bytes(), value.as_bytes()),
                Edit::Replace(name, value) => headers.replace(name.as_bytes(), value.as_bytes()),
                Edit::Remove(name) => drop(headers.remove(name.as_bytes())),
            }
        }
    }

    fn fields() -> impl Strategy<Value = HeaderMap> {
        let name = prop_oneof![Just("x-one"), Just("x-two"), Just("host"), Just("content-length")];
        let value = prop_oneof![
            Just("1"),
            Just("a.example"),
            Just("b.example:80"),
            Just("a/b@c"),
            Just("a:1:2"),
            Just("["),
            Just("a:99999"),
            Just("[::1]:80")
        ];
        proptest::collection::vec((name, value), 0..5).prop_map(|pairs| {
            let mut fields = HeaderMap::new();
            for (name, value) in pairs {
                fields.append(name, HeaderValue::from_static(value));
            }
            fields
        })
    }

    /// Returns what an upstream gets, as far as it can tell.
    fn sent(protocol: UpstreamProtocol, parts: request::Parts) -> (String, Version, HeaderMap) {
        let mut request = Request::from_parts(parts, QueueBody::empty());
        prepare(protocol, &mut request);
        (request.uri().to_string(), request.version(), request.headers().clone())
    }

    fn targets() -> impl Strategy<Value = &'static str> {
        prop_oneof![
            Just("/"),
            Just("/a?b"),
            Just("/?x"),
            Just("*"),
            Just("a.example"),
            Just("http://a.example/c"),
            Just("http://a.example"),
            Just("http://a.example#x"),
            Just("http://a.example?x"),
            Just("https://b.example:80/"),
            Just("http://u@a.example/c"),
            Just("http://a,b/c"),
            Just("//b/x"),
        ]
    }

    proptest! {
        /// The request is never another one than the one that is made of all that plugins have left.
        #[test]
        fn a_request_is_what_the_whole_way_makes_of_it(
            target in targets(),
            method in prop_oneof![Just("GET"), Just("OPTIONS"), Just("HEAD")],
            secure in any::<bool>(),
            fields in fields(),
            edits in edits(),
        ) {
            let (mut original, ()) = Request::builder().method(method).uri(target).body(()).unwrap().into_parts();
            (original.headers, original.version) = (fields, Version::HTTP_10);
            let mut headers = request_headers(&original, secure);
            edit(&mut headers, &edits);
            let is_whole = original.uri.authority().is_some();
            if let Some(fast) = request(&headers, original, secure) {
                let slow = to_request(&headers).unwrap();
                prop_assert_eq!(&fast.method, &slow.method);
                prop_assert_eq!(fast.version, slow.version);
                prop_assert_eq!(fast.uri.path_and_query(), slow.uri.path_and_query());
                if is_whole {
                    prop_assert_eq!(
                        sent(UpstreamProtocol::Http2, fast.clone()), sent(UpstreamProtocol::Http2, slow.clone())
                    );
                }
                prop_assert_eq!(sent(UpstreamProtocol::Http1, fast), sent(UpstreamProtocol::Http1, slow));
            }
        }

        #[test]
        fn a_response_is_what_the_whole_way_makes_of_it(status in 200_u16..600, fields in fields(), edits in edits()) {
            let (mut original, ()) = http::Response::builder().status(status).body(()).unwrap().into_parts();
            original.headers = fields;
            let mut headers = response_headers(&original);
            edit(&mut headers, &edits);
            if let Some(fast) = response(&headers, original) {
                prop_assert_eq!(Ok(fast), to_response(&headers, None));
            }
        }
    }

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
