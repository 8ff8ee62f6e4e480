//! One canonical request at the door: two readers read the same, or nobody reads it.

use tokio::io::AsyncWriteExt;

use crate::e2e::harness::{Gate, Raw, Reply, Setup, Upstream, get, logs, plugin, run, within};

/// RFC 9113, section 7.
const PROTOCOL_ERROR: u32 = 1;

/// The fate of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The upstream gets it, for this authority and path.
    Forwarded(&'static str, &'static str),
    /// No route takes it; plugins see it.
    NotFound,
    /// The gateway answers it so, and nobody hears of it.
    Refused(u16),
    /// Its HTTP/2 stream is reset with PROTOCOL_ERROR, and nobody hears of it.
    Reset,
    /// Its HTTP/2 connection is closed, by h2.
    Closed,
}

use Fate::{Closed, Forwarded, NotFound, Refused, Reset};

/// A gateway with a plugin that logs each request that it hears of.
fn gate(upstream: &Upstream, name: &str) -> Gate {
    let heard = plugin(&[("request_headers", r#"(call $say $"heard") (i32.const 0)"#)]);
    Setup::to(upstream).plugin(name, &heard, "").start()
}

/// Reads a request's fate from its answer. The echo tells of requests that were forwarded.
fn check(what: &str, expected: Fate, status: u16, body: &str) {
    match expected {
        Forwarded(authority, path) => {
            let told: serde_json::Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{what}: {body}"));
            let seen = (status, told["authority"].as_str(), told["path"].as_str());
            assert_eq!(seen, (200, Some(authority), Some(path)), "{what}");
            assert_eq!(told["headers"]["host"], authority, "{what}");
        }
        NotFound => assert_eq!((status, body), (404, ""), "{what}"),
        Refused(refused) => assert_eq!(status, refused, "{what}: {body}"),
        Reset | Closed => panic!("{what}: {status} {body}"),
    }
}

/// How many requests plugins, and the upstream, should have heard of.
async fn check_heard(fates: impl Iterator<Item = Fate> + Clone, name: &'static str, upstream: &Upstream) {
    let forwarded = fates.clone().filter(|fate| matches!(fate, Forwarded(..))).count();
    let seen = forwarded + fates.filter(|fate| *fate == NotFound).count();
    logs::wait(name, "heard").await;
    assert_eq!((logs::count(name, "heard"), upstream.requests()), (seen, forwarded), "{name}");
}

const HTTP1: &[(&str, Fate)] = &[
    ("GET / HTTP/1.1\r\nhost: a", Forwarded("a", "/")),
    ("GET / HTTP/1.1\r\nhost: A.b:8080", Forwarded("A.b:8080", "/")),
    ("GET / HTTP/1.1\r\nhost: [::1]:80", Forwarded("[::1]:80", "/")),
    // Host (RFC 9112, section 3.2).
    ("GET / HTTP/1.1\r\nx: 1", Refused(400)),
    ("GET / HTTP/1.1\r\nhost: a\r\nhost: a", Refused(400)),
    ("GET / HTTP/1.1\r\nhost: a\r\nhost: b", Refused(400)),
    ("GET / HTTP/1.1\r\nhost: ", Refused(400)),
    ("GET / HTTP/1.1\r\nhost: a b", Refused(400)),
    ("GET / HTTP/1.1\r\nhost: a/b", Refused(400)),
    ("GET / HTTP/1.1\r\nhost: user@a", Refused(400)),
    ("GET / HTTP/1.1\r\nhost: a,b", Refused(400)),
    ("GET / HTTP/1.1\r\nhost: a:x", Refused(400)),
    ("GET / HTTP/1.1\r\nhost: :80", Refused(400)),
    ("GET / HTTP/1.0\r\nhost: a", Forwarded("a", "/")),
    ("GET / HTTP/1.0\r\nhost: a\r\nhost: a", Refused(400)),
    ("GET / HTTP/1.0\r\nhost: a/b", Refused(400)),
    // Targets (RFC 9112, section 3.2).
    ("GET x HTTP/1.1\r\nhost: a", Refused(400)),
    ("GET x:80 HTTP/1.1\r\nhost: a", Refused(400)),
    ("GET ?x HTTP/1.1\r\nhost: a", Refused(400)),
    ("GET http:x HTTP/1.1\r\nhost: a", Refused(400)),
    ("GET http:///x HTTP/1.1\r\nhost: a", Refused(400)),
    ("GET //b/x HTTP/1.1\r\nhost: a", Forwarded("a", "//b/x")),
    ("GET http://a/x HTTP/1.1\r\nhost: a", Forwarded("a", "/x")),
    ("GET https://a/x HTTP/1.1\r\nhost: a", Forwarded("a", "/x")),
    ("GET http://b/x HTTP/1.1\r\nhost: a", Forwarded("b", "/x")),
    ("GET http://b/x HTTP/1.0\r\nx: 1", Forwarded("b", "/x")),
    ("GET http://b/x HTTP/1.1\r\nx: 1", Refused(400)),
    ("GET http://b/x HTTP/1.1\r\nhost: a/b", Refused(400)),
    ("GET http://user:word@b:81/x HTTP/1.1\r\nhost: a", Forwarded("b:81", "/x")),
    ("GET http://a,b/x HTTP/1.1\r\nhost: a", Refused(400)),
    ("GET http://a HTTP/1.1\r\nhost: a", Forwarded("a", "/")),
    ("GET http://a?x HTTP/1.1\r\nhost: a", Forwarded("a", "/?x")),
    ("GET http://a#x HTTP/1.1\r\nhost: a", Forwarded("a", "/")),
    ("GET ftp://a/x HTTP/1.1\r\nhost: a", Refused(400)),
    ("GET * HTTP/1.1\r\nhost: a", Refused(400)),
    ("OPTIONS * HTTP/1.1\r\nhost: a", NotFound),
    ("OPTIONS /x HTTP/1.1\r\nhost: a", Forwarded("a", "/x")),
    // Methods.
    ("TRACE / HTTP/1.1\r\nhost: a", Refused(405)),
    ("CONNECT a:80 HTTP/1.1\r\nhost: a", Refused(405)),
    ("CONNECT a:80 HTTP/1.1\r\nx: 1", Refused(400)),
    // Transfer codings (RFC 9112, section 6.1): what does not end with `chunked` hyper refuses.
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked", Forwarded("a", "/")),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\ntransfer-encoding: chunked", Forwarded("a", "/")),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked", Refused(501)),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked", Refused(501)),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity, chunked", Refused(501)),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked", Refused(400)),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip", Refused(400)),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip", Refused(400)),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: ", Refused(400)),
    ("POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked", Refused(400)),
];

