//! Bodies both ways, of any length and in any framing.

use portcullis_core::abi::BufferType;
use portcullis_core::testing::Script;
use portcullis_pingora::{BodyMode, Options};

use crate::http1::{Connection, Framing, get, post, post_chunked};
use crate::plugins::{ON_REQUEST, ON_REQUEST_BODY, REQUEST, append, file, remove, scripted};
use crate::proxy::{Proxy, Setup};
use crate::upstream::LARGE;

fn large() -> Vec<u8> {
    b"abcdefghij".repeat(LARGE / 10)
}

fn options() -> Options {
    Options::default().with_buffer_limit(1 << 20)
}

/// Each pair of modes.
fn modes() -> impl Iterator<Item = Options> {
    let modes = [BodyMode::Stream, BodyMode::Buffer];
    modes.into_iter().flat_map(move |request| {
        modes.map(|response| options().with_request_body(request).with_response_body(response))
    })
}

#[test]
fn large_bodies_pass_unchanged() {
    for options in modes() {
        for work_stealing in [true, false] {
            let proxy = Proxy::with(&[file("body_rewrite", "")], Setup { options, work_stealing, ..Setup::default() });
            let mut client = Connection::open(proxy.address);
            for request in [post("/echo", "", &large()), post_chunked("/echo", "", &large())] {
                let answer = client.exchange(&request);
                assert!(answer.body == large() && answer.is_whole, "{options:?}: {}", answer.body.len());
                assert_eq!(answer.framing, Framing::Length, "nobody has changed it");
            }
        }
    }
}

#[test]
fn large_bodies_are_changed_both_ways() {
    for options in modes() {
        let proxy = Proxy::optional(&[file("body_rewrite", "[tail]")], options);
        let mut client = Connection::open(proxy.address);
        let appended = [&large()[..], b"[tail]"].concat();
        for make in [post, post_chunked] {
            let answer = client.exchange(make("/echo", "x-body-rewrite: append\r\n", &large()));
            assert!(answer.body == appended, "{options:?}: {}", answer.body.len());
            let answer = client.exchange(make("/echo", "x-body-rewrite: replace\r\n", &large()));
            assert_eq!(answer.text(), "[tail]", "{options:?}");
            let answer = client.exchange(make("/echo", "x-response-rewrite: append\r\n", &large()));
            assert!(answer.body == appended && answer.is_whole, "{options:?}: {}", answer.body.len());
            assert_eq!(answer.framing, Framing::Chunked);
            let answer = client.exchange(make("/echo", "x-response-rewrite: replace\r\n", &large()));
            assert_eq!(answer.text(), "[tail]", "{options:?}");
        }
        for request in proxy.upstream.seen().into_iter().filter(|seen| seen.get("x-body-rewrite").is_some()) {
            assert!(request.is_whole && request.framing == Framing::Chunked, "{options:?}: {:?}", request.framing);
        }
    }
}

/// Holds the head of a request until it has the body, counts it, and says so in the head.
fn counter() -> Script {
    Script::new().on(ON_REQUEST, |_, args| i32::from(args.get(2) != Some(&1))).on(ON_REQUEST_BODY, |caller, args| {
        if args.get(2) != Some(&1) {
            return 1;
        }
        let length = caller.buffer(BufferType::HttpRequestBody).unwrap_or_default().len();
        assert_eq!(caller.add_header(REQUEST, "x-counted", &length.to_string()), 0);
        0
    })
}

#[test]
fn a_request_waits_for_its_body_and_goes_with_its_length() {
    for response in [BodyMode::Stream, BodyMode::Buffer] {
        let proxy = Proxy::optional(&[scripted("counter", counter)], options().with_response_body(response));
        let mut client = Connection::open(proxy.address);
        for make in [post, post_chunked] {
            for body in [&b"abc"[..], &large()[..70_000], &large()] {
                let answer = client.exchange(make("/echo", "", body));
                assert!(answer.body == body, "{}: {}", body.len(), answer.body.len());
                let request = proxy.upstream.seen().pop().unwrap();
                assert_eq!(request.get("x-counted"), Some(body.len().to_string().as_str()));
                assert_eq!(request.framing, Framing::Length, "it is known");
                assert!(request.body == body);
            }
        }
        assert_eq!(client.exchange(get("/empty", "")).status(), 200, "without a body nothing is waited for");
    }
}

#[test]
fn a_client_that_waits_for_it_is_told_that_its_body_is_wanted() {
    let proxy = Proxy::start(&[scripted("counter", counter)]);
    let mut client = Connection::open(proxy.address);
    client.write("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n").unwrap();
    assert_eq!(client.response("POST").status(), 100);
    client.write("abc").unwrap();
    assert_eq!(client.response("POST").text(), "abc");
    assert_eq!(proxy.upstream.only().get("expect"), None);
}

#[test]
fn a_body_is_made_where_there_was_none() {
    for options in modes() {
        let script = || {
            Script::new().on(ON_REQUEST, |caller, args| {
                remove(caller, REQUEST, "x-none");
                if args.get(2) == Some(&1) {
                    assert_eq!(
                        caller.set_buffer(BufferType::HttpRequestBody, b"made"),
                        2,
                        "there is no body to change"
                    );
                }
                0
            })
        };
        let proxy = Proxy::optional(&[scripted("maker", script), file("body_rewrite", "")], options);
        assert_eq!(proxy.exchange(get("/echo", "x-body-rewrite: replace\r\nx-none: 1\r\n")).text(), "");
    }
}

#[test]
fn too_large_a_body_is_answered() {
    for (request, response) in [(BodyMode::Stream, BodyMode::Stream), (BodyMode::Buffer, BodyMode::Buffer)] {
        let options = options().with_buffer_limit(1000).with_request_body(request).with_response_body(response);
        let proxy = Proxy::optional(&[file("body_rewrite", "")], options);
        let answer = proxy.exchange(post("/echo", "x-body-rewrite: append\r\n", &large()));
        assert_eq!(answer.status(), 413, "{request:?}");
        let answer = proxy.exchange(get("/large", "x-response-rewrite: append\r\n"));
        assert!(!answer.is_whole || answer.status() == 500, "{response:?}: {answer:?}");
        let answer = proxy.exchange(get("/empty", ""));
        assert_eq!(answer.status(), 200);
    }
}

#[test]
fn plugins_see_a_body_once_when_it_is_sent_twice() {
    for (options, held) in [(options(), 0), (options(), 1)] {
        let script = move || {
            Script::new()
                .on(ON_REQUEST, move |caller, _| {
                    remove(caller, REQUEST, "content-length");
                    held
                })
                .on(ON_REQUEST_BODY, |caller, args| {
                    caller.log("body");
                    append(caller, BufferType::HttpRequestBody, args, "!")
                })
        };
        let proxy = Proxy::optional(&[scripted("once", script)], options);
        let answer = proxy.exchange(post("/again", "", b"abc"));
        assert_eq!((answer.status(), answer.text().as_str()), (200, "abc!"));
        assert_eq!(proxy.host.messages().len(), 1, "{:?}", proxy.host.messages());
        let bodies: Vec<_> = proxy.upstream.seen().iter().map(|request| request.text()).collect();
        assert_eq!(bodies, ["abc!", "abc!"]);
        assert_eq!(proxy.logged(), "early request peer peer response 200");
    }
}
