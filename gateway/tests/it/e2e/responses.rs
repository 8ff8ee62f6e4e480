//! One canonical response: what plugins and upstreams can say, by status, method and protocol.
//!
//! Each row has the bytes that an HTTP/1.1 client gets, without `date` and `connection`, `|` for the end of a line, and the frames that an HTTP/2
//! client gets.

use std::path::PathBuf;

use http::Method;
use http::header::CONTENT_LENGTH;

use crate::e2e::harness::{
    Go, Part, Raw, Reply, Setup, Upstream, answering, answering_h2, logs, plugin, reply, run, wat,
};

/// The bytes and frames that a client gets over HTTP/1.1 and over HTTP/2.
type Sent = (&'static str, &'static str);

const REFUSED: Sent = ("HTTP/1.1 500 Internal Server Error|content-length: 0||", "HEADERS 500 END");

async fn check(setup: &Setup, what: &str, method: &str, (h1, h2): Sent) {
    let gate = setup.start();
    let mut raw = Raw::connect(gate.address()).await;
    raw.write(&format!("{method} / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
    let answer = raw.read_all().await;
    let lines: Vec<_> =
        answer.split("\r\n").filter(|line| !line.starts_with("date: ") && *line != "connection: close").collect();
    assert_eq!(lines.join("|"), h1, "{method} {what}");
    let frames = Raw::connect(gate.address()).await.frames_h2(method, "/").await.join("; ");
    // The end of a body without a length may come with its last piece, or behind it.
    assert_eq!(frames.replace("gone; DATA  END", "gone END"), h2, "{method} {what}");
    // Nothing is left on the connection that would be taken for the next response.
    let mut raw = Raw::connect(gate.address()).await;
    raw.write(&format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a/b\r\n\r\n")).await;
    let answer = raw.read_all().await;
    let rest =
        answer.split_once("\r\n\r\n").map(|(_, rest)| rest).unwrap_or_else(|| panic!("{method} {what}: {answer:?}"));
    let body = h1.split_once("||").map(|(_, body)| body.replace('|', "\r\n")).unwrap();
    assert!(
        rest.strip_prefix(&body).unwrap_or_else(|| panic!("{method} {what}: {answer:?}")).starts_with("HTTP/1.1 400 "),
        "{method} {what}: {answer}"
    );
}

/// `proxy_send_local_response` with a body, and a length of the plugin's own.
const LOCAL: &[(&[i32], &[&str], Sent)] = &[
    (
        &[200],
        &["GET", "POST"],
        ("HTTP/1.1 200 OK|content-length: 4|content-type: text/plain||gone", "HEADERS 200 length=4; DATA gone END"),
    ),
    (&[200], &["HEAD"], ("HTTP/1.1 200 OK|content-length: 4|content-type: text/plain||", "HEADERS 200 length=4 END")),
    (&[204], &["GET", "HEAD", "POST"], ("HTTP/1.1 204 No Content||", "HEADERS 204 END")),
    (&[205], &["GET", "HEAD", "POST"], ("HTTP/1.1 205 Reset Content|content-length: 0||", "HEADERS 205 length=0 END")),
    (&[304], &["GET", "HEAD"], ("HTTP/1.1 304 Not Modified||", "HEADERS 304 END")),
    (
        &[599],
        &["GET"],
        ("HTTP/1.1 599 <none>|content-length: 4|content-type: text/plain||gone", "HEADERS 599 length=4; DATA gone END"),
    ),
    (
        &[-1, 0, 99, 100, 101, 103, 199, 600, 999, 1000],
        &["GET"],
        (
            "HTTP/1.1 500 Internal Server Error|content-length: 4|content-type: text/plain||gone",
            "HEADERS 500 length=4; DATA gone END",
        ),
    ),
    (
        &[101],
        &["HEAD"],
        ("HTTP/1.1 500 Internal Server Error|content-length: 4|content-type: text/plain||", "HEADERS 500 length=4 END"),
    ),
];

fn replying(status: i32) -> PathBuf {
    let (pairs, length) = wat::pairs(&[("content-length", "9")]);
    wat::plugin_of(&format!(
        r#"(data (i32.const 64) "{pairs}")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (if (call $reply (i32.const {status}) (i32.const 0) (i32.const 0) $"gone" (i32.const 64) (i32.const {length})
                (i32.const -1)) (then (unreachable)))
            (i32.const 1))"#
    ))
}

