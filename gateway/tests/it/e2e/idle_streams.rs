//! Requests and responses that do not move.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::e2e::harness::{
    Answer, Client, Gate, Raw, Setup, Upstream, channel, get, guest, logs, plugin, post, reply, run, until, within,
};
use crate::e2e::properties::{teller, told};

/// More than hyper hands to h2 at once.
const LONG: &str = match std::str::from_utf8(&[b'x'; 8 << 10]) {
    Ok(text) => text,
    Err(_) => "",
};

const TOLD: [&str; 2] = ["response.code_details", "response.flags"];
/// Envoy's flag SI, as eight bytes.
const SI: &str = "\0\0\u{1}\0\0\0\0\0";

/// A gateway in front of an upstream that reads requests and never answers.
fn silent(limit: &str) -> (Upstream, Setup) {
    let upstream = Upstream::new(|request| async move {
        let _ = request.into_body().collect().await;
        std::future::pending().await
    });
    let setup = Setup::to(&upstream).backend("request_timeout: 0s").listener(limit);
    (upstream, setup)
}

async fn both(gate: &Gate) -> [Client; 2] {
    [gate.h1().await, gate.h2().await]
}

#[test]
fn an_upstream_that_is_silent_is_504() {
    run(async {
        let (upstream, setup) = silent("stream_idle_timeout: 100ms");
        for (index, name) in ["si_upstream_1", "si_upstream_2"].into_iter().enumerate() {
            let gate = setup.clone().plugin(name, &teller(&TOLD), "").start();
            let answer = both(&gate).await[index].ask(post("/", "body")).await;
            assert_eq!((answer.status, answer.text()), (504, "stream timeout"));
            let told = told(name, &TOLD).await;
            assert!(told[0].contains("stream_idle_timeout") && told[1].contains(SI), "{told:?}");
        }
        until(|| upstream.closed() == 2).await;
    });
}

#[test]
fn a_body_that_does_not_come_is_408() {
    run(async {
        // It waits for the end of the body.
        let upstream = Upstream::new(|request| async move {
            let _ = request.into_body().collect().await;
            reply(200, "")
        });
        let setup = Setup::to(&upstream).listener("stream_idle_timeout: 100ms");
        let gate = setup.plugin("si_body", &guest("header_tour"), "").start();
        for (index, mut client) in both(&gate).await.into_iter().enumerate() {
            let (writer, body) = channel();
            writer.send("begin");
            let answer = client.ask(Request::post("/").body(body).unwrap()).await;
            assert_eq!((answer.status, answer.text()), (408, "stream timeout"));
            until(|| logs::count("si_body", "completed") == index + 1).await;
        }
        until(|| upstream.closed() == 2).await;
    });
}

#[test]
fn a_plugin_that_pauses_for_ever_is_answered_for() {
    run(async {
        let pauses = "(i32.const 1)";
        let both_heads = [("request_headers", pauses), ("response_headers", pauses)];
        for (name, code) in [
            ("si_request", plugin(&[("request_headers", pauses)])),
            ("si_body_held", plugin(&[("request_headers", pauses), ("request_body", pauses)])),
            ("si_response", plugin(&[("response_headers", pauses)])),
            // The answer in its place is held, too, and then goes without being asked about.
            ("si_both", plugin(&both_heads)),
        ] {
            let setup = Setup::echo().listener("stream_idle_timeout: 100ms").plugin(name, &code, "");
            let gate = setup.start();
            for mut client in both(&gate).await {
                for request in [get("/"), post("/", "body")] {
                    let answer = client.ask(request).await;
                    assert_eq!((answer.status, answer.text()), (504, "stream timeout"), "{name}");
                }
            }
        }
    });
}

