//! Messages of the crate `http` become header maps, and come back.

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, request};
use portcullis_chain::convert::{
    Unsendable, canonical, fields, request_headers, response_headers, strip_hop_by_hop, strip_trailers, to_request,
    to_response, to_trailers, trailers,
};
use portcullis_core::model::Headers;
use proptest::prelude::*;

/// Fields that belong to one connection, and those that a `connection` field may name.
const HOP_BY_HOP: [&str; 6] = ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(vec!["x-one", "x-two", "X-Three", "cookie", "accept", "content-length"]),
        1 => proptest::sample::select(HOP_BY_HOP.to_vec()),
    ]
    .prop_map(str::to_owned)
}

/// A value that can be sent; some name fields.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let any = proptest::collection::vec(prop_oneof![b' '..=b'~', 0x80_u8..], 0..8);
    prop_oneof![3 => any, 1 => Just(b"x-one".to_vec()), 1 => Just(b"trailers".to_vec())]
}

fn sendable() -> impl Strategy<Value = HeaderMap> {
    proptest::collection::vec((name(), value()), 0..12).prop_map(|entries| {
        let mut fields = HeaderMap::new();
        for (name, value) in entries {
            // Surrounding blanks are no part of a value on the wire.
            let value = HeaderValue::from_bytes(value.trim_ascii()).unwrap();
            fields.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
        }
        fields
    })
}

fn requests() -> impl Strategy<Value = (request::Parts, bool)> {
    let method = proptest::sample::select(vec!["GET", "HEAD", "POST", "OPTIONS", "PURGE"]);
    let path = proptest::sample::select(vec!["/", "/a", "/a?b=c", "/?", "//b", "/%20/x"]);
    let authority = proptest::sample::select(vec!["a.example", "a.example:8080", "[::1]", "127.0.0.1:1"]);
    (method, path, authority, sendable(), any::<bool>(), any::<bool>()).prop_map(
        |(method, path, authority, mut fields, in_target, secure)| {
            let scheme = if secure { "https" } else { "http" };
            let target = if in_target { format!("{scheme}://{authority}{path}") } else { path.to_owned() };
            let (mut parts, ()) = Request::builder().method(method).uri(target).body(()).unwrap().into_parts();
            // What a head is made canonical for is tested where that is.
            fields.remove("transfer-encoding");
            fields.insert(HOST, authority.parse().unwrap());
            parts.headers = fields;
            (parts, secure)
        },
    )
}

