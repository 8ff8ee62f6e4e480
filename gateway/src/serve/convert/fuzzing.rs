#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a panic is a finding")]

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Version, request};
use portcullis::chain::convert::{
    canonical, has_plain_path, is_authority, request_headers, response_headers, strip_hop_by_hop, to_request,
    to_response, to_trailers, unchanged,
};
use portcullis::fuzzing::Input;
use portcullis::model::Headers;

use crate::upstream::pool::{UpstreamProtocol, prepare};
use portcullis_driver::body::QueueBody;

/// Names that come up more often than others.
const NAMES: &[&str] = &["host", "x-one", "x-two", "connection", "te", "cookie", "content-length", "transfer-encoding"];
const PSEUDO: &[&str] = &[":method", ":path", ":authority", ":scheme", ":status", ":new"];
const VALUES: &[&str] = &["1", "a.example", "b:80", "[::1]:80", "chunked", "x-one", "GET", "/"];
const TARGETS: &[&str] =
    &["/", "/a?b", "*", "a.example", "http://a.example/c", "http://u@a.example", "https://b:80/", "//b/x"];
const METHODS: &[&str] = &["GET", "OPTIONS", "HEAD", "POST", "CONNECT"];

/// Passes a head through plugins that make any changes: the fast way makes what the slow way makes, and what passes the
/// refusals has one meaning.
pub fn convert(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.byte();
    if flags & 1 == 0 { request(&mut input, flags) } else { response(&mut input) }
}

fn request(input: &mut Input<'_>, flags: u8) {
    let (is_h2, secure, passes_door) = (flags & 2 != 0, flags & 4 != 0, flags & 8 != 0);
    // No CONNECT gets this far.
    let method = METHODS[input.below(if passes_door { METHODS.len() } else { METHODS.len() - 1 })];
    let Ok(request) = Request::builder().method(method).uri(text(input, TARGETS).as_slice()).body(()) else { return };
    let (mut original, ()) = request.into_parts();
    original.version = if is_h2 { Version::HTTP_2 } else { Version::HTTP_11 };
    original.headers = fields(input);
    if passes_door {
        let local = ([127, 0, 0, 1], 80).into();
        if canonical(&mut original, local).is_err() {
            return;
        }
        let hosts = original.headers.get_all(HOST).iter().count() + usize::from(original.uri.authority().is_some());
        assert_eq!(hosts, 1, "one host");
        assert!(has_plain_path(&original), "a path");
        assert!(original.headers.get_all("cookie").iter().count() <= 1, "one line of cookies");
        let named = original.uri.authority().map(|authority| authority.as_str().as_bytes());
        let host = named.or_else(|| original.headers.get(HOST).map(HeaderValue::as_bytes)).unwrap_or_default();
        assert!(is_authority(host), "a host that all read alike");
        // A host that stands in the target is named nowhere else, which HTTP/1.1 does not allow a client.
        let mut again = original.clone();
        if is_h2 || named.is_none() {
            assert!(
                canonical(&mut again, local).is_ok() && again.uri == original.uri && again.headers == original.headers
            );
        }
    }
    strip_hop_by_hop(&mut original.headers);
    let mut headers = request_headers(&original, secure);
    change(input, &mut headers);
    let is_whole = original.uri.authority().is_some();
    let slow = to_request(&headers);
    if let Ok(slow) = &slow {
        assert!(slow.uri.authority().is_some_and(|authority| is_authority(authority.as_str().as_bytes())));
        assert!(!slow.headers.contains_key(HOST) && !slow.headers.contains_key("connection"));
    }
    if let Some(fast) = unchanged::request(&headers, original, secure) {
        let slow = slow.expect("what goes on as it came can be sent");
        assert_eq!((&fast.method, fast.version), (&slow.method, slow.version));
        assert_eq!(fast.uri.path_and_query(), slow.uri.path_and_query());
        if is_whole {
            assert_eq!(sent(UpstreamProtocol::Http2, fast.clone()), sent(UpstreamProtocol::Http2, slow.clone()));
        }
        assert_eq!(sent(UpstreamProtocol::Http1, fast), sent(UpstreamProtocol::Http1, slow));
    }
}

fn response(input: &mut Input<'_>) {
    let status = StatusCode::from_u16(200 + input.below(400) as u16).expect("a status");
    let (mut original, ()) = http::Response::builder().status(status).body(()).expect("a response").into_parts();
    original.headers = fields(input);
    strip_hop_by_hop(&mut original.headers);
    let mut headers = response_headers(&original);
    change(input, &mut headers);
    let slow = to_response(&headers, None);
    let _ = to_trailers(&headers);
    if let Some(fast) = unchanged::response(&headers, original) {
        assert_eq!(Ok(fast), slow);
    }
}

/// Returns what an upstream gets, as far as it can tell.
fn sent(protocol: UpstreamProtocol, parts: request::Parts) -> (Method, String, Version, HeaderMap) {
    let mut request = Request::from_parts(parts, QueueBody::empty());
    prepare(protocol, false, &mut request);
    (request.method().clone(), request.uri().to_string(), request.version(), request.headers().clone())
}

/// One of some texts, or any.
fn text(input: &mut Input<'_>, known: &[&str]) -> Vec<u8> {
    let choice = usize::from(input.byte());
    known.get(choice).map_or_else(|| input.bytes().to_vec(), |text| text.as_bytes().to_vec())
}

fn fields(input: &mut Input<'_>) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for _ in 0..input.below(6) {
        let (name, value) = (text(input, NAMES), text(input, VALUES));
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&name), HeaderValue::from_bytes(&value)) {
            fields.append(name, value);
        }
    }
    fields
}

fn change(input: &mut Input<'_>, headers: &mut Headers) {
    for _ in 0..input.below(5) {
        let how = input.byte();
        let name = text(input, if how & 4 == 0 { NAMES } else { PSEUDO });
        match how & 3 {
            0 | 1 => headers.add(&name, &text(input, VALUES)),
            2 => headers.replace(&name, &text(input, VALUES)),
            _ => drop(headers.remove(&name)),
        }
    }
}
