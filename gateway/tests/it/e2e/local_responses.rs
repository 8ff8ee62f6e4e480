//! `proxy_send_local_response` and `proxy_close_stream` from every phase.

use crate::e2e::harness::{Gate, Setup, Upstream, logs, plugin, post, run, until, with_trailers};

/// An upstream whose responses have headers, a body and trailers.
fn upstream() -> Upstream {
    Upstream::new(|request| async move {
        use http_body_util::BodyExt;
        let _ = request.into_body().collect().await;
        let mut response = http::Response::new(with_trailers("from upstream", &[("x-t", "1")]));
        response.headers_mut().insert("trailer", "x-t".parse().unwrap());
        response
    })
}

/// A request with a body and trailers.
fn request() -> http::Request<crate::e2e::harness::Sent> {
    let request = http::Request::post("/").header("te", "trailers").header("trailer", "x-r");
    request.body(with_trailers("data", &[("x-r", "1")])).unwrap()
}

const PHASES: [&str; 6] =
    ["request_headers", "request_body", "request_trailers", "response_headers", "response_body", "response_trailers"];

/// A gateway with a plugin that runs `code` in one phase, and logs the stream.
fn gate(upstream: &Upstream, name: &str, phase: &str, code: &str) -> Gate {
    let code = format!("{code} (i32.const 0)");
    let mut callbacks = vec![(phase, code.as_str()), ("log", r#"(call $say $"logged")"#)];
    let marks = r#"(call $header (i32.const 2) $"x-marked" $"1") (i32.const 0)"#;
    if phase != "response_headers" {
        callbacks.push(("response_headers", marks));
    }
    Setup::to(upstream).plugin(name, &plugin(&callbacks), "").start()
}

#[test]
fn a_plugin_may_answer_in_every_phase() {
    run(async {
        let upstream = upstream();
        for phase in PHASES {
            let name = format!("answer_{phase}");
            let gate = gate(&upstream, &name, phase, r#"(call $answer (i32.const 418) $"local")"#);
            for mut client in [gate.h1().await, gate.h2().await] {
                let answer = client.try_ask(request()).await;
                match phase {
                    // The head has left: the stream is cut.
                    "response_body" | "response_trailers" => assert!(answer.is_err(), "{phase} {answer:?}"),
                    _ => {
                        let answer = answer.unwrap();
                        assert_eq!((answer.status, answer.text()), (418, "local"), "{phase}");
                        let marked = if phase == "response_headers" { "" } else { "1" };
                        assert_eq!(answer.header("x-marked"), marked, "the response side runs once: {phase}");
                        assert_eq!(answer.header("content-length"), "5");
                    }
                }
            }
            until(|| logs::count(&name, "logged") == 2).await;
        }
    });
}

#[test]
fn a_plugin_may_close_in_every_phase() {
    run(async {
        let upstream = upstream();
        for phase in PHASES {
            let name = format!("close_{phase}");
            let stream = i32::from(phase.starts_with("response"));
            let gate = gate(&upstream, &name, phase, &format!("(drop (call $close (i32.const {stream})))"));
            for mut client in [gate.h1().await, gate.h2().await] {
                let answer = client.try_ask(request()).await;
                assert!(answer.is_err(), "{phase} {answer:?}");
            }
            until(|| logs::count(&name, "logged") == 2).await;
        }
    });
}

#[test]
fn the_first_of_two_answers_counts() {
    run(async {
        let upstream = upstream();
        let twice = r#"(call $answer (i32.const 418) $"first") (call $answer (i32.const 419) $"second")"#;
        for phase in ["request_headers", "request_body", "response_headers"] {
            let gate = gate(&upstream, &format!("twice_{phase}"), phase, twice);
            for mut client in [gate.h1().await, gate.h2().await] {
                let answer = client.ask(request()).await;
                assert_eq!((answer.status, answer.text()), (418, "first"), "{phase}");
            }
        }
    });
}

#[test]
fn an_answer_may_be_answered_by_another() {
    run(async {
        let upstream = upstream();
        let wat = plugin(&[
            ("request_headers", r#"(call $answer (i32.const 418) $"first") (i32.const 0)"#),
            ("response_headers", r#"(call $say $"once") (call $answer (i32.const 419) $"second") (i32.const 0)"#),
        ]);
        let gate = Setup::to(&upstream).plugin("replaced", &wat, "").start();
        for mut client in [gate.h1().await, gate.h2().await] {
            let answer = client.ask(post("/", "data")).await;
            assert_eq!((answer.status, answer.text()), (419, "second"));
        }
        until(|| logs::count("replaced", "once") == 2).await;
    });
}

#[test]
fn grpc_requests_get_grpc_answers() {
    run(async {
        let upstream = upstream();
        let gate = gate(&upstream, "grpc", "request_headers", r#"(call $answer (i32.const 403) $"no: 100%")"#);
        let mut request = post("/", "data");
        request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        let answer = gate.h2().await.ask(request).await;
        assert_eq!((answer.status, answer.header("grpc-status").as_str()), (200, "7"));
        assert_eq!(answer.header("grpc-message"), "no: 100%25");
    });
}
