//! Failing and retrying.

use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use portcullis_driver::body::body_queue;
use portcullis_gateway::upstream::pool::UpstreamProtocol::{Http1, Http2};
use portcullis_gateway::upstream::pool::{Cluster, ClusterConfig, UpstreamError};
use tokio::task::spawn_local;

use crate::net::harness::{Script, Upstream, answer, get, json, local, post, read_request, refusing, silent, text};

#[test]
fn endpoints_take_turns_and_a_dead_one_is_passed_over() {
    local(async {
        for protocol in [Http1, Http2] {
            let (one, two) = (Upstream::echo(), Upstream::echo());
            let cluster = Cluster::new(ClusterConfig {
                endpoints: vec![refusing(), one.name(), two.name()],
                ..one.config(protocol)
            });
            let mut served = Vec::new();
            for _ in 0..6 {
                let response = cluster.send(post("/", "x".into())).await.unwrap();
                served.push(response.body().endpoint().to_owned());
                json(response).await;
            }
            // The dead endpoint's turns go to its successor.
            let (one, two) = (one.name(), two.name());
            let (one, two) = (one.as_str(), two.as_str());
            assert_eq!(served, [one, one, two, one, one, two]);
        }
    });
}

#[test]
fn a_refused_connection_names_the_endpoint() {
    local(async {
        let name = refusing();
        let error = Cluster::new(ClusterConfig::new("c", vec![name.clone()])).send(get("/")).await.unwrap_err();
        assert!(matches!(&error, UpstreamError::Connect { .. }), "{error:?}");
        assert!(error.to_string().contains(&name), "{error}");
        assert_eq!(error.reason(), "connect_failure");

        let error = Cluster::new(ClusterConfig::new("empty", vec![])).send(get("/")).await.unwrap_err();
        assert!(matches!(error, UpstreamError::NoEndpoints { .. }));
    });
}

#[test]
fn a_silent_endpoint_times_out_and_is_passed_over() {
    local(async {
        let (silent, _held) = silent();
        let upstream = Upstream::echo();
        for protocol in [Http1, Http2] {
            let config = ClusterConfig {
                endpoints: vec![silent.clone()],
                connect_timeout: Duration::from_millis(50),
                ..upstream.config(protocol)
            };
            // Requests that wait for the same HTTP/2 connection fail together and not one after the other.
            let cluster = Cluster::new(config.clone());
            // Nobody else is there, so the clock may run ahead to the timeout.
            tokio::time::pause();
            let start = tokio::time::Instant::now();
            let (a, b, c) = tokio::join!(cluster.send(get("/")), cluster.send(get("/")), cluster.send(get("/")));
            // Timers are whole milliseconds, rounded up.
            assert!(matches!(start.elapsed().as_millis(), 50 | 51), "{:?}", start.elapsed());
            tokio::time::resume();
            for error in [a.unwrap_err(), b.unwrap_err(), c.unwrap_err()] {
                assert_eq!(error.reason(), "connect_timeout");
            }
            let endpoints = vec![silent.clone(), upstream.name()];
            let cluster = Cluster::new(ClusterConfig { endpoints, ..config });
            json(cluster.send(get("/")).await.unwrap()).await;
        }
    });
}

#[test]
fn a_connection_closed_while_idle_is_replaced() {
    local(async {
        let ((close, closing), (closed, is_closed)) = (mpsc::channel(), mpsc::channel());
        let upstream = Script::run(move |accept| {
            let mut first = accept();
            answer(&mut first, "one");
            closing.recv().unwrap();
            drop(first);
            closed.send(()).unwrap();
            answer(&mut accept(), "two");
        });
        let cluster = upstream.cluster();
        // POST, which is never repeated once any of it may have been sent.
        assert_eq!(text(cluster.send(post("/", "x".into())).await.unwrap()).await, "one");
        // Long enough for the connection to be idle in every sense.
        tokio::time::sleep(Duration::from_millis(20)).await;
        close.send(()).unwrap();
        // Blocks the runtime, so that nobody has noticed the closing when the next request comes.
        is_closed.recv().unwrap();
        assert_eq!(text(cluster.send(post("/", "x".into())).await.unwrap()).await, "two");
    });
}

#[test]
fn a_connection_closed_under_the_request_is_survived_when_repeating_is_safe() {
    local(async {
        for (method, expected) in [(Method::GET, None), (Method::POST, Some("upstream_reset"))] {
            let upstream = Script::run(|accept| {
                let mut first = accept();
                answer(&mut first, "one");
                read_request(&mut first);
                drop(first);
                answer(&mut accept(), "two");
            });
            let cluster = upstream.cluster();
            assert_eq!(text(cluster.send(get("/")).await.unwrap()).await, "one");
            let mut request = get("/");
            *request.method_mut() = method;
            match cluster.send(request).await {
                Ok(response) => {
                    assert_eq!(text(response).await, "two");
                    assert_eq!(expected, None);
                }
                Err(error) => assert_eq!(Some(error.reason()), expected),
            }
        }
    });
}

/// Bytes behind a head that says twice where its body ends are not taken for the next response, also where there is no body.
#[test]
fn a_connection_with_a_doubtful_response_is_not_used_again() {
    local(async {
        let upstream = Script::run(|accept| {
            let mut first = accept();
            read_request(&mut first);
            first
                .write_all(b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n")
                .unwrap();
            answer(&mut accept(), "two");
        });
        let cluster = upstream.cluster();
        assert_eq!(cluster.send(get("/")).await.unwrap().status(), 204);
        assert_eq!(text(cluster.send(get("/")).await.unwrap()).await, "two");
    });
}

#[test]
fn what_is_not_http_is_a_protocol_error() {
    local(async {
        let upstream = Script::run(|accept| {
            let mut stream = accept();
            read_request(&mut stream);
            stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n\r\n").unwrap();
        });
        let error = upstream.cluster().send(get("/")).await.unwrap_err();
        assert_eq!(error.reason(), "upstream_protocol_error");
    });
}

#[test]
fn a_response_cut_off_is_an_error_of_its_body() {
    local(async {
        let upstream = Script::run(|accept| {
            let mut stream = accept();
            read_request(&mut stream);
            stream
                .write_all(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
                .unwrap();
        });
        let response = upstream.cluster().send(get("/")).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let error = response.into_body().collect().await.unwrap_err();
        assert_eq!(error.reason(), "upstream_reset");
    });
}

#[test]
fn an_aborted_request_is_our_own_doing() {
    local(async {
        let upstream = Upstream::echo();
        let cluster = upstream.cluster(Http1);
        let (sender, body) = body_queue();
        sender.push("half".into());
        let sent = spawn_local(cluster.send(get("/").map(|_| body)));
        tokio::time::sleep(Duration::from_millis(10)).await;
        sender.abort("the client went away");
        let error = sent.await.unwrap().unwrap_err();
        assert_eq!(error.reason(), "request_aborted");
        json(cluster.send(get("/")).await.unwrap()).await;
    });
}

#[test]
fn the_sender_learns_that_the_upstream_is_gone() {
    local(async {
        for protocol in [Http1, Http2] {
            let upstream = Upstream::serve(|_| std::future::pending());
            let cluster = upstream.cluster(protocol);
            let (sender, body) = body_queue();
            let sent = spawn_local(cluster.send(get("/").map(|_| body)));
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(!sender.is_closed());
            upstream.hang_up();
            std::future::poll_fn(|cx| sender.poll_closed(cx)).await;
            assert_eq!(sent.await.unwrap().unwrap_err().reason(), "upstream_reset");
        }
    });
}
