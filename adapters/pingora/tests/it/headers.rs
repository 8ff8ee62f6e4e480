//! Heads of requests and responses, local responses, and what plugins know of the connection.

use portcullis_core::abi::CallbackId;
use portcullis_core::hostcall::entry;
use portcullis_core::testing::{NullCaller, Script};
use portcullis_pingora::{BodyMode, Options};

use crate::http1::{Connection, get, post};
use crate::plugins::{ON_REQUEST, ON_RESPONSE, REQUEST, RESPONSE, remove, replace, scripted, tagger};
use crate::proxy::{Proxy, Setup};

#[test]
fn heads_pass_plugins_with_and_without_work_stealing_and_whatever_the_modes() {
    let modes = [BodyMode::Stream, BodyMode::Buffer];
    for (work_stealing, mode) in [(true, modes[0]), (false, modes[0]), (true, modes[1]), (false, modes[1])] {
        let options = Options::default().with_response_body(mode);
        let proxy = Proxy::with(&[tagger()], Setup { options, work_stealing, ..Setup::default() });
        let mut client = Connection::open(proxy.address);
        for _ in 0..3 {
            let answer = client.exchange(get("/empty", "x-one: 1\r\n"));
            assert_eq!(
                (answer.status(), answer.get("x-tag"), answer.get("x-inner")),
                (200, Some("response"), Some("1"))
            );
        }
        let seen = proxy.upstream.seen();
        assert_eq!(seen.len(), 3, "the client's connection is used again");
        for request in seen {
            assert_eq!((request.get("x-one"), request.get("x-tag")), (Some("1"), Some("request")));
        }
        assert_eq!(proxy.logged(), "early request peer response 200");
    }
}

#[test]
fn a_request_is_rewritten_before_the_proxy_sees_it() {
    let proxy = Proxy::start(&[scripted("rewriter", || {
        Script::new().on(ON_REQUEST, |caller, _| {
            replace(caller, REQUEST, ":path", "/own");
            replace(caller, REQUEST, ":authority", "other.example");
            remove(caller, REQUEST, "x-one");
            0
        })
    })]);
    let answer = proxy.exchange(get("/elsewhere", "x-one: 1\r\n"));
    assert_eq!((answer.status(), answer.text().as_str()), (200, "own"));
    assert!(proxy.upstream.seen().is_empty());
}

#[test]
fn the_upstream_gets_the_rewritten_head() {
    let proxy = Proxy::start(&[scripted("rewriter", || {
        Script::new().on(ON_REQUEST, |caller, _| {
            replace(caller, REQUEST, ":path", "/empty");
            replace(caller, REQUEST, ":authority", "other.example");
            remove(caller, REQUEST, "x-one");
            0
        })
    })]);
    proxy.exchange(get("/elsewhere", "x-one: 1\r\n"));
    let request = proxy.upstream.only();
    assert_eq!(
        (request.line.as_str(), request.get("host"), request.get("x-one")),
        ("GET /empty HTTP/1.1", Some("other.example"), None)
    );
}

#[test]
fn what_the_proxy_answers_itself_passes_the_plugins() {
    for mode in [BodyMode::Stream, BodyMode::Buffer] {
        let proxy = Proxy::optional(&[tagger()], Options::default().with_response_body(mode));
        let answer = proxy.exchange(get("/own", ""));
        assert_eq!((answer.text().as_str(), answer.get("x-tag")), ("own", Some("response")), "{mode:?}");
        assert_eq!(proxy.logged(), "early request 200");
    }
}

