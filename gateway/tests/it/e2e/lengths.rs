//! Bodies that plugins make longer or shorter, and what their heads say of it.

use std::path::PathBuf;

use http::Request;
use http_body_util::BodyExt;

use crate::e2e::harness::{
    Answer, Go, Part, Raw, Setup, Upstream, answering, answering_h2, answering_in_two, channel, get, logs, plugin,
    post, reply, run, until, wat, within,
};

const PROTOCOLS: [&str; 2] = ["protocol: http1", "protocol: http2"];
const HOLD: &str = "allow_on_headers_stop_iteration: true";
const LOGGED: &str = "body is longer or shorter than its content-length";

/// A plugin that replaces the last piece of a body.
fn replacing(direction: &str, text: &str) -> PathBuf {
    let buffer = i32::from(direction == "response");
    let code = format!(
        r#"(if (local.get $end)
            (then (drop (call $buffer (i32.const {buffer}) (i32.const 0) (local.get $n) $"{text}")))) (i32.const 0)"#
    );
    plugin(&[(&format!("{direction}_body"), &code)])
}

/// A plugin that holds a head until it has the whole body, and replaces that.
fn holding(direction: &str, text: &str) -> PathBuf {
    let buffer = i32::from(direction == "response");
    let code = format!(
        r#"(if (i32.eqz (local.get $end)) (then (return (i32.const 1))))
        (drop (call $buffer (i32.const {buffer}) (i32.const 0) (i32.const 1000) $"{text}")) (i32.const 0)"#
    );
    plugin(&[(&format!("{direction}_headers"), "(i32.const 1)"), (&format!("{direction}_body"), &code)])
}

/// An innocent plugin, which reads all bodies.
fn reading() -> PathBuf {
    plugin(&[("request_body", "(i32.const 0)"), ("response_body", "(i32.const 0)")])
}

#[test]
fn a_length_is_corrected_while_the_head_is_held() {
    run(async {
        for text in ["s", "longer than before", ""] {
            for protocol in PROTOCOLS {
                let upstream = Upstream::echo();
                let setup =
                    Setup::to(&upstream).backend(protocol).plugin("length_held", &holding("request", text), HOLD);
                let gate = setup.start();
                for mut client in [gate.h1().await, gate.h2().await] {
                    let told = client.ask(post("/", "body")).await.json();
                    assert_eq!(told["body"], text);
                    assert_eq!(told["headers"]["content-length"], text.len().to_string(), "{told}");
                }
                let upstream = Upstream::new(|_| async { reply(200, "gone") });
                let setup =
                    Setup::to(&upstream).backend(protocol).plugin("length_held", &holding("response", text), HOLD);
                let gate = setup.start();
                for mut client in [gate.h1().await, gate.h2().await] {
                    let answer = client.ask(get("/")).await;
                    assert_eq!((answer.text(), answer.header("content-length")), (text, text.len().to_string()));
                }
            }
        }
        assert_eq!(logs::count("length_held", LOGGED), 0);
    });
}

