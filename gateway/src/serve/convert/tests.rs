use proptest::prelude::*;

use http::header::{HeaderMap, HeaderValue};
use http::{Request, Version, request as parts};

use portcullis::chain::convert::unchanged::{request, response};
use portcullis::chain::convert::{request_headers, response_headers, to_request, to_response};
use portcullis::model::Headers;

use crate::upstream::pool::{UpstreamProtocol, prepare};
use portcullis_driver::body::QueueBody;

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
fn sent(protocol: UpstreamProtocol, parts: parts::Parts) -> (String, Version, HeaderMap) {
    let mut request = Request::from_parts(parts, QueueBody::empty());
    prepare(protocol, false, &mut request);
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
