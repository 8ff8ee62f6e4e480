//! `auth_callout`: a request waits for an HTTP callout.

use std::time::{Duration, Instant};

use http::Request;
use http_body_util::BodyExt;

use crate::e2e::harness::{
    Gate, Raw, Sent, Setup, Upstream, answering, empty, get, guest, logs, post, reply, run, until, wat,
};
use crate::e2e::timeouts::closed_port;

/// In front of the echo, with an authorization service.
fn gate(name: &str, service: &str) -> Gate {
    Setup::echo().plugin(name, &guest("auth_callout"), "configuration: auth").cluster("auth", service).start()
}

fn asking(authorization: &str) -> Request<Sent> {
    Request::get("/secret?q").header("authorization", authorization).body(empty()).unwrap()
}

#[test]
fn the_service_decides() {
    run(async {
        for protocol in ["http1", "http2"] {
            let service = Upstream::new(|request| async move {
                let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
                assert_eq!((request.uri().path(), header("x-original-path").as_deref()), ("/auth", Some("/secret?q")));
                reply(if header("authorization").as_deref() == Some("good") { 200 } else { 401 }, "verdict")
            });
            let gate = gate("auth_decides", &format!("endpoints: [{}], protocol: {protocol}", service.address));
            for mut client in [gate.h1().await, gate.h2().await] {
                let answer = client.ask(asking("good")).await;
                assert_eq!((answer.status, &answer.json()["headers"]["x-auth"]), (200, &"ok".into()));
                let answer = client.ask(asking("bad")).await;
                assert_eq!((answer.status, answer.text()), (403, "denied\n"));
            }
            assert_eq!(service.requests(), 4);
        }
    });
}

#[test]
fn a_service_that_is_not_there_is_503() {
    run(async {
        let gate = gate("auth_refused", &format!("endpoints: [{}]", closed_port()));
        for mut client in [gate.h1().await, gate.h2().await] {
            let answer = client.ask(get("/")).await;
            assert_eq!((answer.status, answer.text()), (503, "auth unavailable\n"));
        }
        logs::wait("auth_refused", "auth is unavailable").await;
    });
}

#[test]
fn a_cluster_that_does_not_exist_is_503() {
    run(async {
        let gate = Setup::echo().plugin("auth_nobody", &guest("auth_callout"), "configuration: nobody").start();
        let answer = gate.h1().await.ask(get("/")).await;
        assert_eq!((answer.status, answer.text()), (503, "auth unavailable\n"));
    });
}

#[test]
fn a_service_that_takes_too_long_is_503() {
    run(async {
        let service = Upstream::new(|_| std::future::pending());
        let gate = gate("auth_late", &format!("endpoints: [{}]", service.address));
        let started = Instant::now();
        let answer = gate.h1().await.ask(get("/")).await;
        assert_eq!((answer.status, answer.text()), (503, "auth unavailable\n"));
        assert!(started.elapsed() >= Duration::from_secs(1), "the plugin's timeout");
        until(|| service.closed() == 1).await;
    });
}

#[test]
fn a_body_waits_for_the_verdict() {
    run(async {
        let service = Upstream::new(|_| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            reply(200, "")
        });
        let upstream = Upstream::echo();
        let setup = Setup::to(&upstream).plugin("auth_body", &guest("auth_callout"), "");
        let setup = setup.cluster("auth", &format!("endpoints: [{}]", service.address)).listener("buffer_limit: 64KiB");
        let gate = setup.start();
        for mut client in [gate.h1().await, gate.h2().await] {
            let answer = client.ask(post("/", vec![b'x'; 500_000])).await;
            assert_eq!((answer.status, answer.json()["body"].as_str().unwrap().len()), (200, 500_000));
        }
    });
}

#[test]
fn many_wait_at_once() {
    run(async {
        let service = Upstream::new(|request| async move {
            let _ = request.into_body().collect().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            reply(200, "")
        });
        let gate = gate("auth_many", &format!("endpoints: [{}]", service.address));
        let crate::e2e::harness::Client::H2(sender) = gate.h2().await else { panic!() };
        let mut requests = tokio::task::JoinSet::new();
        for index in 0..50 {
            let mut client = crate::e2e::harness::Client::H2(sender.clone());
            requests.spawn(async move {
                let echoed = client.ask(get(&format!("/{index}"))).await.json();
                assert_eq!(
                    (&echoed["path"], &echoed["headers"]["x-auth"]),
                    (&format!("/{index}").into(), &"ok".into())
                );
            });
        }
        while let Some(result) = requests.join_next().await {
            result.unwrap();
        }
        assert_eq!(service.requests(), 50);
    });
}

#[test]
fn a_client_that_leaves_while_it_waits_harms_nobody() {
    run(async {
        let service = Upstream::new(|_| async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            reply(200, "")
        });
        let gate = gate("auth_left", &format!("endpoints: [{}]", service.address));
        let mut raw = Raw::connect(gate.address()).await;
        raw.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        until(|| service.requests() == 1).await;
        drop(raw);
        let answer = gate.h1().await.ask(get("/")).await;
        assert_eq!((answer.status, &answer.json()["headers"]["x-auth"]), (200, &"ok".into()));
    });
}

/// The part of an answer that has come is held for the plugin, and nobody reads it before it is whole.
#[test]
fn an_answer_has_room_in_the_budget_of_its_plugin() {
    run(async {
        let calls = wat::plugin_with(
            "",
            r#"(data (i32.const 64) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\04\00\00\00\01\00\00\00:method\00GET\00:path\00/\00host\00a\00")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (drop (call $call $"service" (i32.const 64) (i32.const 55) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 5000) (i32.const 16)))
                (i32.const 1))
            (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
                (if (local.get 2) (then (call $say $"whole")) (else (call $say $"reset"))))"#,
        );
        let body = "x".repeat(1000);
        let text = format!("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{body}");
        let service = answering(Box::leak(text.into_boxed_str())).await;
        for (name, buffers, said) in [("room_small", "600", "reset"), ("room_large", "1600", "whole")] {
            let setup = Setup::echo().cluster("service", &format!("endpoints: [{service}]")).plugin(name, &calls, "");
            let limits = format!("vm_config: {{limits: {{buffers: {buffers}}}, ");
            let gate = Gate::try_start(&setup.text().replace("vm_config: {", &limits)).unwrap();
            let mut raw = Raw::connect(gate.address()).await;
            raw.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            logs::wait(name, said).await;
        }
    });
}