#[test]
fn local_responses() {
    run(async {
        for (statuses, methods, sent) in LOCAL {
            for (status, method) in
                statuses.iter().flat_map(|status| methods.iter().map(move |method| (status, method)))
            {
                let setup = Setup::echo().plugin("responses_local", &replying(*status), "");
                check(&setup, &format!("local {status}"), method, *sent).await;
            }
        }
        logs::wait("responses_local", "a local response has the status 101: 500 is sent; use one from 200 to 599")
            .await;
    });
}

/// All headers of a response with the body `gone`, set by `proxy_set_header_map_pairs`; `-` is no status.
const PAIRS: &[(&[&str], &[&str], Sent)] = &[
    (
        &["200"],
        &["GET", "POST"],
        ("HTTP/1.1 200 OK|content-length: 4|x: 1||gone", "HEADERS 200 length=4; DATA gone END"),
    ),
    (&["200"], &["HEAD"], ("HTTP/1.1 200 OK|content-length: 4|x: 1||", "HEADERS 200 length=4 END")),
    (&["204"], &["GET", "HEAD"], ("HTTP/1.1 204 No Content|x: 1||", "HEADERS 204 END")),
    (&["205"], &["GET"], ("HTTP/1.1 205 Reset Content|x: 1|content-length: 0||", "HEADERS 205 length=0 END")),
    (&["205"], &["HEAD"], ("HTTP/1.1 205 Reset Content|content-length: 0|x: 1||", "HEADERS 205 length=0 END")),
    (&["304"], &["GET", "HEAD"], ("HTTP/1.1 304 Not Modified|content-length: 4|x: 1||", "HEADERS 304 length=4 END")),
    (&["599"], &["GET"], ("HTTP/1.1 599 <none>|content-length: 4|x: 1||gone", "HEADERS 599 length=4; DATA gone END")),
    (
        &["0", "7", "99", "007", "100", "101", "103", "199", "600", "999", "1000", "abc", "2x0", " 200", "", "-"],
        &["GET"],
        REFUSED,
    ),
    (&["101", "-"], &["HEAD"], ("HTTP/1.1 500 Internal Server Error||", "HEADERS 500 END")),
];

fn setting(status: &str) -> PathBuf {
    let fields = [(":status", status), ("content-length", "4"), ("x", "1")];
    let (pairs, length) = wat::pairs(&fields[usize::from(status == "-")..]);
    wat::plugin_with(
        r#"(import "env" "proxy_set_header_map_pairs" (func $set (param i32 i32 i32) (result i32)))"#,
        &format!(
            r#"(data (i32.const 64) "{pairs}")
            (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
                (if (call $set (i32.const 2) (i32.const 64) (i32.const {length})) (then (unreachable)))
                (i32.const 0))"#
        ),
    )
}

#[test]
fn headers_that_plugins_set() {
    run(async {
        for protocol in ["protocol: http1", "protocol: http2"] {
            let upstream = Upstream::new(|_| async { reply(200, "gone") });
            for (statuses, methods, sent) in PAIRS {
                for (status, method) in
                    statuses.iter().flat_map(|status| methods.iter().map(move |method| (status, method)))
                {
                    let setup = Setup::to(&upstream).backend(protocol).plugin("responses_pairs", &setting(status), "");
                    check(&setup, &format!("{protocol} {status:?}"), method, *sent).await;
                }
            }
        }
    });
}

const UNKNOWN: Sent = (
    "HTTP/1.1 502 Bad Gateway|content-length: 87|content-type: text/plain||upstream connect error or disconnect/reset before \
     headers. reset reason: protocol error",
    "HEADERS 502 length=87; DATA upstream connect error or disconnect/reset before headers. reset reason: protocol error END",
);