#[test]
fn plugins_answer_requests_and_replace_responses() {
    for mode in [BodyMode::Stream, BodyMode::Buffer] {
        let script = || {
            Script::new()
                .on(ON_REQUEST, |caller, _| {
                    let is_asked = caller.header(REQUEST, ":path").unwrap_or_default() == "/request";
                    i32::from(is_asked && caller.local_response(418, "a teapot") == 0)
                })
                .on(ON_RESPONSE, |caller, _| {
                    caller.add_header(RESPONSE, "x-seen", "1");
                    let is_upstreams = caller.header(RESPONSE, ":status").unwrap_or_default() == "200";
                    i32::from(is_upstreams && caller.local_response(418, "a teapot") == 0)
                })
        };
        let proxy = Proxy::optional(&[scripted("teapot", script)], Options::default().with_response_body(mode));
        let mut client = Connection::open(proxy.address);
        let first = client.exchange(get("/request", ""));
        assert_eq!(
            (first.status(), first.text().as_str(), first.get("x-seen")),
            (418, "a teapot", Some("1")),
            "{mode:?}"
        );
        assert_eq!(proxy.logged(), "early 418", "the proxy's hooks are not called");
        assert_eq!(client.exchange(get("/request", "")).status(), 418, "the connection goes on");
        assert!(proxy.upstream.seen().is_empty());
        for request in [
            get("/empty", "").into_bytes(),
            post("/echo", "", b"abc"),
            get("/large", "").into_bytes(),
            get("/chunked", "").into_bytes(),
        ] {
            let mut client = Connection::open(proxy.address);
            let second = client.exchange(request);
            let is_closed = second.get("connection") == Some("close");
            assert!(is_closed || client.exchange(get("/request", "")).status() == 418, "{mode:?}");
            assert_eq!((second.status(), second.text().as_str()), (418, "a teapot"), "{mode:?}");
        }
    }
}

#[test]
fn informational_responses_and_tunnels_pass_by() {
    for mode in [BodyMode::Stream, BodyMode::Buffer] {
        let proxy = Proxy::optional(&[tagger()], Options::default().with_response_body(mode));
        let mut client = Connection::open(proxy.address);
        let early = client.exchange(get("/103", ""));
        assert_eq!((early.status(), early.get("link"), early.get("x-tag")), (103, Some("</a>"), None), "{mode:?}");
        let answer = client.response("GET");
        assert_eq!((answer.text().as_str(), answer.get("x-tag")), ("later", Some("response")), "{mode:?}");

        // Pingora ends a tunnel whose upstream answers before it has been told that the request has no body, so one of a few has to last.
        assert!((0..10).any(|_| is_echoed(&mut Connection::open(proxy.address))), "{mode:?}");
    }
}

/// Returns whether a tunnel carries bytes both ways.
fn is_echoed(tunnel: &mut Connection) -> bool {
    let upgraded = tunnel.exchange(get("/upgrade", "upgrade: websocket\r\nconnection: upgrade\r\n"));
    assert_eq!((upgraded.status(), upgraded.get("x-tag")), (101, Some("response")));
    let (mut hello, mut echo) = ([0; 5], [0; 4]);
    let is_greeted = tunnel.tunnel(&mut hello) && hello == *b"hello";
    is_greeted && tunnel.write(b"ping").is_ok() && tunnel.tunnel(&mut echo) && echo == *b"ping"
}

#[test]
fn properties_tell_of_the_connection_and_the_upstream() {
    fn property(caller: &mut NullCaller<'_>, path: &[u8]) -> Vec<u8> {
        let (pointer, len) = caller.put(path);
        caller
            .bytes(|caller, out, out_len| Ok(entry::proxy_get_property(caller, pointer, len, out, out_len)? as i32))
            .unwrap_or_default()
    }
    let proxy = Proxy::start(&[scripted("properties", || {
        Script::new().on(ON_REQUEST, |_, _| 0).on(CallbackId::on_log, |caller, _| {
            let paths = [
                "source\0address",
                "destination\0address",
                "upstream\0address",
                "request\0protocol",
                "response\0code_details",
                "xds\0route_name",
                "xds\0cluster_name",
            ];
            for path in paths {
                let value = property(caller, path.as_bytes());
                caller.log(&format!("{}={}", path.replace('\0', "."), String::from_utf8_lossy(&value)));
            }
            let endpoints = property(caller, b"upstream\0num_endpoints");
            caller.log(&format!("endpoints={endpoints:?}"));
            let code = property(caller, b"response\0code");
            caller.log(&format!("code={:?}", code.first_chunk::<8>().map(|code| u64::from_le_bytes(*code))));
            0
        })
    })]);
    proxy.exchange(get("/empty", ""));
    proxy.wait_for("code=", 1);
    let all = proxy.host.messages().join("\n");
    for expected in [
        format!("destination.address={}", proxy.address),
        format!("upstream.address={}", proxy.upstream.address),
        "source.address=127.0.0.1:".to_owned(),
        "request.protocol=HTTP/1.1".to_owned(),
        "response.code_details=via_upstream".to_owned(),
        "xds.route_name=GET".to_owned(),
        "xds.cluster_name=early".to_owned(),
        "endpoints=[3, 0, 0, 0, 0, 0, 0, 0]".to_owned(),
        "code=Some(200)".to_owned(),
    ] {
        assert!(all.contains(&expected), "{expected} is not in {all}");
    }
}

