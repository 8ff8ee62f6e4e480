//! Starting and stopping.

use std::sync::Arc;
use std::time::Instant;

use http::Response;
use http_body_util::BodyExt;
use tokio::sync::Notify;

use crate::e2e::harness::{
    Client, Gate, Raw, Setup, Upstream, channel, get, guest, logs, plugin, reply, run, until, within,
};

/// An upstream that answers at once, but on one path when it is told to.
pub(super) fn waiting(path: &'static str) -> (Upstream, Arc<Notify>) {
    let go = Arc::new(Notify::new());
    let waits = Arc::clone(&go);
    let upstream = Upstream::new(move |request| {
        let waits = Arc::clone(&waits);
        async move {
            if request.uri().path() == path {
                waits.notified().await;
            }
            reply(200, "answered")
        }
    });
    (upstream, go)
}

#[test]
fn a_request_in_flight_is_finished() {
    run(async {
        for protocol in ["protocol: http1", "protocol: http2"] {
            let go = Arc::new(Notify::new());
            let waits = Arc::clone(&go);
            let upstream = Upstream::new(move |request| {
                let waits = Arc::clone(&waits);
                async move {
                    let (writer, body) = channel();
                    writer.send("first ");
                    if request.uri().path() == "/head" {
                        waits.notified().await;
                    }
                    tokio::spawn(async move {
                        waits.notified().await;
                        writer.send("last");
                    });
                    Response::new(body)
                }
            });
            for h2 in [false, true] {
                let gate = Setup::to(&upstream)
                    .backend(protocol)
                    .workers(2)
                    .plugin("inflight", &guest("header_tour"), "")
                    .start();
                let mut client = if h2 { gate.h2().await } else { gate.h1().await };
                let mut incoming = client.send(get("/body")).await.unwrap().into_body();
                assert_eq!(within(incoming.frame()).await.unwrap().unwrap().into_data().unwrap(), "first ");
                let address = gate.address();
                let stopping = gate.stop();
                // Once nobody listens any more, it is stopping.
                until(|| std::net::TcpStream::connect(address).is_err()).await;
                assert!(!stopping.is_finished());
                go.notify_one();
                assert_eq!(within(incoming.collect()).await.unwrap().to_bytes(), "last");
                until(|| stopping.is_finished()).await;
            }
        }
    });
}

#[test]
fn a_request_without_an_answer_yet_is_finished() {
    run(async {
        let go = Arc::new(Notify::new());
        let waits = Arc::clone(&go);
        let upstream = Upstream::new(move |_| {
            let waits = Arc::clone(&waits);
            async move {
                waits.notified().await;
                reply(200, "late")
            }
        });
        let gate = Setup::to(&upstream).plugin("unanswered", &guest("header_tour"), "").start();
        let mut client = gate.h1().await;
        let address = gate.address();
        let asking = client.ask(get("/"));
        let stopping = async {
            until(|| upstream.requests() == 1).await;
            let stopping = gate.stop();
            until(|| std::net::TcpStream::connect(address).is_err()).await;
            go.notify_one();
            stopping
        };
        let (answer, stopping) = tokio::join!(asking, stopping);
        assert_eq!((answer.status, answer.text()), (200, "late"));
        until(|| stopping.is_finished()).await;
        assert_eq!(logs::count("unanswered", "completed"), 1);
    });
}

#[test]
fn idle_connections_are_closed() {
    run(async {
        let gate = Setup::echo().workers(2).start();
        let mut clients = [gate.h1().await, gate.h1().await, gate.h1().await];
        for client in &mut clients {
            assert_eq!(client.ask(get("/")).await.status, 200);
        }
        let mut h2 = gate.h2().await;
        assert_eq!(h2.ask(get("/")).await.status, 200);
        // One that never said anything.
        let mut silent = Raw::connect(gate.address()).await;
        let started = Instant::now();
        let stopping = gate.stop();
        for client in &mut clients {
            client.closed().await;
        }
        until(|| stopping.is_finished()).await;
        assert!(started.elapsed().as_secs() < 4, "{:?}", started.elapsed());
        assert_eq!(silent.read_all().await, "");
        assert!(h2.try_ask(get("/")).await.is_err());
    });
}

#[test]
fn a_request_that_never_ends_is_given_up() {
    run(async {
        let upstream = Upstream::new(|_| std::future::pending());
        let text = Setup::to(&upstream).text().replace("shutdown_timeout: 5s", "shutdown_timeout: 300ms");
        let gate = Gate::start(&text);
        let mut client = gate.h1().await;
        let stopping = async {
            until(|| upstream.requests() == 1).await;
            let stopping = gate.stop();
            until(|| stopping.is_finished()).await;
        };
        let (answer, ()) = tokio::join!(client.try_ask(get("/")), stopping);
        assert!(answer.is_err(), "{answer:?}");
    });
}

#[test]
fn plugins_may_take_their_time_to_end() {
    run(async {
        let wat = plugin(&[
            ("configure", "(drop (call $tick (i32.const 20))) (i32.const 1)"),
            ("done", "(global.set $stream (i32.const 1)) (i32.const 0)"),
            ("tick", r#"(if (global.get $stream) (then (drop (call $done)) (call $say $"flushed")))"#),
            ("delete", r#"(call $say $"deleted")"#),
        ]);
        let gate = Setup::echo().plugin("pending", &wat, "").start();
        let stopping = gate.stop();
        until(|| stopping.is_finished()).await;
        assert_eq!(logs::of("pending"), ["flushed", "deleted"]);
    });
}

#[test]
fn every_stream_is_forgotten_in_time() {
    run(async {
        let wat = plugin(&[("context_create", r#"(call $say $"created")"#), ("delete", r#"(call $say $"deleted")"#)]);
        let gate = Setup::echo().plugin("forgets", &wat, "").start();
        for mut client in [gate.h1().await, gate.h2().await] {
            for _ in 0..20 {
                client.ask(get("/")).await;
            }
        }
        until(|| logs::count("forgets", "deleted") == 40).await;
        assert_eq!(logs::count("forgets", "created"), 41, "and the root");
    });
}

#[test]
fn a_port_in_use_is_refused() {
    run(async {
        let gate = Setup::echo().start();
        let text = Setup::echo().text().replace("- address: 127.0.0.1:0", &format!("- address: {}", gate.address()));
        let error = Gate::try_start(&text).err().unwrap();
        assert!(error.contains(&format!("cannot listen on {}: the port is in use", gate.address())), "{error}");
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 200);
        let admin = gate.running.admin.unwrap();
        let text = Setup::echo().text().replace("admin: 127.0.0.1:0", &format!("admin: {admin}"));
        let error = Gate::try_start(&text).err().unwrap();
        assert!(error.contains(&admin.to_string()) && error.contains("in use"), "{error}");
    });
}

#[test]
fn two_listeners_serve_their_own_routes() {
    run(async {
        let text = "workers: 2\nlisteners:\n- {name: a, address: 127.0.0.1:0, routes: [{cluster: e}]}\n\
                    - {name: b, address: 127.0.0.1:0}\nclusters: [{name: e, echo: {}}]\n";
        let gate = Gate::start(text);
        for (index, status) in [(0, 200), (1, 404)] {
            let mut client = Client::h1(gate.running.addresses[index]).await;
            assert_eq!(client.ask(get("/")).await.status, status);
        }
    });
}