#[test]
fn of_http1_only_what_means_one_thing_is_forwarded() {
    run(async {
        let upstream = Upstream::echo();
        let gate = gate(&upstream, "door_h1");
        for (head, fate) in HTTP1 {
            let mut raw = Raw::connect(gate.address()).await;
            let body = if head.contains("transfer-encoding: ") { "0\r\n\r\n" } else { "" };
            raw.write(&format!("{head}\r\nconnection: close\r\n\r\n{body}")).await;
            let answer = raw.read_all().await;
            let (top, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{head:?}: {answer:?}"));
            check(head, *fate, top.split(' ').nth(1).unwrap().parse().unwrap(), body);
        }
        check_heard(HTTP1.iter().map(|(_, fate)| *fate), "door_h1", &upstream).await;
    });
}

const M: (&str, &str) = (":method", "GET");
const S: (&str, &str) = (":scheme", "http");
const P: (&str, &str) = (":path", "/x");
const A: (&str, &str) = (":authority", "a");

const HTTP2: &[(&[(&str, &str)], Fate)] = &[
    (&[M, S, P, A], Forwarded("a", "/x")),
    (&[M, (":scheme", "https"), P, A], Forwarded("a", "/x")),
    // `host` stands in for a missing `:authority` (RFC 9113, section 8.3.1).
    (&[M, S, P], Refused(400)),
    (&[M, S, P, ("host", "b")], Forwarded("b", "/x")),
    (&[M, S, P, ("host", "")], Refused(400)),
    (&[M, S, P, ("host", "a b")], Refused(400)),
    (&[M, S, P, ("host", "a/b")], Refused(400)),
    (&[M, S, P, ("host", "b"), ("host", "b")], Refused(400)),
    (&[M, S, P, A, ("host", "A")], Forwarded("a", "/x")),
    (&[M, S, P, A, ("host", "b")], Refused(400)),
    (&[M, S, P, A, ("host", "a"), ("host", "b")], Refused(400)),
    // Pseudo-headers (RFC 9113, section 8.3).
    (&[M, S, P, A, A], Reset),
    (&[M, S, P, P, A], Reset),
    (&[M, M, S, P, A], Reset),
    (&[M, S, S, P, A], Reset),
    (&[S, P, A], Reset),
    (&[M, P, A], Reset),
    (&[M, S, A], Reset),
    (&[M, S, P, ("x", "1"), A], Reset),
    (&[M, S, P, A, (":status", "200")], Reset),
    (&[M, S, P, A, (":new", "1")], Closed),
    (&[M, S, P, (":authority", "")], Reset),
    (&[M, S, P, (":authority", "user@a")], Reset),
    (&[M, S, P, (":authority", "a b")], Reset),
    (&[M, S, P, (":authority", "a/b")], Reset),
    (&[M, S, P, (":authority", "a,b")], Reset),
    (&[M, S, (":path", ""), A], Reset),
    (&[M, S, (":path", "x"), A], Reset),
    (&[M, S, (":path", "*"), A], Reset),
    (&[M, S, (":path", "http://b/x"), A], Reset),
    (&[M, S, (":path", "?x"), A], Reset),
    (&[M, (":scheme", "ftp"), P, A], Refused(400)),
    (&[(":method", "OPTIONS"), S, (":path", "*"), A], NotFound),
    // Methods, and fields of a connection (RFC 9113, section 8.2.2).
    (&[(":method", "TRACE"), S, P, A], Refused(405)),
    (&[(":method", "CONNECT"), A], Refused(405)),
    (&[M, S, P, A, ("transfer-encoding", "chunked")], Reset),
    (&[M, S, P, A, ("connection", "close")], Reset),
];

#[test]
fn of_http2_only_what_means_one_thing_is_forwarded() {
    run(async {
        let upstream = Upstream::echo();
        let gate = gate(&upstream, "door_h2");
        for (fields, fate) in HTTP2 {
            let what = format!("{fields:?}");
            match (Raw::connect(gate.address()).await.ask_h2(fields, None).await, *fate) {
                (Reply::Reset(PROTOCOL_ERROR), Reset) | (Reply::Closed, Closed) => {}
                (Reply::Response(status, body), fate) => check(&what, fate, status, &body),
                (reply, fate) => panic!("{what}: {reply:?}, and not {fate:?}"),
            }
        }
        check_heard(HTTP2.iter().map(|(_, fate)| *fate), "door_h2", &upstream).await;
    });
}

/// Such a request is for the address that the client connected to, and so for the route that takes any host.
#[test]
fn http_1_0_without_a_host_is_for_the_listener() {
    run(async {
        let upstream = Upstream::echo();
        let gate = gate(&upstream, "door_h10");
        for head in ["GET /x HTTP/1.0", "GET /x HTTP/1.0\r\nhost: "] {
            let mut raw = Raw::connect(gate.address()).await;
            raw.write(&format!("{head}\r\n\r\n")).await;
            let answer = raw.read_all().await;
            let authority = format!("\"authority\":\"{}\"", gate.address());
            assert!(answer.starts_with("HTTP/1.0 200 ") && answer.contains(&authority), "{answer}");
        }
    });
}

#[test]
fn what_is_refused_is_counted_and_its_connection_is_closed() {
    run(async {
        let gate = Setup::echo().listener("name: door_counted").start();
        let mut raw = Raw::connect(gate.address()).await;
        raw.write("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let answer = raw.read_all().await;
        assert!(answer.contains("\r\nconnection: close\r\n") && answer.matches("HTTP/1.1 ").count() == 1, "{answer}");
        let refused = "portcullis_requests_total{listener=\"door_counted\",class=\"4xx\"}";
        assert!((gate.metric(refused).await - 1.0).abs() < 0.1);
        let mut raw = Raw::connect(gate.address()).await;
        raw.write("TRACE / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        let answer = raw.read_all().await;
        assert!(answer.contains("\r\nallow: GET, ") && answer.contains("HTTP/1.1 200 "), "{answer}");
    });
}

/// Crumbs of HTTP/2 (RFC 9113, section 8.2.3) and lines of HTTP/1 are one field for routes, plugins and upstreams.
#[test]
fn cookies_are_one_line() {
    run(async {
        let read = plugin_reading("cookie");
        let upstream = Upstream::echo();
        for protocol in ["protocol: http1", "protocol: http2"] {
            let setup = Setup::to(&upstream).backend(protocol).cluster("other", "echo: {}");
            let route = "match: {headers: [{name: cookie, exact: 'a=1; b=2; c=3'}]}, cluster: backend";
            let gate = setup.route(route).route("cluster: other").plugin("door_cookies", &read, "").start();
            let fields = [M, S, P, A, ("cookie", "a=1"), ("x", "1"), ("cookie", "b=2"), ("cookie", "c=3")];
            let Reply::Response(200, body) = Raw::connect(gate.address()).await.ask_h2(&fields, None).await else {
                panic!()
            };
            assert!(body.contains("\"cookie\":\"a=1; b=2; c=3\""), "{body}");
            let mut raw = Raw::connect(gate.address()).await;
            raw.write("GET / HTTP/1.1\r\nhost: a\r\ncookie: a=1\r\nx: 1\r\ncookie: b=2\r\ncookie: c=3\r\n\r\n").await;
            let answer = raw.read_to("}").await;
            assert!(answer.contains("\"cookie\":\"a=1; b=2; c=3\""), "{answer}");
        }
        assert_eq!(upstream.requests(), 4);
        logs::wait("door_cookies", "a=1; b=2; c=3").await;
        assert_eq!(logs::count("door_cookies", "a=1; b=2; c=3"), 4);
    });
}

/// A plugin that logs the first value of a request header.
fn plugin_reading(name: &str) -> std::path::PathBuf {
    crate::e2e::harness::wat::plugin_with(
        r#"(import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))"#,
        &format!(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (drop (call $get (i32.const 0) $"{name}" (i32.const 16) (i32.const 20)))
                (call $say (i32.load (i32.const 16)) (i32.load (i32.const 20)))
                (i32.const 0))"#
        ),
    )
}

/// `host` is another name of `:authority`: what a plugin writes by it is what goes to the upstream.
#[test]
fn plugins_read_and_write_the_host() {
    run(async {
        let write =
            plugin(&[("request_headers", r#"(call $header (i32.const 0) $"Host" $"written.test") (i32.const 0)"#)]);
        for protocol in ["protocol: http1", "protocol: http2"] {
            let upstream = Upstream::echo();
            let setup = Setup::to(&upstream).backend(protocol).plugin("door_host_read", &plugin_reading("host"), "");
            let gate = setup.plugin("door_host_write", &write, "").start();
            for mut client in [gate.h1().await, gate.h2().await] {
                let told = client.ask(get("/")).await.json();
                assert_eq!(told["authority"], "written.test", "{told}");
            }
        }
        logs::wait("door_host_read", "gateway.test").await;
        assert_eq!(logs::count("door_host_read", "gateway.test"), 4);
    });
}

/// A plugin cannot send what the door would refuse.
#[test]
fn what_plugins_make_of_the_target_is_checked_as_well() {
    run(async {
        for (name, value, status) in [
            (":authority", "a b", 500),
            (":authority", "user@a", 500),
            (":authority", "", 500),
            ("host", "a/b", 500),
            (":path", "x", 404),
            (":path", "*", 404),
            (":method", "TRACE", 405),
            (":method", "CONNECT", 405),
        ] {
            let write = plugin(&[(
                "request_headers",
                &format!(
                    r#"(drop (call $remove (i32.const 0) $"{name}")) (call $header (i32.const 0) $"{name}" $"{value}")
                    (i32.const 0)"#
                ),
            )]);
            let upstream = Upstream::echo();
            let gate = Setup::to(&upstream).plugin("door_made", &write, "").start();
            assert_eq!(gate.h1().await.ask(get("/")).await.status, status, "{name} {value}");
            assert_eq!(upstream.requests(), 0, "{name} {value}");
        }
    });
}

/// Routes look at bytes, and at all values of a name.
#[test]
fn conditions_of_routes_see_what_is_no_text() {
    run(async {
        let (open, closed) = (Upstream::echo(), Upstream::echo());
        let gate = Setup::to(&closed)
            .cluster("open", &format!("endpoints: [{}]", open.address))
            .route("match: {headers: [{name: x-guard, present: true, invert: true}]}, cluster: open")
            .route("match: {headers: [{name: x-guard, exact: 'a,b'}]}, cluster: open")
            .route("match: {headers: [{name: host, exact: other.test}]}, cluster: open")
            .start();
        for (fields, is_open) in [
            (&b""[..], true),
            (b"x-guard: \xff\r\n", false),
            (b"x-guard:\r\n", false),
            (b"x-guard: a\r\nx-guard: b\r\n", true),
            (b"x-guard: a\r\nx-guard: c\r\n", false),
        ] {
            let before = open.requests();
            let mut raw = Raw::connect(gate.address()).await;
            let request = [b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n", fields, b"\r\n"].concat();
            within(raw.0.write_all(&request)).await.unwrap();
            let answer = raw.read_all().await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            assert_eq!(open.requests() - before, usize::from(is_open), "{}", fields.escape_ascii());
        }
        let before = open.requests();
        let mut raw = Raw::connect(gate.address()).await;
        raw.write("GET / HTTP/1.1\r\nhost: other.test\r\nx-guard: 1\r\nconnection: close\r\n\r\n").await;
        raw.read_all().await;
        assert_eq!(open.requests() - before, 1, "host is a header, too");
    });
}