#[test]
fn plugins_log_a_stream_once_and_in_every_case() {
    let script = || {
        let script = Script::new().on(ON_REQUEST, |_, _| 0).on(CallbackId::on_log, |caller, _| {
            caller.log("logged");
            0
        });
        script.on(CallbackId::on_delete, |caller, _| {
            caller.log("deleted");
            0
        })
    };
    let proxy = Proxy::start(&[scripted("log", script)]);
    proxy.exchange(get("/empty", ""));
    proxy.wait_for("deleted", 1);
    proxy.exchange(get("/own", ""));
    proxy.wait_for("deleted", 2);
    // The client goes away.
    let mut client = Connection::open(proxy.address);
    client.write(get("/hang", "")).unwrap();
    crate::proxy::wait_until(|| proxy.upstream.seen().len() == 2);
    drop(client);
    proxy.wait_for("deleted", 3);
    // In the midst of its body, too.
    let mut client = Connection::open(proxy.address);
    let request = post("/echo", "", b"abc");
    client.write(&request[..request.len() - 1]).unwrap();
    crate::proxy::wait_until(|| proxy.host.messages().len() >= 6);
    drop(client);
    proxy.wait_for("deleted", 4);
    assert_eq!(proxy.host.messages().iter().filter(|line| line.contains("logged")).count(), 4);
}

#[test]
fn a_request_that_could_be_read_in_two_ways_is_refused() {
    let proxy = Proxy::start(&[tagger()]);
    let answer = proxy.exchange("GET /empty HTTP/1.1\r\nhost: a b\r\n\r\n");
    assert_eq!(answer.status(), 400);
    assert!(proxy.upstream.seen().is_empty());
}

#[test]
fn fields_that_are_hidden_from_plugins_do_not_pass_them() {
    for mode in [BodyMode::Stream, BodyMode::Buffer] {
        let proxy = Proxy::optional(&[tagger()], Options::default().with_response_body(mode));
        let answer = proxy.exchange(get(
            "/nominates",
            "connection: x-hidden, x-tag\r\nx-hidden: 1\r\nx-tag: 1\r\nproxy-connection: x\r\n",
        ));
        assert_eq!(
            (answer.status(), answer.get("x-hidden"), answer.get("x-tag")),
            (200, None, Some("response")),
            "{mode:?}"
        );
        let request = proxy.upstream.only();
        assert_eq!((request.get("x-hidden"), request.get("x-tag")), (None, Some("request")), "{mode:?}");
        // Fields of one connection by themselves, which plugins do not see either.
        let passed = [answer.get("proxy-connection"), answer.get("te"), request.get("proxy-connection")];
        assert_eq!(passed, [None; 3], "{mode:?}");
    }
}

#[test]
fn a_plugin_does_not_make_head_another_method_nor_another_one_head() {
    let change = |to: &'static str| {
        move || {
            Script::new().on(ON_REQUEST, move |caller, _| {
                replace(caller, REQUEST, ":method", to);
                0
            })
        }
    };
    for mode in [BodyMode::Stream, BodyMode::Buffer] {
        for (from, to, expected) in [("HEAD", "GET", 500), ("GET", "HEAD", 500), ("GET", "OPTIONS", 200)] {
            let options = Options::default().with_response_body(mode);
            let proxy = Proxy::optional(&[scripted("changer", change(to))], options);
            let mut client = Connection::open(proxy.address);
            for path in ["/chunked", "/echo"] {
                let answer = client.exchange(format!("{from} {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
                assert_eq!(answer.status(), expected, "{mode:?} {from} {to} {path}");
            }
            let seen = proxy.upstream.seen();
            assert_eq!(seen.len(), if expected == 200 { 2 } else { 0 }, "{mode:?} {from} {to}");
        }
    }
}
