//! Plugins that hold bodies and change them.

use http::{HeaderValue, Request};
use http_body_util::BodyExt;

use crate::e2e::harness::{Sent, Setup, Upstream, channel, full, guest, logs, plugin, post, reply, run, until, within};

fn rewriting(header: &'static str, mode: &str, mut request: Request<Sent>) -> Request<Sent> {
    request.headers_mut().insert(header, HeaderValue::from_str(mode).unwrap());
    request
}

const MODES: [(&str, &str); 3] = [("append", "body<new>"), ("prepend", "<new>body"), ("replace", "<new>")];

#[test]
fn request_bodies_are_rewritten() {
    run(async {
        for protocol in ["protocol: http1", "protocol: http2"] {
            let upstream = Upstream::echo();
            let setup = Setup::to(&upstream).backend(protocol);
            let gate = setup.plugin("rewrite", &guest("body_rewrite"), "configuration: '<new>'").start();
            for mut client in [gate.h1().await, gate.h2().await] {
                for (mode, body) in MODES {
                    let echoed = client.ask(rewriting("x-body-rewrite", mode, post("/", "body"))).await.json();
                    assert_eq!(echoed["body"], body, "{mode}");
                    let (writer, sent) = channel();
                    writer.send("bo");
                    writer.send("dy");
                    drop(writer);
                    let request = Request::post("/").body(sent).unwrap();
                    assert_eq!(
                        client.ask(rewriting("x-body-rewrite", mode, request)).await.json()["body"],
                        body,
                        "{mode}"
                    );
                }
            }
        }
    });
}

#[test]
fn response_bodies_are_rewritten() {
    run(async {
        for protocol in ["protocol: http1", "protocol: http2"] {
            let upstream = Upstream::new(|_| async { reply(200, "body") });
            let setup = Setup::to(&upstream).backend(protocol);
            let gate = setup.plugin("rewrite_back", &guest("body_rewrite"), "configuration: '<new>'").start();
            for mut client in [gate.h1().await, gate.h2().await] {
                for (mode, body) in MODES {
                    let answer = client.ask(rewriting("x-response-rewrite", mode, post("/", ""))).await;
                    assert_eq!((answer.status, answer.text()), (200, body), "{mode}");
                    let length = answer.header("content-length");
                    assert!(length.is_empty() || length == body.len().to_string(), "{length}");
                }
                let both =
                    rewriting("x-body-rewrite", "append", rewriting("x-response-rewrite", "append", post("/", "x")));
                assert_eq!(client.ask(both).await.text(), "body<new>");
            }
        }
    });
}

#[test]
fn what_is_held_has_a_limit() {
    run(async {
        // It answers no request that has not ended: an answer would leave before the limit is met.
        let upstream = Upstream::new(|request| async {
            let _ = request.into_body().collect().await;
            http::Response::new(unfinished(4096))
        });
        let setup = Setup::to(&upstream).listener("buffer_limit: 1KiB");
        let gate = setup.plugin("limit", &guest("body_rewrite"), "").start();
        for mut client in [gate.h1().await, gate.h2().await] {
            let answer = client
                .ask(rewriting("x-body-rewrite", "append", Request::post("/").body(unfinished(4096)).unwrap()))
                .await;
            assert_eq!((answer.status, answer.text()), (413, "Payload Too Large"));
        }
        for mut client in [gate.h1().await, gate.h2().await] {
            let answer = client.try_ask(rewriting("x-response-rewrite", "append", post("/", "small"))).await;
            // The head has left before the body was held: all that can be done is to cut it.
            assert!(answer.is_err(), "{answer:?}");
        }
    });
}

/// A body that is not at its end before its reader is: all in one piece, nothing of it would be held.
fn unfinished(len: usize) -> Sent {
    let (writer, body) = channel();
    writer.send(vec![b'x'; len]);
    tokio::spawn(async move { writer.closed().await });
    body
}

