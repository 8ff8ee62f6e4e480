//! Messages say where they end, and are as long as they say.

use portcullis_core::abi::BufferType;
use portcullis_core::testing::Script;
use portcullis_pingora::{BodyMode, Options};

use crate::http1::{Connection, Framing, get, post};
use crate::plugins::{ON_REQUEST_BODY, ON_RESPONSE, ON_RESPONSE_BODY, RESPONSE, append, remove, replace, scripted};
use crate::proxy::Proxy;

fn each_mode() -> [Options; 2] {
    [BodyMode::Stream, BodyMode::Buffer].map(|mode| Options::default().with_response_body(mode))
}

/// Changes the length of a response's body; `stops` what its headers callback returns.
fn lengthener(removes: bool, stops: i32) -> impl Fn() -> Script + Send + Sync + 'static {
    move || {
        Script::new()
            .on(ON_RESPONSE, move |caller, args| {
                if removes {
                    remove(caller, RESPONSE, "content-length");
                }
                if args.get(2) == Some(&1) { 0 } else { stops }
            })
            .on(ON_RESPONSE_BODY, |caller, args| append(caller, BufferType::HttpResponseBody, args, "!"))
    }
}

#[test]
fn a_length_that_was_removed_is_told_in_chunks_or_by_the_end_of_the_connection() {
    for options in each_mode() {
        let proxy = Proxy::optional(&[scripted("lengthener", lengthener(true, 0))], options);
        let answer = proxy.exchange(post("/echo", "", b"abc"));
        assert_eq!((answer.text().as_str(), answer.framing), ("abc!", Framing::Chunked), "{options:?}");
        let old = b"POST /echo HTTP/1.0\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc";
        let answer = proxy.exchange(old);
        assert_eq!((answer.text().as_str(), answer.framing), ("abc!", Framing::Close), "{options:?}");
        let answer = proxy.exchange(get("/chunked", ""));
        assert_eq!((answer.text().as_str(), answer.framing), ("abcde!", Framing::Chunked), "{options:?}");
    }
}

#[test]
fn a_length_that_is_known_is_corrected() {
    let options = Options::default().with_response_body(BodyMode::Buffer);
    let proxy = Proxy::optional(&[scripted("lengthener", lengthener(false, 1))], options);
    for head in ["POST /echo HTTP/1.1", "POST /echo HTTP/1.0"] {
        let answer = proxy.exchange(format!("{head}\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc"));
        assert_eq!((answer.text().as_str(), answer.framing), ("abc!", Framing::Length), "{head}");
    }
}

#[test]
fn a_response_that_is_not_as_long_as_its_head_has_said_is_cut() {
    for options in each_mode() {
        let proxy = Proxy::optional(&[scripted("lengthener", lengthener(false, 0))], options);
        let answer = proxy.exchange(post("/echo", "", b"abc"));
        assert!(!answer.is_whole || answer.status() == 500, "{options:?}: {answer:?}");
    }
}

#[test]
fn a_request_that_is_not_as_long_as_its_head_has_said_is_answered() {
    let script =
        || Script::new().on(ON_REQUEST_BODY, |caller, args| append(caller, BufferType::HttpRequestBody, args, "!"));
    for options in each_mode() {
        let proxy = Proxy::optional(&[scripted("lengthener", script)], options);
        let answer = proxy.exchange(post("/echo", "", b"abc"));
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (500, "a plugin changed the length of the request's body"),
            "{options:?}"
        );
        assert!(
            proxy.upstream.seen().iter().all(|request| !request.is_whole),
            "the upstream does not take it for whole"
        );
    }
}

#[test]
fn responses_without_a_body_stay_without() {
    for options in each_mode() {
        for stops in [0, 1] {
            let proxy = Proxy::optional(&[scripted("lengthener", lengthener(false, stops))], options);
            let mut client = Connection::open(proxy.address);
            let head = client.exchange("HEAD /head HTTP/1.1\r\nhost: a\r\n\r\n");
            assert_eq!((head.status(), head.get("content-length")), (200, Some("77")), "{options:?}");
            assert_eq!(client.exchange(get("/204", "")).status(), 204);
            let not_modified = client.exchange(get("/304", ""));
            assert_eq!((not_modified.status(), not_modified.get("content-length")), (304, Some("5")));
            let empty = client.exchange(get("/empty", ""));
            assert_eq!((empty.text().as_str(), empty.framing), ("", Framing::Length));
        }
    }
}

#[test]
fn a_length_that_plugins_make_up_is_not_believed() {
    for options in each_mode() {
        for length in ["9", "x", "-1", "3, 3"] {
            let script = move || {
                Script::new().on(ON_RESPONSE, move |caller, _| {
                    replace(caller, RESPONSE, "content-length", length);
                    0
                })
            };
            let proxy = Proxy::optional(&[scripted("liar", script)], options);
            let answer = proxy.exchange(get("/empty", ""));
            assert_eq!((answer.get("content-length"), answer.is_whole), (Some("0"), true), "{length}, {options:?}");
            let answer = proxy.exchange(post("/echo", "", b"abc"));
            let is_cut = length == "9" && (!answer.is_whole || answer.status() == 500);
            assert!(is_cut || answer.framing == Framing::Chunked && answer.text() == "abc", "{length}: {answer:?}");
        }
    }
}