#[test]
fn a_response_that_stops_is_cut() {
    run(async {
        let upstream = Upstream::new(|_| async {
            let (writer, body) = channel();
            writer.send("begin");
            tokio::spawn(async move { writer.closed().await });
            Response::new(body)
        });
        for (index, name) in ["si_stops_1", "si_stops_2"].into_iter().enumerate() {
            let setup = Setup::to(&upstream).backend("request_timeout: 0s").listener("stream_idle_timeout: 100ms");
            let gate = setup.plugin(name, &teller(&TOLD), "").start();
            let response = both(&gate).await[index].send(get("/")).await.unwrap();
            assert_eq!(response.status(), 200);
            assert!(Answer::read(response).await.is_err());
            let told = told(name, &TOLD).await;
            assert!(told[0].contains("stream_idle_timeout") && told[1].contains(SI), "{told:?}");
        }
        until(|| upstream.closed() == 2).await;
    });
}

#[test]
fn what_moves_is_not_idle() {
    run(async {
        let go = Arc::new(Notify::new());
        let waits = Arc::clone(&go);
        let upstream = Upstream::new(move |request| {
            let waits = Arc::clone(&waits);
            async move {
                if request.uri().path() == "/tick" {
                    return std::future::pending().await;
                }
                let (writer, body) = channel();
                tokio::spawn(async move {
                    for _ in 0..4 {
                        writer.send("x");
                        waits.notified().await;
                    }
                });
                Response::new(body)
            }
        });
        // Another route's limit is the clock: each of its answers takes half of what a stream may idle.
        let setup = Setup::to(&upstream).backend("request_timeout: 0s").listener("stream_idle_timeout: 400ms");
        let gate = setup.route("match: {path: /tick}, timeout: 200ms, cluster: backend").start();
        let mut clock = gate.h1().await;
        for mut client in both(&gate).await {
            let response = client.send(get("/")).await.unwrap();
            let answer = tokio::spawn(Answer::read(response));
            for _ in 0..4 {
                assert_eq!(clock.ask(get("/tick")).await.status, 504);
                go.notify_one();
            }
            assert_eq!(within(answer).await.unwrap().unwrap().text(), "xxxx");
        }
    });
}

#[test]
fn streams_without_window_free_their_upstreams() {
    const STREAMS: usize = 20;
    run(async {
        for (name, key) in [("window_route", "request_timeout: 200ms"), ("window_idle", "request_timeout: 0s")] {
            let upstream = Upstream::new(|_| async {
                let (writer, body) = channel();
                writer.send(Bytes::from_static(&[b'x'; 256 << 10]));
                tokio::spawn(async move { writer.closed().await });
                Response::new(body)
            });
            let setup = Setup::to(&upstream).backend(key).listener("stream_idle_timeout: 200ms");
            let gate = setup.plugin(name, &guest("header_tour"), "").start();
            let tcp = within(TcpStream::connect(gate.address())).await.unwrap();
            let mut builder = h2::client::Builder::new();
            builder.initial_window_size(0);
            let (sender, connection) = within(builder.handshake::<_, Bytes>(tcp)).await.unwrap();
            let connection = tokio::spawn(connection);
            let mut responses = Vec::new();
            for _ in 0..STREAMS {
                let mut sender = within(sender.clone().ready()).await.unwrap();
                let request = Request::get("http://gateway.test/").body(()).unwrap();
                let (response, _) = sender.send_request(request, true).unwrap();
                responses.push(within(response).await.unwrap());
            }
            for response in responses {
                let error = within(response.into_body().data()).await.unwrap().unwrap_err();
                assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
            }
            until(|| upstream.closed() == STREAMS).await;
            until(|| logs::count(name, "completed") == STREAMS).await;
            // The connection is as good as before.
            let mut sender = within(sender.ready()).await.unwrap();
            let (response, _) =
                sender.send_request(Request::head("http://gateway.test/").body(()).unwrap(), true).unwrap();
            assert_eq!(within(response).await.unwrap().status(), 200);
            connection.abort();
        }
    });
}

