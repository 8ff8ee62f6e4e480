//! Plugins that trap, loop, exit or make nonsense: their requests fail, nothing else does.

use std::time::{Duration, Instant};

use crate::e2e::harness::{Answer, Client, Gate, Setup, Upstream, get, guest, logs, plugin, post, run, with_trailers};

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
async fn ask(client: &mut Client) -> hyper::Result<Answer> {
    let request = http::Request::post("/").header("te", "trailers").header("trailer", "x-r");
    client.try_ask(request.body(with_trailers("data", &[("x-r", "1")])).unwrap()).await
}

/// `/other` runs through another plugin than the rest.
fn gate(upstream: &Upstream, name: &str, callbacks: &[(&str, &str)], more: &str) -> Gate {
    let other = Setup::plugin_entry("bystander", &guest("header_tour"), "");
    let setup = Setup::to(upstream).plugin(name, &plugin(callbacks), more);
    setup.route(&format!("match: {{prefix: /other}}, cluster: backend, plugins: [{other}]")).start()
}

async fn others_are_served(gate: &Gate) {
    for mut client in [gate.h1().await, gate.h2().await] {
        let answer = client.ask(post("/other", "data")).await;
        assert_eq!((answer.status, answer.header("x-plugin").as_str()), (200, "header_tour"));
    }
}

const PHASES: [&str; 6] =
    ["request_headers", "request_body", "request_trailers", "response_headers", "response_body", "response_trailers"];

#[test]
fn a_trap_in_any_phase_fails_its_requests_alone() {
    run(async {
        let upstream = upstream();
        for phase in PHASES {
            let name = format!("trap_{phase}");
            let gate = gate(&upstream, &name, &[(phase, "(unreachable)")], "");
            let answer = ask(&mut gate.h1().await).await;
            if phase == "response_body" || phase == "response_trailers" {
                assert!(answer.is_err(), "{phase}: the head has left {answer:?}");
            } else {
                assert_eq!(answer.unwrap().status, 503, "{phase}");
            }
            logs::wait(&name, "unreachable").await;
            others_are_served(&gate).await;
            for mut client in [gate.h1().await, gate.h2().await] {
                assert_eq!(ask(&mut client).await.unwrap().status, 503, "{phase}: the VM stays down");
            }
            others_are_served(&gate).await;
        }
    });
}

#[test]
fn a_trap_in_the_other_callbacks_harms_nobody_else() {
    run(async {
        let upstream = upstream();
        for (callback, code) in
            [("log", ""), ("done", ""), ("delete", ""), ("context_create", "(if (local.get $n) (then ")]
        {
            let name = format!("trap_{callback}");
            let close = if code.is_empty() { "" } else { "))" };
            let code = format!("{code}(unreachable){close}");
            let gate = gate(&upstream, &name, &[(callback, &code)], "");
            let answer = ask(&mut gate.h2().await).await.unwrap();
            assert_eq!(answer.status, if callback == "context_create" { 503 } else { 200 }, "{callback}");
            logs::wait(&name, "unreachable").await;
            others_are_served(&gate).await;
            assert_eq!(ask(&mut gate.h1().await).await.unwrap().status, 503, "{callback}");
        }
    });
}

#[test]
fn a_trap_in_a_tick_releases_who_waits() {
    run(async {
        let upstream = upstream();
        let callbacks = [
            ("configure", "(drop (call $tick (i32.const 100))) (i32.const 1)"),
            ("request_headers", "(global.set $stream (i32.const 1)) (i32.const 1)"),
            ("tick", "(if (global.get $stream) (then (unreachable)))"),
        ];
        let closed = gate(&upstream, "trap_tick", &callbacks, "");
        assert_eq!(ask(&mut closed.h1().await).await.unwrap().status, 503);
        others_are_served(&closed).await;
        let open = gate(&upstream, "trap_tick_open", &callbacks, "failure_policy: FAIL_OPEN");
        assert_eq!(ask(&mut open.h1().await).await.unwrap().text(), "from upstream");
    });
}