/// Any entries, of which most can be sent.
fn entries() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let pseudo = proptest::sample::select(vec![":method", ":path", ":authority", ":scheme", ":status", ":x"]);
    let name = prop_oneof![
        6 => name().prop_map(String::into_bytes),
        2 => pseudo.prop_map(|name| name.as_bytes().to_vec()),
        1 => Just(b"host".to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    let plain = proptest::sample::select(vec!["GET", "/", "a.example", "https", "200", "103", "x"]);
    let value = prop_oneof![
        4 => plain.prop_map(|value| value.as_bytes().to_vec()),
        4 => value(),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec((name, value), 0..10)
}

fn lines(fields: &HeaderMap) -> Vec<(&str, &[u8])> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

fn shown(headers: &Headers) -> Vec<(&str, &[u8])> {
    let text = |(name, value)| (std::str::from_utf8(name).unwrap(), value);
    headers.iter().map(text).filter(|(name, _)| !name.starts_with(':')).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_request_comes_back_as_it_went((mut parts, secure) in requests()) {
        canonical(&mut parts, ([127, 0, 0, 1], 80).into()).unwrap();
        strip_hop_by_hop(&mut parts.headers);
        let headers = request_headers(&parts, secure);
        let authority = parts.uri.authority().map_or_else(
            || parts.headers[HOST].to_str().unwrap().to_owned(),
            ToString::to_string,
        );
        prop_assert_eq!(headers.get_str(":authority"), Some(&*authority));
        prop_assert!(headers.get(b"host").is_none(), "one value, one name");
        let back = to_request(&headers).unwrap();
        prop_assert_eq!(&back.method, &parts.method);
        prop_assert_eq!(back.uri.path_and_query(), parts.uri.path_and_query());
        prop_assert_eq!(back.uri.authority().map(ToString::to_string), Some(authority));
        prop_assert_eq!(back.uri.scheme_str(), Some(if secure { "https" } else { "http" }));
        let came: Vec<_> = lines(&parts.headers).into_iter().filter(|(name, _)| *name != "host").collect();
        prop_assert_eq!(shown(&headers), &*came, "order and duplicates");
        prop_assert_eq!(lines(&back.headers), came);
    }

    #[test]
    fn a_response_comes_back_as_it_went(status in 200_u16..600, mut came in sendable()) {
        strip_hop_by_hop(&mut came);
        let (mut parts, ()) = Response::builder().status(status).body(()).unwrap().into_parts();
        parts.headers = came;
        let headers = response_headers(&parts);
        prop_assert_eq!(shown(&headers), lines(&parts.headers));
        prop_assert_eq!(to_response(&headers, None), Ok((parts.status, parts.headers)));
    }

    #[test]
    fn trailers_come_back_without_what_belongs_to_heads(mut came in sendable()) {
        let headers = trailers(&came);
        strip_trailers(&mut came);
        prop_assert_eq!(shown(&headers), lines(&came));
        prop_assert_eq!(to_trailers(&headers), Ok(came));
    }

    /// Whatever plugins leave is sent as it is, less what belongs to a connection, or refused by name.
    #[test]
    fn what_plugins_leave_is_sent_or_refused(entries in entries()) {
        let headers: Headers = entries.into_iter().collect();
        let is_pseudo = |name: &[u8]| name.starts_with(b":");
        let bad = headers.iter().find(|(name, value)| {
            !is_pseudo(name) && (HeaderName::from_bytes(name).is_err() || HeaderValue::from_bytes(value).is_err())
        });
        let all = fields(&headers);
        match (&all, bad) {
            (Ok(all), None) => {
                // Each name's values are in their order.
                for name in all.keys() {
                    let left = headers.get_all(name.as_str().as_bytes());
                    prop_assert!(all.get_all(name).iter().map(HeaderValue::as_bytes).eq(left));
                }
                prop_assert_eq!(all.len(), headers.iter().filter(|(name, _)| !is_pseudo(name)).count());
            }
            (Err(error), Some((name, _))) => {
                prop_assert_eq!(error, &Unsendable::Header(String::from_utf8_lossy(name).into_owned()));
            }
            other => prop_assert!(false, "{:?}", other),
        }
        let (request, response) = (to_request(&headers), to_response(&headers, None));
        for (sent, is_request) in [
            (request.as_ref().ok().map(|parts| &parts.headers), true),
            (response.as_ref().ok().map(|(_, fields)| fields), false),
        ] {
            let Some(sent) = sent else { continue };
            let mut expected = all.clone().unwrap();
            if is_request {
                expected.remove(HOST);
            }
            strip_hop_by_hop(&mut expected);
            prop_assert_eq!(sent, &expected);
            let left = sent.iter().filter(|(name, value)| HOP_BY_HOP.contains(&name.as_str()) && *value != "trailers");
            prop_assert_eq!(left.count(), 0);
        }
        if let Ok((status, _)) = response {
            prop_assert!((200..=599).contains(&status.as_u16()));
        }
        if let Ok(parts) = request {
            prop_assert!(parts.uri.authority().is_some() && parts.uri.scheme().is_some());
        }
    }
}

#[test]
fn the_host_is_either_of_two_names() {
    let of = |entries: &[(&str, &str)]| {
        let common = [(":method", "GET"), (":path", "/"), (":scheme", "http")];
        to_request(&common.into_iter().chain(entries.iter().copied()).collect())
    };
    for (entries, host) in
        [(&[(":authority", "a")][..], "a"), (&[("host", "b:80")], "b:80"), (&[(":authority", "a"), ("host", "b")], "a")]
    {
        let parts = of(entries).unwrap();
        assert_eq!(parts.uri.authority().unwrap().as_str(), host);
        assert!(!parts.headers.contains_key(HOST));
    }
    for refused in [&[][..], &[(":authority", "")], &[(":authority", "a b")], &[("host", "u@a")]] {
        assert_eq!(of(refused).map(drop), Err(Unsendable::Pseudo(":authority")), "{refused:?}");
    }
}

/// More than a map of the crate `http` can hold, which panics where it is asked for that much room.
#[test]
fn too_many_fields_are_refused() {
    let mut headers: Headers = [(":status", "200")].into_iter().collect();
    for number in 0..40_000 {
        headers.add(format!("x-{number}").as_bytes(), b"");
    }
    assert!(matches!(to_response(&headers, None), Err(Unsendable::Header(name)) if name.starts_with("x-")));
    assert_eq!(to_response(&Headers::new(), None).map(drop), Err(Unsendable::Pseudo(":status")));
    let status = StatusCode::from_u16(999).unwrap();
    let odd: Headers = [(":status", "999")].into_iter().collect();
    assert_eq!(to_response(&odd, None).map(drop), Err(Unsendable::Status(status)));
}
