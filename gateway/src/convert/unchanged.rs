//! A message of which plugins have changed nothing, or to which they have added fields, goes on as it came: to read all
//! of it once more would be most of what passing it on costs.
//!
//! Each function answers none for what it does not know to be such a message; [`to_request`](super::to_request) and
//! [`to_response`](super::to_response) are for every other.

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::Scheme;
use http::{StatusCode, request, response};
use portcullis::core::Headers;

use super::request_pseudo;
use crate::net::headers::is_hop_by_hop;

/// A request's head as an upstream gets it: what came, and what was added. `came` has no hop-by-hop fields.
pub(crate) fn request(headers: &Headers, mut came: request::Parts, secure: bool) -> Option<request::Parts> {
    let mut entries = headers.iter();
    let pseudo = request_pseudo(&came, secure);
    if !pseudo.iter().all(|pseudo| entries.next() == Some(*pseudo)) {
        return None;
    }
    // What the client says of the scheme may be wrong.
    if came.uri.scheme().is_some_and(|scheme| *scheme != if secure { Scheme::HTTPS } else { Scheme::HTTP }) {
        return None;
    }
    if came.uri.authority().is_none() && !names_one_host(&came.headers) {
        return None;
    }
    add(&mut came.headers, entries, |name| *name != HOST)?;
    if came.uri.authority().is_some() {
        came.headers.remove(HOST);
    }
    came.extensions.clear();
    Some(came)
}

/// A response's head as a client gets it: what came, and what was added. `came` has no hop-by-hop fields.
pub(crate) fn response(headers: &Headers, mut came: response::Parts) -> Option<(StatusCode, HeaderMap)> {
    let mut entries = headers.iter();
    if entries.next() != Some((b":status", came.status.as_str().as_bytes())) {
        return None;
    }
    add(&mut came.headers, entries, |_| true)?;
    Some((came.status, came.headers))
}

/// Adds to a map what follows in `entries`, which begin with what the map has of `shown` fields.
fn add<'a>(
    came: &mut HeaderMap,
    mut entries: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    shown: impl Fn(&HeaderName) -> bool,
) -> Option<()> {
    for (name, value) in came.iter().filter(|(name, _)| shown(name)) {
        if entries.next() != Some((name.as_str().as_bytes(), value.as_bytes())) {
            return None;
        }
    }
    for (name, value) in entries {
        let name = HeaderName::from_bytes(name).ok()?;
        if !shown(&name) || is_hop_by_hop(name.as_str()) {
            return None;
        }
        came.try_append(name, HeaderValue::from_bytes(value).ok()?).ok()?;
    }
    Some(())
}

/// Whether there is one host, which nothing but a name, an address and a port can be made of.
fn names_one_host(headers: &HeaderMap) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte);
    let mut hosts = headers.get_all(HOST).iter();
    hosts.next().is_some_and(|host| !host.is_empty() && host.as_bytes().iter().all(plain)) && hosts.next().is_none()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::convert::{request_headers, response_headers, to_request, to_response};

    /// What a plugin may do, and leave undone.
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
        let value = prop_oneof![Just("1"), Just("a.example"), Just("b.example:80"), Just("a/b@c")];
        proptest::collection::vec((name, value), 0..5).prop_map(|pairs| {
            let mut fields = HeaderMap::new();
            for (name, value) in pairs {
                fields.append(name, HeaderValue::from_static(value));
            }
            fields
        })
    }

    /// A target without its authority says as much as one with it where the host says it.
    fn complete(mut parts: request::Parts, secure: bool) -> request::Parts {
        if parts.uri.authority().is_none() {
            let host = parts.headers.remove(HOST).unwrap();
            let mut target = parts.uri.into_parts();
            target.scheme = Some(if secure { Scheme::HTTPS } else { Scheme::HTTP });
            target.authority = Some(host.to_str().unwrap().parse().unwrap());
            parts.uri = target.try_into().unwrap();
        }
        parts
    }

    proptest! {
        /// It is never another request than the one that is made of all that plugins have left.
        #[test]
        fn a_request_is_what_the_whole_way_makes_of_it(
            target in prop_oneof![Just("/"), Just("/a?b"), Just("http://a.example/c"), Just("https://b.example:80/")],
            secure in any::<bool>(),
            fields in fields(),
            edits in edits(),
        ) {
            let (mut came, ()) = http::Request::get(target).body(()).unwrap().into_parts();
            came.headers = fields;
            let mut headers = request_headers(&came, secure);
            edit(&mut headers, &edits);
            if let Some(fast) = request(&headers, came, secure) {
                let (fast, slow) = (complete(fast, secure), to_request(&headers).unwrap());
                prop_assert_eq!(fast.method, slow.method);
                prop_assert_eq!(fast.uri, slow.uri);
                prop_assert_eq!(fast.headers, slow.headers);
            }
        }

        #[test]
        fn a_response_is_what_the_whole_way_makes_of_it(status in 200_u16..600, fields in fields(), edits in edits()) {
            let (mut came, ()) = http::Response::builder().status(status).body(()).unwrap().into_parts();
            came.headers = fields;
            let mut headers = response_headers(&came);
            edit(&mut headers, &edits);
            if let Some(fast) = response(&headers, came) {
                prop_assert_eq!(Ok(fast), to_response(&headers));
            }
        }
    }

    #[test]
    fn what_only_had_fields_added_need_not_be_read_again() {
        let (came, ()) =
            http::Request::get("/").header("host", "a").header("x-one", "1").body(()).unwrap().into_parts();
        let mut headers = request_headers(&came, false);
        headers.add(b"x-new", b"2");
        let sent = request(&headers, came, false).unwrap();
        assert_eq!(sent.headers["x-new"], "2");
        assert_eq!(sent.headers[HOST], "a");
        let (came, ()) = http::Response::builder().header("x-one", "1").body(()).unwrap().into_parts();
        let headers = response_headers(&came);
        assert!(response(&headers, came).is_some());
    }

    #[test]
    fn a_host_that_could_be_read_in_two_ways_is_read() {
        for hosts in [&["a", "b"][..], &["a/b"], &["user@a"], &[""], &[]] {
            let (mut came, ()) = http::Request::get("/").body(()).unwrap().into_parts();
            for host in hosts {
                came.headers.append(HOST, HeaderValue::from_static(host));
            }
            let headers = request_headers(&came, false);
            assert!(request(&headers, came, false).is_none(), "{hosts:?}");
        }
    }
}