#[test]
fn an_endless_loop_is_stopped_and_the_worker_lives() {
    run(async {
        let upstream = upstream();
        let gate = gate(&upstream, "endless", &[("request_headers", "(loop $l (br $l)) (i32.const 0)")], "");
        let started = Instant::now();
        assert_eq!(ask(&mut gate.h1().await).await.unwrap().status, 503);
        assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
        logs::wait("endless", "deadline").await;
        others_are_served(&gate).await;
        assert_eq!(ask(&mut gate.h1().await).await.unwrap().status, 503);
        assert_eq!(logs::count("endless", "deadline"), 1, "it is not tried again");
    });
}

#[test]
fn a_call_too_deep_is_stopped() {
    run(async {
        let upstream = upstream();
        let deep = "(drop (call $deep (i32.const 0))) (i32.const 0)) \
                    (func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1))";
        let gate = gate(&upstream, "deep", &[("request_headers", deep)], "");
        assert_eq!(ask(&mut gate.h2().await).await.unwrap().status, 503);
        logs::wait("deep", "stack").await;
        others_are_served(&gate).await;
    });
}

#[test]
fn proc_exit_ends_the_plugin_alone() {
    run(async {
        let upstream = upstream();
        let gate = gate(&upstream, "exits", &[("request_headers", "(call $exit (i32.const 3)) (i32.const 0)")], "");
        assert_eq!(ask(&mut gate.h1().await).await.unwrap().status, 503);
        logs::wait("exits", "proc_exit(3)").await;
        others_are_served(&gate).await;
    });
}

#[test]
fn a_header_that_http_cannot_carry_is_500() {
    run(async {
        let upstream = upstream();
        let code = |map: u8| format!(r#"(call $header (i32.const {map}) $"x-bad" $"one\ntwo") (i32.const 0)"#);
        for (phase, map) in [("request_headers", 0), ("response_headers", 2)] {
            let gate = gate(&upstream, &format!("newline_{phase}"), &[(phase, &code(map))], "");
            for mut client in [gate.h1().await, gate.h2().await] {
                for _ in 0..2 {
                    let answer = ask(&mut client).await.unwrap();
                    assert_eq!(answer.status, 500, "{phase}");
                    assert!(!answer.headers.contains_key("x-bad") && !answer.headers.contains_key("two"));
                }
            }
            others_are_served(&gate).await;
        }
    });
}

#[test]
fn nothing_of_an_answer_follows_a_head_that_was_replaced() {
    run(async {
        let wat = plugin(&[
            ("request_headers", r#"(call $answer (i32.const 200) $"my body") (i32.const 0)"#),
            ("response_headers", r#"(call $header (i32.const 2) $"x-bad" $"one\ntwo") (i32.const 0)"#),
        ]);
        let gate = Setup::echo().plugin("bad_answer", &wat, "").listener("name: bad_answer").start();
        for mut client in [gate.h1().await, gate.h2().await] {
            for _ in 0..2 {
                let answer = client.ask(get("/")).await;
                assert_eq!((answer.status, answer.text()), (500, ""));
            }
        }
        let counted = gate.metric("portcullis_requests_total{listener=\"bad_answer\",class=\"5xx\"}").await;
        assert!((counted - 4.0).abs() < 0.5, "{counted}");
    });
}

#[test]
fn pseudo_headers_that_are_missing_are_errors() {
    run(async {
        let upstream = upstream();
        // Without a path no route takes the request.
        for (map, name, status) in [(0, ":method", 500), (0, ":path", 404), (2, ":status", 500)] {
            let code = format!(r#"(drop (call $remove (i32.const {map}) $"{name}")) (i32.const 0)"#);
            let phase = if map == 0 { "request_headers" } else { "response_headers" };
            let gate = gate(&upstream, "pseudo", &[(phase, &code)], "");
            assert_eq!(gate.h1().await.ask(get("/")).await.status, status, "{name}");
            others_are_served(&gate).await;
        }
    });
}