#[test]
fn a_body_of_any_length_follows_a_head_that_says_none() {
    run(async {
        let remove = plugin(&[
            ("request_headers", r#"(drop (call $remove (i32.const 0) $"content-length")) (i32.const 0)"#),
            ("response_headers", r#"(drop (call $remove (i32.const 2) $"content-length")) (i32.const 0)"#),
        ]);
        for protocol in PROTOCOLS {
            let upstream = Upstream::echo();
            let setup = Setup::to(&upstream).backend(protocol).plugin("length_removed", &remove, "");
            let setup = setup.plugin("length_changed", &replacing("request", "longer than before"), "");
            let gate = setup.plugin("length_changed", &replacing("response", "s"), "").start();
            for mut client in [gate.h1().await, gate.h2().await] {
                assert_eq!(client.ask(post("/", "body")).await.text(), "s");
            }
        }
    });
}

/// The upstream never gets a body that looks whole, and is not blamed.
#[test]
fn a_request_that_ends_up_longer_or_shorter_is_500_at_once() {
    run(async {
        let (told, mut results) = tokio::sync::mpsc::unbounded_channel();
        for (index, text) in ["s", "longer than before", ""].into_iter().enumerate() {
            for protocol in PROTOCOLS {
                let told = told.clone();
                let upstream = Upstream::new(move |request: Request<hyper::body::Incoming>| {
                    let told = told.clone();
                    async move {
                        let whole = request.into_body().collect().await.is_ok();
                        let _ = told.send(whole);
                        reply(200, "")
                    }
                });
                let name = format!("length_request_{index}_{protocol:.15}").replace(": ", "_");
                // A time that would be the test's end.
                let setup = Setup::to(&upstream).backend(protocol).backend("request_timeout: 1000s");
                let setup = setup.plugin(&format!("{name}_other"), &reading(), "");
                let gate = setup.plugin(&name, &replacing("request", text), "").start();
                for (clients, mut client) in [gate.h1().await, gate.h2().await].into_iter().enumerate() {
                    let answer = client.ask(post("/", "body")).await;
                    assert_eq!(
                        (answer.status, answer.text()),
                        (500, "a plugin changed the length of the request's body")
                    );
                    assert_eq!(logs::count(&name, LOGGED), clients + 1, "{name}");
                }
                assert_eq!(logs::count(&format!("{name}_other"), LOGGED), 0);
            }
        }
        drop(told);
        while let Some(whole) = results.recv().await {
            assert!(!whole);
        }
    });
}

/// All that was promised has come before a plugin appends to it: the upstream has not got it yet.
#[test]
fn a_request_is_not_whole_before_its_end() {
    run(async {
        for protocol in PROTOCOLS {
            let (told, mut results) = tokio::sync::mpsc::unbounded_channel();
            let upstream = Upstream::new(move |request: Request<hyper::body::Incoming>| {
                let told = told.clone();
                async move {
                    let mut body = request.into_body();
                    while let Some(Ok(frame)) = body.frame().await {
                        let _ = told.send(Some(frame.into_data().unwrap()));
                    }
                    let _ = told.send(None);
                    std::future::pending().await
                }
            });
            let name = format!("length_late_{protocol:.15}").replace(": ", "_");
            let setup = Setup::to(&upstream).backend(protocol).backend("request_timeout: 1000s");
            let telling = plugin(&[("request_body", r#"(call $say $"piece") (i32.const 0)"#)]);
            let setup = setup.plugin(&format!("{name}_tells"), &telling, "");
            let gate = setup.plugin(&name, &replacing("request", "more"), "").start();
            let (writer, body) = channel();
            let request = Request::post("/").header("content-length", "4").body(body).unwrap();
            let mut client = gate.h2().await;
            let breaking = async {
                writer.send("bo");
                assert_eq!(results.recv().await.unwrap().unwrap(), "bo");
                writer.send("dy");
                until(|| logs::count(&format!("{name}_tells"), "piece") == 2).await;
                // What may go on has gone on when another request has been served.
                let mut other = Raw::connect(gate.address()).await;
                other.write("GET / HTTP/1.1\r\nhost: a/b\r\n\r\n").await;
                other.read_all().await;
                drop(writer);
            };
            let (answer, ()) = tokio::join!(client.ask(request), breaking);
            assert_eq!(answer.status, 500, "{protocol}");
            assert_eq!(logs::count(&name, LOGGED), 1);
            let rest = within(results.recv()).await.unwrap();
            assert_eq!(rest, None, "{protocol}: no more of the body");
        }
    });
}

#[test]
fn a_response_that_ends_up_longer_or_shorter_is_cut() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n";
    const H2: [Part; 2] = [Part::Head("200", &[("content-length", "4")], false), Part::Wait];
    run(async {
        for (index, text) in ["s", "longer than before", ""].into_iter().enumerate() {
            for kind in ["http1", "http2", "late"] {
                let go = Go::default();
                let h2: &'static [Part] = if kind == "late" {
                    &[H2[0], Part::Data("gone", false), H2[1], Part::Data("", true)]
                } else {
                    &[H2[0], H2[1], Part::Data("gone", true)]
                };
                // Of what has come in two pieces, the second is replaced.
                if kind == "late" && text.is_empty() {
                    continue;
                }
                let address = match kind {
                    "http1" => answering_in_two(HEAD, "gone", go.clone()).await,
                    _ => answering_h2(h2, go.clone()).await,
                };
                let protocol = if kind == "http1" { PROTOCOLS[0] } else { PROTOCOLS[1] };
                let name = format!("length_response_{index}_{kind}");
                let setup =
                    Setup::to_address(address).backend(protocol).plugin(&name, &replacing("response", text), "");
                let gate = setup.plugin(&format!("{name}_other"), &reading(), "").start();
                for (clients, mut client) in [gate.h1().await, gate.h2().await].into_iter().enumerate() {
                    let response = client.send(get("/")).await.unwrap();
                    assert_eq!(response.headers()["content-length"], "4");
                    go.notify_one();
                    let answer = Answer::read(response).await;
                    assert!(answer.is_err(), "{name} {answer:?}");
                    until(|| logs::count(&name, LOGGED) == clients + 1).await;
                }
                assert_eq!(logs::count(&format!("{name}_other"), LOGGED), 0);
            }
        }
    });
}

/// A length that is no number is not sent, and one that a plugin has made up is kept.
#[test]
fn a_length_that_plugins_write_is_a_promise() {
    run(async {
        let write = |direction: &str, length: &str| {
            let map = if direction == "response" { 2 } else { 0 };
            let code = format!(
                r#"(drop (call $remove (i32.const {map}) $"content-length"))
                (call $header (i32.const {map}) $"content-length" $"{length}") (i32.const 0)"#
            );
            plugin(&[(&format!("{direction}_headers"), &code)])
        };
        for protocol in PROTOCOLS {
            for (length, whole) in [("x", true), ("-1", true), ("4", true), ("3", false), ("5", false), ("0", true)] {
                let upstream = Upstream::echo();
                let gate =
                    Setup::to(&upstream).backend(protocol).plugin("length_written", &write("request", length), "");
                let gate = gate.start();
                for mut client in [gate.h1().await, gate.h2().await] {
                    let answer = client.ask(post("/", "body")).await;
                    if whole {
                        assert_eq!(answer.json()["body"], "body", "{length}");
                    } else {
                        assert_eq!(answer.status, 500, "{length}");
                    }
                }
                let go = Go::default();
                let address =
                    answering_in_two("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", "gone", go.clone()).await;
                let gate = Setup::to_address(address).plugin("length_written", &write("response", length), "").start();
                for mut client in [gate.h1().await, gate.h2().await] {
                    let response = client.send(get("/")).await.unwrap();
                    go.notify_one();
                    match Answer::read(response).await {
                        Ok(answer) => assert!(whole && answer.text() == "gone", "{length} {answer:?}"),
                        Err(_) => assert!(!whole, "{length}"),
                    }
                }
            }
        }
    });
}

/// The body of a callout is whole when it is sent, so its length is known.
#[test]
fn a_callout_has_the_length_of_its_body() {
    run(async {
        let service = Upstream::echo();
        for (protocol, trailers) in PROTOCOLS.into_iter().flat_map(|protocol| [(protocol, false), (protocol, true)]) {
            let head = [(":method", "POST"), (":path", "/"), (":authority", "a"), ("content-length", "9")];
            let (head, length) = wat::pairs(&head);
            let (tail, tail_length) = wat::pairs(if trailers { &[("x-sum", "1")] } else { &[] });
            let calls = wat::plugin_with(
                r#"(import "env" "proxy_get_buffer_bytes" (func $get (param i32 i32 i32 i32 i32) (result i32)))"#,
                &format!(
                    r#"(data (i32.const 64) "{head}") (data (i32.const 512) "{tail}")
                    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                        (drop (call $call $"service" (i32.const 64) (i32.const {length}) $"abc"
                            (i32.const 512) (i32.const {tail_length}) (i32.const 5000) (i32.const 16)))
                        (i32.const 1))
                    (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
                        (drop (call $get (i32.const 4) (i32.const 0) (i32.const 4000) (i32.const 16) (i32.const 20)))
                        (call $say (i32.load (i32.const 16)) (i32.load (i32.const 20))))"#
                ),
            );
            let name = format!("length_callout_{}_{trailers}", protocol.replace(": ", "_"));
            let setup = Setup::echo().cluster("service", &format!("endpoints: [{}], {protocol}", service.address));
            let gate = setup.plugin(&name, &calls, "").start();
            let mut raw = Raw::connect(gate.address()).await;
            raw.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            logs::wait(&name, "\"body\":\"abc\"").await;
            let length = if trailers { 0 } else { 1 };
            assert_eq!(logs::count(&name, "\"content-length\":\"3\""), length, "{:?}", logs::of(&name));
            assert_eq!(logs::count(&name, "\"content-length\":\"9\""), 0);
        }
    });
}

/// The client sees that something is missing.
#[test]
fn an_upstream_that_sends_less_than_it_said_is_not_whole() {
    run(async {
        let gate = Setup::to_address(answering("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ngone").await).start();
        for mut client in [gate.h1().await, gate.h2().await] {
            assert!(client.try_ask(get("/")).await.map_or(true, |answer| answer.status == 503));
        }
    });
}