/// hyper hands a piece to h2 for a single byte of window, and h2 keeps it, with the reset behind it, until the client takes it.
#[test]
fn a_client_that_takes_a_byte_of_a_response_is_left() {
    run(async {
        let upstream = Upstream::new(|_| async { reply(200, LONG) });
        let gate = Setup::to(&upstream).listener("stream_idle_timeout: 200ms").listener("idle_timeout: 0s").start();
        let tcp = within(TcpStream::connect(gate.address())).await.unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1);
        let (sender, connection) = within(builder.handshake::<_, Bytes>(tcp)).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut responses = Vec::new();
        for _ in 0..3 {
            let mut sender = within(sender.clone().ready()).await.unwrap();
            let request = Request::get("http://gateway.test/").body(()).unwrap();
            let (response, _) = sender.send_request(request, true).unwrap();
            responses.push(within(response).await.unwrap().into_body());
        }
        for body in &mut responses {
            assert_eq!(within(body.data()).await.unwrap().unwrap().len(), 1);
        }
        for body in &mut responses {
            assert!(within(body.data()).await.unwrap().is_err(), "the response is not whole");
        }
        let _ = within(connection).await.unwrap();
    });
}

#[test]
fn an_upload_may_take_longer_than_the_upstream() {
    run(async {
        let upstream = Upstream::new(|request| async move {
            if request.uri().path() == "/tick" {
                return std::future::pending().await;
            }
            let body = request.into_body().collect().await.unwrap().to_bytes();
            if body.ends_with(b"late") { std::future::pending().await } else { reply(200, "got it") }
        });
        let gate = Setup::to(&upstream).backend("request_timeout: 100ms").start();
        let mut clock = gate.h1().await;
        for mut client in both(&gate).await {
            for (last, status) in [("on time", 200), ("late", 504)] {
                let (writer, body) = channel();
                let answering = client.ask(Request::post("/").body(body).unwrap());
                let uploading = async {
                    for _ in 0..3 {
                        writer.send("begin");
                        // The clock is a request that takes the whole limit.
                        assert_eq!(clock.ask(get("/tick")).await.status, 504);
                    }
                    writer.send(last);
                    drop(writer);
                };
                assert_eq!(tokio::join!(answering, uploading).0.status, status, "{last}");
            }
        }
    });
}

#[test]
fn a_stream_may_last_so_long_altogether() {
    run(async {
        let upstream = Upstream::new(|request| async move {
            if request.uri().path() == "/silent" {
                return std::future::pending().await;
            }
            let (writer, body) = channel();
            tokio::spawn(async move {
                let mut pace = tokio::time::interval(std::time::Duration::from_millis(5));
                while tokio::time::timeout(std::time::Duration::ZERO, writer.closed()).await.is_err() {
                    writer.send("x");
                    pace.tick().await;
                }
            });
            Response::new(body)
        });
        let gate = Setup::to(&upstream).backend("request_timeout: 0s").listener("max_stream_duration: 100ms").start();
        for mut client in both(&gate).await {
            let answer = client.ask(get("/silent")).await;
            assert_eq!((answer.status, answer.text()), (504, "downstream duration timeout"));
            let (_writer, body) = channel();
            let answer = client.ask(Request::post("/silent").body(body).unwrap()).await;
            assert_eq!((answer.status, answer.text()), (408, "downstream duration timeout"));
        }
        for mut client in both(&gate).await {
            let response = client.send(get("/")).await.unwrap();
            assert_eq!(response.status(), 200);
            assert!(Answer::read(response).await.is_err());
        }
        until(|| upstream.closed() >= 4).await;
    });
}

#[test]
fn a_limit_of_a_stream_ends_no_other_on_its_connection() {
    run(async {
        let (_upstream, setup) = silent("stream_idle_timeout: 0s");
        let gate = setup.route("match: {path: /tick}, timeout: 100ms, cluster: backend").start();
        let mut client = gate.h2().await;
        let Client::H2(sender) = &client else { panic!() };
        let mut other = Client::H2(sender.clone());
        let waiting = tokio::spawn(async move { other.try_ask(get("/")).await.is_ok() });
        for _ in 0..3 {
            assert_eq!(client.ask(get("/tick")).await.status, 504);
        }
        assert!(!waiting.is_finished());
        waiting.abort();
        let mut raw = Raw::connect(gate.address()).await;
        raw.write("GET /tick HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(raw.read_to("timeout").await.starts_with("HTTP/1.1 504 "));
    });
}