/// Holds headers while the body flows, and lets both go at the end.
#[test]
fn overflow_while_headers_are_held_is_500() {
    run(async {
        let wat = plugin(&[
            ("request_headers", "(i32.const 1)"),
            ("request_body", "(i32.eqz (local.get $end))"),
            ("response_headers", "(i32.const 1)"),
            ("response_body", "(i32.eqz (local.get $end))"),
        ]);
        let upstream = Upstream::new(|request| async move {
            let body = if request.uri().path() == "/big" { unfinished(4096) } else { full(vec![b'y'; 100]) };
            http::Response::new(body)
        });
        let setup = Setup::to(&upstream).listener("buffer_limit: 1KiB");
        let gate = setup.plugin("hold", &wat, "allow_on_headers_stop_iteration: true").start();
        for mut client in [gate.h1().await, gate.h2().await] {
            let answer = client.ask(post("/big", "small")).await;
            assert_eq!((answer.status, answer.text()), (500, "Internal Server Error"));
            assert_eq!(client.ask(post("/", "small")).await.body.len(), 100);
        }
        let before = upstream.requests();
        for mut client in [gate.h1().await, gate.h2().await] {
            assert_eq!(client.ask(Request::post("/").body(unfinished(4096)).unwrap()).await.status, 413);
        }
        assert_eq!(upstream.requests(), before, "nothing of it left");
    });
}

/// A length that is no longer true is put right while the head is still there.
#[test]
fn a_body_that_is_emptied_has_no_length() {
    run(async {
        let empty = |buffer: u8| {
            let set = format!(
                "(call $buffer (i32.const {buffer}) (i32.const 0) (i32.const 0x7fffffff) (i32.const 0) (i32.const 0))"
            );
            format!("(if (local.get $end) (then (drop {set}))) (i32.eqz (local.get $end))")
        };
        let wat = plugin(&[
            ("request_headers", "(i32.const 1)"),
            ("request_body", &empty(0)),
            ("response_headers", "(i32.const 1)"),
            ("response_body", &empty(1)),
        ]);
        let upstream = Upstream::new(|request| async move {
            let length = request.headers().get("content-length").cloned();
            let got = request.into_body().collect().await.unwrap().to_bytes();
            let mut response = reply(200, "to be emptied");
            response.headers_mut().insert("x-got", format!("{got:?} {length:?}").parse().unwrap());
            response
        });
        for protocol in ["protocol: http1", "protocol: http2"] {
            let setup = Setup::to(&upstream).backend(protocol);
            let gate = setup.plugin("emptied", &wat, "allow_on_headers_stop_iteration: true").start();
            for mut client in [gate.h1().await, gate.h2().await] {
                for _ in 0..2 {
                    let answer = client.ask(post("/", "also emptied")).await;
                    assert_eq!((answer.status, answer.body.len()), (200, 0));
                    assert_eq!(answer.header("content-length"), "0");
                    let got = answer.header("x-got");
                    assert!(got.starts_with("b\"\" ") && !got.contains("12"), "{got}");
                }
            }
        }
    });
}

/// By default StopIteration holds everything, and stops reading at the limit; a tick lets it go.
#[test]
fn a_paused_request_is_resumed_by_a_tick() {
    run(async {
        let wat = plugin(&[
            ("configure", "(drop (call $tick (i32.const 20))) (i32.const 1)"),
            ("request_headers", "(global.set $stream (local.get $id)) (i32.const 1)"),
            ("request_body", r#"(call $say $"body seen") (i32.const 0)"#),
            (
                "tick",
                r#"(if (global.get $stream) (then
                    (drop (call $effective (global.get $stream)))
                    (call $header (i32.const 0) $"x-resumed" $"yes")
                    (drop (call $resume (i32.const 0)))
                    (global.set $stream (i32.const 0))))"#,
            ),
        ]);
        let upstream = Upstream::echo();
        let setup = Setup::to(&upstream).listener("buffer_limit: 1KiB");
        let gate = setup.plugin("paused", &wat, "").start();
        for mut client in [gate.h1().await, gate.h2().await] {
            let answer = within(client.ask(post("/", vec![b'x'; 8192]))).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.json()["headers"]["x-resumed"], "yes");
            assert_eq!(answer.json()["body"].as_str().unwrap().len(), 8192);
        }
        until(|| logs::count("paused", "body seen") >= 2).await;
    });
}