/// The bytes that an HTTP/1.1 upstream writes.
const UPSTREAM_H1: &[(&str, &str, Sent)] = &[
    (
        "GET",
        "HTTP/1.1 200 OK|content-length: 4||gone",
        ("HTTP/1.1 200 OK|content-length: 4||gone", "HEADERS 200 length=4; DATA gone END"),
    ),
    (
        "GET",
        "HTTP/1.1 200 OK|transfer-encoding: chunked||4|gone|0||",
        ("HTTP/1.1 200 OK|transfer-encoding: chunked||4|gone|0||", "HEADERS 200; DATA gone END"),
    ),
    (
        "GET",
        "HTTP/1.0 200 OK||gone",
        ("HTTP/1.1 200 OK|transfer-encoding: chunked||4|gone|0||", "HEADERS 200; DATA gone END"),
    ),
    (
        "HEAD",
        "HTTP/1.1 200 OK|content-length: 4||",
        ("HTTP/1.1 200 OK|content-length: 4||", "HEADERS 200 length=4 END"),
    ),
    (
        "HEAD",
        "HTTP/1.1 200 OK|content-length: 4||gone",
        ("HTTP/1.1 200 OK|content-length: 4||", "HEADERS 200 length=4 END"),
    ),
    ("HEAD", "HTTP/1.1 200 OK|transfer-encoding: chunked||", ("HTTP/1.1 200 OK||", "HEADERS 200 END")),
    ("HEAD", "HTTP/1.1 200 OK||", ("HTTP/1.1 200 OK||", "HEADERS 200 END")),
    ("GET", "HTTP/1.1 204 No Content||", ("HTTP/1.1 204 No Content||", "HEADERS 204 END")),
    ("GET", "HTTP/1.1 204 No Content|content-length: 4||gone", ("HTTP/1.1 204 No Content||", "HEADERS 204 END")),
    (
        "GET",
        "HTTP/1.1 204 No Content|transfer-encoding: chunked||4|gone|0||",
        ("HTTP/1.1 204 No Content||", "HEADERS 204 END"),
    ),
    (
        "POST",
        "HTTP/1.1 205 Reset Content|content-length: 4||gone",
        ("HTTP/1.1 205 Reset Content|content-length: 0||", "HEADERS 205 length=0 END"),
    ),
    ("GET", "HTTP/1.1 304 Not Modified||", ("HTTP/1.1 304 Not Modified||", "HEADERS 304 END")),
    (
        "GET",
        "HTTP/1.1 304 Not Modified|content-length: 4||",
        ("HTTP/1.1 304 Not Modified|content-length: 4||", "HEADERS 304 length=4 END"),
    ),
    (
        "HEAD",
        "HTTP/1.1 304 Not Modified|content-length: 4||",
        ("HTTP/1.1 304 Not Modified|content-length: 4||", "HEADERS 304 length=4 END"),
    ),
    ("GET", "HTTP/1.1 304 Not Modified|content-length: x||", ("HTTP/1.1 304 Not Modified||", "HEADERS 304 END")),
    (
        "GET",
        "HTTP/1.1 600 X|content-length: 4||gone",
        ("HTTP/1.1 600 <none>|content-length: 4||gone", "HEADERS 600 length=4; DATA gone END"),
    ),
    (
        "GET",
        "HTTP/1.1 999 X|content-length: 4||gone",
        ("HTTP/1.1 999 <none>|content-length: 4||gone", "HEADERS 999 length=4; DATA gone END"),
    ),
    ("GET", "HTTP/1.1 101 Switching Protocols|connection: upgrade|upgrade: x||", UNKNOWN),
    ("GET", "HTTP/1.1 099 X||", UNKNOWN),
    ("GET", "HTTP/1.1 1000 X||", UNKNOWN),
    ("GET", "HTTP/1.1 0 X||", UNKNOWN),
];

#[test]
fn upstreams_over_http1() {
    run(async {
        for (method, bytes, sent) in UPSTREAM_H1 {
            let bytes: &str = Box::leak(bytes.replace('|', "\r\n").into_boxed_str());
            check(&Setup::to_address(answering(bytes).await), bytes, method, *sent).await;
        }
    });
}

const L4: &[(&str, &str)] = &[("content-length", "4")];
const GONE: Part = Part::Data("gone", true);

