//! Either side goes away in the middle.

use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::sync::Notify;

use crate::e2e::harness::{Raw, Setup, Upstream, channel, get, guest, logs, run, until, within};

/// An upstream that begins a response and tells when nobody reads it any more.
fn endless(gone: &Arc<Notify>) -> Upstream {
    let gone = Arc::clone(gone);
    Upstream::new(move |_| {
        let gone = Arc::clone(&gone);
        async move {
            let (writer, body) = channel();
            writer.send("begin");
            tokio::spawn(async move {
                writer.closed().await;
                gone.notify_one();
            });
            Response::new(body)
        }
    })
}

#[test]
fn a_client_that_leaves_ends_the_stream() {
    run(async {
        for (name, protocol) in [("leave_1", "protocol: http1"), ("leave_2", "protocol: http2")] {
            let gone = Arc::new(Notify::new());
            let upstream = endless(&gone);
            let gate = Setup::to(&upstream).backend(protocol).plugin(name, &guest("header_tour"), "").start();
            for (index, mut client) in [gate.h1().await, gate.h2().await].into_iter().enumerate() {
                let mut incoming = client.send(get("/")).await.unwrap().into_body();
                within(incoming.frame()).await.unwrap().unwrap();
                assert_eq!(logs::count(name, "completed"), index);
                drop((incoming, client));
                within(gone.notified()).await;
                until(|| logs::count(name, "completed") == index + 1).await;
            }
        }
    });
}

#[test]
fn a_client_that_leaves_before_the_response_ends_the_stream() {
    run(async {
        let upstream = Upstream::new(|_| std::future::pending());
        let gate = Setup::to(&upstream).plugin("leave_early", &guest("header_tour"), "").start();
        let mut raw = Raw::connect(gate.address()).await;
        raw.write("GET /early HTTP/1.1\r\nhost: a\r\n\r\n").await;
        until(|| upstream.requests() == 1).await;
        drop(raw);
        logs::wait("leave_early", "completed").await;
        until(|| upstream.closed() == 1).await;
    });
}

#[test]
fn a_client_that_leaves_in_its_body_ends_the_stream() {
    run(async {
        let upstream = Upstream::echo();
        let gate = Setup::to(&upstream).plugin("leave_body", &guest("header_tour"), "").start();
        let mut raw = Raw::connect(gate.address()).await;
        raw.write("POST /half HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf").await;
        until(|| upstream.requests() == 1).await;
        drop(raw);
        logs::wait("leave_body", "completed").await;
        until(|| upstream.closed() == 1).await;
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 200);
    });
}

#[test]
fn an_upstream_that_breaks_off_is_no_complete_response() {
    run(async {
        for (name, protocol) in [("cut_1", "protocol: http1"), ("cut_2", "protocol: http2")] {
            let upstream = Upstream::new(|request| async move {
                let (writer, body) = channel();
                writer.send("half");
                tokio::spawn(async move {
                    // The head and the data are on their way before the end comes.
                    tokio::task::yield_now().await;
                    writer.abort();
                });
                let mut response = Response::new(body);
                if request.uri().path() == "/sized" {
                    response.headers_mut().insert(http::header::CONTENT_LENGTH, 8.into());
                }
                response
            });
            let gate = Setup::to(&upstream).backend(protocol).plugin(name, &guest("header_tour"), "").start();
            let mut ended = 0;
            for path in ["/sized", "/chunked"] {
                for mut client in [gate.h1().await, gate.h2().await] {
                    let answer = client.try_ask(get(path)).await;
                    // Whether the head came before the break is a race; a whole 200 must not come.
                    assert!(
                        answer.as_ref().is_ok_and(|answer| answer.status == 503) || answer.is_err(),
                        "{path} {answer:?}"
                    );
                    ended += 1;
                    until(|| logs::count(name, "completed") == ended).await;
                }
            }
        }
    });
}

#[test]
fn a_request_cut_short_never_looks_complete_to_the_upstream() {
    run(async {
        let (told, mut results) = tokio::sync::mpsc::unbounded_channel();
        let upstream = Upstream::new(move |request: Request<hyper::body::Incoming>| {
            let told = told.clone();
            async move {
                let result = request.into_body().collect().await;
                let _ = told.send(result.is_ok());
                crate::e2e::harness::reply(200, "")
            }
        });
        let gate = Setup::to(&upstream).plugin("cut_request", &guest("header_tour"), "").start();
        for (index, mut client) in [gate.h1().await, gate.h2().await].into_iter().enumerate() {
            let (writer, body) = channel();
            writer.send("half");
            let sending = client.send(Request::post("/").body(body).unwrap());
            let breaking = async {
                until(|| upstream.requests() > index).await;
                writer.abort();
            };
            let (answer, ()) = tokio::join!(sending, breaking);
            assert!(answer.is_err(), "{answer:?}");
            assert_eq!(within(results.recv()).await, Some(false));
        }
    });
}
