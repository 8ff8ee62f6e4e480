//! Upstreams that are not there, or not in time.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use http::Response;
use socket2::{Domain, Socket, Type};

use crate::e2e::harness::{Setup, Upstream, channel, get, guest, logs, reply, run, until};

/// An address that refuses connections.
pub(crate) fn closed_port() -> SocketAddr {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    // As long as it is bound, no other test gets its port; it does not listen, so it takes no connection.
    std::mem::forget(socket);
    address
}

/// An address that takes no connection and refuses none: its queue is full.
pub(crate) fn full_port() -> (SocketAddr, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = vec![listener];
    for _ in 0..4 {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        let _ = client.connect(&address);
        held.push(client);
    }
    (address.as_socket().unwrap(), held)
}

#[test]
fn a_refused_connection_is_503() {
    run(async {
        for (name, protocol) in [("refused_1", "protocol: http1"), ("refused_2", "protocol: http2")] {
            let gate =
                Setup::to_address(closed_port()).backend(protocol).plugin(name, &guest("header_tour"), "").start();
            for mut client in [gate.h1().await, gate.h2().await] {
                for _ in 0..2 {
                    let answer = client.ask(get("/")).await;
                    assert_eq!(answer.status, 503);
                    assert!(answer.text().contains("connection failure"), "{}", answer.text());
                    assert_eq!(answer.header("x-plugin"), "header_tour");
                }
            }
            until(|| logs::count(name, "completed") == 4).await;
        }
    });
}

#[test]
fn a_connection_that_takes_too_long_is_503() {
    run(async {
        let (address, _held) = full_port();
        let gate = Setup::to_address(address).backend("connect_timeout: 100ms").start();
        let started = Instant::now();
        let answer = gate.h1().await.ask(get("/")).await;
        assert_eq!(answer.status, 503);
        assert!(answer.text().contains("connection timeout"), "{}", answer.text());
        assert!(started.elapsed() >= Duration::from_millis(100));
    });
}

#[test]
fn an_answer_that_takes_too_long_is_504() {
    run(async {
        let upstream = Upstream::new(|request| async move {
            if request.uri().path() == "/fast" { reply(200, "fast") } else { std::future::pending().await }
        });
        for (name, protocol) in [("late_1", "protocol: http1"), ("late_2", "protocol: http2")] {
            let gate = Setup::to(&upstream)
                .backend(protocol)
                .backend("request_timeout: 100ms")
                .route("match: {prefix: /route}, timeout: 50ms, cluster: backend")
                .plugin(name, &guest("header_tour"), "")
                .start();
            for mut client in [gate.h1().await, gate.h2().await] {
                for path in ["/cluster", "/route"] {
                    let answer = client.ask(get(path)).await;
                    assert_eq!((answer.status, answer.text()), (504, "upstream request timeout"), "{path}");
                    assert_eq!(answer.header("x-plugin"), "header_tour");
                }
                assert_eq!(client.ask(get("/fast")).await.text(), "fast");
            }
            until(|| logs::count(name, "completed") == 6).await;
        }
        until(|| upstream.closed() >= 4).await;
    });
}

#[test]
fn a_body_that_takes_too_long_is_cut() {
    run(async {
        let upstream = Upstream::new(|_| async {
            let (writer, body) = channel();
            writer.send("begin");
            tokio::spawn(async move { writer.closed().await });
            Response::new(body)
        });
        let gate = Setup::to(&upstream)
            .backend("request_timeout: 200ms")
            .plugin("late_body", &guest("header_tour"), "")
            .start();
        for (index, mut client) in [gate.h1().await, gate.h2().await].into_iter().enumerate() {
            let response = client.send(get("/")).await.unwrap();
            assert_eq!(response.status(), 200);
            let answer = crate::e2e::harness::Answer::read(response).await;
            assert!(answer.is_err(), "{answer:?}");
            until(|| logs::count("late_body", "completed") == index + 1).await;
        }
        until(|| upstream.closed() == 2).await;
    });
}

#[test]
fn a_timeout_of_zero_is_none() {
    run(async {
        let upstream = Upstream::new(|_| async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            reply(200, "late")
        });
        let setup = Setup::to(&upstream).backend("request_timeout: 50ms");
        let gate = setup.route("match: {prefix: /patient}, timeout: 0s, cluster: backend").start();
        let mut client = gate.h1().await;
        assert_eq!(client.ask(get("/")).await.status, 504);
        assert_eq!(client.ask(get("/patient")).await.text(), "late");
    });
}