/// The frames that an HTTP/2 upstream sends.
const UPSTREAM_H2: &[(&str, &[Part], Sent)] = &[
    (
        "GET",
        &[Part::Head("200", L4, false), GONE],
        ("HTTP/1.1 200 OK|content-length: 4||gone", "HEADERS 200 length=4; DATA gone END"),
    ),
    (
        "GET",
        &[Part::Head("200", L4, false), Part::Data("gone", false), Part::Data("", true)],
        ("HTTP/1.1 200 OK|content-length: 4||gone", "HEADERS 200 length=4; DATA gone END"),
    ),
    ("HEAD", &[Part::Head("200", L4, true)], ("HTTP/1.1 200 OK|content-length: 4||", "HEADERS 200 length=4 END")),
    ("HEAD", &[Part::Head("200", &[], false), GONE], ("HTTP/1.1 200 OK||", "HEADERS 200 END")),
    ("GET", &[Part::Head("204", &[], true)], ("HTTP/1.1 204 No Content||", "HEADERS 204 END")),
    ("GET", &[Part::Head("204", &[], false), GONE], ("HTTP/1.1 204 No Content||", "HEADERS 204 END")),
    ("GET", &[Part::Head("204", L4, false), GONE], ("HTTP/1.1 204 No Content||", "HEADERS 204 END")),
    (
        "GET",
        &[Part::Head("205", L4, false), GONE],
        ("HTTP/1.1 205 Reset Content|content-length: 0||", "HEADERS 205 length=0 END"),
    ),
    (
        "GET",
        &[Part::Head("304", L4, true)],
        ("HTTP/1.1 304 Not Modified|content-length: 4||", "HEADERS 304 length=4 END"),
    ),
    ("GET", &[Part::Head("304", &[], false), GONE], ("HTTP/1.1 304 Not Modified||", "HEADERS 304 END")),
    (
        "GET",
        &[Part::Head("600", L4, false), GONE],
        ("HTTP/1.1 600 <none>|content-length: 4||gone", "HEADERS 600 length=4; DATA gone END"),
    ),
    ("GET", &[Part::Head("099", &[], true)], UNKNOWN),
    ("GET", &[Part::Head("1000", &[], true)], UNKNOWN),
    ("GET", &[Part::Head("x", &[], true)], UNKNOWN),
];

#[test]
fn upstreams_over_http2() {
    run(async {
        for (method, parts, sent) in UPSTREAM_H2 {
            let setup = Setup::to_address(answering_h2(parts, Go::default()).await).backend("protocol: http2");
            check(&setup, &format!("{parts:?}"), method, *sent).await;
        }
    });
}

/// A plugin that changes the method changes what the upstream sends, not what the client can read.
#[test]
fn methods_that_plugins_change() {
    const ROWS: &[(&str, &str, Sent)] = &[
        ("HEAD", "GET", ("HTTP/1.1 200 OK|content-length: 4||", "HEADERS 200 length=4 END")),
        ("GET", "HEAD", ("HTTP/1.1 200 OK|content-length: 0||", "HEADERS 200 length=0 END")),
        ("POST", "HEAD", ("HTTP/1.1 200 OK|content-length: 0||", "HEADERS 200 length=0 END")),
        ("GET", "POST", ("HTTP/1.1 200 OK|content-length: 4||gone", "HEADERS 200 length=4; DATA gone END")),
    ];
    run(async {
        for protocol in ["protocol: http1", "protocol: http2"] {
            let upstream = Upstream::new(|request| async move {
                let mut response = reply(200, if request.method() == Method::HEAD { "" } else { "gone" });
                response.headers_mut().insert(CONTENT_LENGTH, 4.into());
                response
            });
            for (method, made, sent) in ROWS {
                let change = plugin(&[(
                    "request_headers",
                    &format!(
                        r#"(drop (call $remove (i32.const 0) $":method")) (call $header (i32.const 0) $":method" $"{made}")
                        (i32.const 0)"#
                    ),
                )]);
                let setup = Setup::to(&upstream).backend(protocol).plugin("responses_method", &change, "");
                check(&setup, &format!("{protocol} as {made}"), method, *sent).await;
            }
        }
    });
}

/// Answers of the gateway before there is a stream.
#[test]
fn requests_that_are_refused_at_the_door() {
    run(async {
        let gate = Setup::echo().start();
        let fields = |method| [(":method", method), (":scheme", "ftp"), (":path", "/"), (":authority", "a")];
        for (method, body) in [("GET", "the request's scheme is neither http nor https"), ("HEAD", "")] {
            let reply = Raw::connect(gate.address()).await.ask_h2(&fields(method), None).await;
            assert_eq!(reply, Reply::Response(400, body.to_owned()));
            let mut raw = Raw::connect(gate.address()).await;
            raw.write(&format!("{method} ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n")).await;
            let answer = raw.read_all().await;
            assert!(answer.contains("\r\ncontent-length: 58\r\n"), "{answer}");
            assert_eq!(answer.ends_with("\r\n\r\n"), method == "HEAD", "{answer}");
        }
    });
}
