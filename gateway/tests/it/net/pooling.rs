//! Which connection a request takes.

use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use portcullis_driver::body::{HIGH_WATER, QueueBody, body_queue};
use portcullis_gateway::upstream::pool::UpstreamProtocol::{Http1, Http2};
use portcullis_gateway::upstream::pool::{Cluster, ClusterConfig};
use tokio::sync::Barrier;
use tokio::task::spawn_local;

use crate::net::harness::{Upstream, get, json, local, post, text};

#[test]
fn http1_connections_are_used_again() {
    local(async {
        let upstream = Upstream::echo();
        let cluster = upstream.cluster(Http1);
        for _ in 0..5 {
            json(cluster.send(get("/")).await.unwrap()).await;
        }
        assert_eq!(upstream.accepted(), 1);
    });
}

#[test]
fn http1_connections_are_used_again_without_asking_for_the_end() {
    local(async {
        let upstream = Upstream::serve(|request: Request<Incoming>| async move {
            let (sender, body) = body_queue();
            sender.push("data".into());
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", HeaderValue::from_static("1"));
            sender.finish((request.uri().path() == "/trailers").then_some(trailers));
            let mut response = Response::new(body);
            let names = HeaderValue::from_static("x-sum");
            response.headers_mut().insert(header::TRAILER, names);
            response
        });
        let cluster = upstream.cluster(Http1);
        for (path, frames) in [("/", 1), ("/trailers", 2), ("/", 1)] {
            let mut request = get(path);
            let te = HeaderValue::from_static("trailers");
            request.headers_mut().insert(header::TE, te);
            let mut body = cluster.send(request).await.unwrap().into_body();
            for _ in 0..frames {
                body.frame().await.unwrap().unwrap();
            }
        }
        assert_eq!(upstream.accepted(), 1);
    });
}

#[test]
fn http1_leaves_a_connection_alone_while_its_request_is_still_on_the_way() {
    local(async {
        // Answers before it has read the request's body.
        let upstream = Upstream::serve(|request: Request<Incoming>| async move {
            spawn_local(request.into_body().collect());
            Response::new(QueueBody::full("early".into()))
        });
        let cluster = upstream.cluster(Http1);
        let (sender, body) = body_queue();
        let uploading = cluster.send(get("/").map(|_| body)).await.unwrap();
        assert_eq!(text(uploading).await, "early");
        text(cluster.send(get("/")).await.unwrap()).await;
        assert_eq!(upstream.accepted(), 2);
        sender.push("rest".into());
        sender.finish(None);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (a, b) = tokio::join!(cluster.send(get("/")), cluster.send(get("/")));
        text(a.unwrap()).await;
        text(b.unwrap()).await;
        assert_eq!(upstream.accepted(), 2);
    });
}

#[test]
fn http1_opens_a_connection_for_each_request_in_flight() {
    local(async {
        let together = Rc::new(Barrier::new(3));
        let upstream = Upstream::serve(move |_| {
            let together = Rc::clone(&together);
            async move {
                together.wait().await;
                Response::new(QueueBody::full("ok".into()))
            }
        });
        let cluster = upstream.cluster(Http1);
        for _ in 0..2 {
            let (a, b, c) = tokio::join!(cluster.send(get("/")), cluster.send(get("/")), cluster.send(get("/")));
            for response in [a, b, c] {
                text(response.unwrap()).await;
            }
        }
        assert_eq!(upstream.accepted(), 3);
    });
}

#[test]
fn http1_keeps_no_more_and_no_longer_than_told() {
    local(async {
        let upstream = Upstream::echo();
        for (max_idle, idle_timeout) in [(0, Duration::from_secs(60)), (8, Duration::from_nanos(1))] {
            let cluster = Cluster::new(ClusterConfig { max_idle, idle_timeout, ..upstream.config(Http1) });
            let before = upstream.accepted();
            json(cluster.send(get("/")).await.unwrap()).await;
            json(cluster.send(get("/")).await.unwrap()).await;
            assert_eq!(upstream.accepted() - before, 2);
        }
    });
}

#[test]
fn http2_carries_all_requests_on_one_connection() {
    local(async {
        let together = Rc::new(Barrier::new(20));
        let upstream = Upstream::serve(move |_| {
            let together = Rc::clone(&together);
            async move {
                together.wait().await;
                Response::new(QueueBody::full("ok".into()))
            }
        });
        let cluster = upstream.cluster(Http2);
        let sent: Vec<_> = (0..20).map(|_| spawn_local(cluster.send(get("/")))).collect();
        for response in sent {
            assert_eq!(text(response.await.unwrap().unwrap()).await, "ok");
        }
        assert_eq!(upstream.accepted(), 1);
    });
}

#[test]
fn http2_connects_again_when_the_connection_has_closed() {
    local(async {
        let upstream = Upstream::echo();
        let cluster = upstream.cluster(Http2);
        for expected in 1..=3 {
            json(cluster.send(post("/", "x".into())).await.unwrap()).await;
            assert_eq!(upstream.accepted(), expected);
            upstream.hang_up();
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_body_dropped_early_does_not_poison_the_pool() {
    local(async {
        for protocol in [Http1, Http2] {
            let upstream = Upstream::serve(|request: Request<Incoming>| async move {
                if request.uri().path() == "/small" {
                    return Response::new(QueueBody::full("small".into()));
                }
                let (sender, body) = body_queue();
                spawn_local(async move {
                    while sender.capacity().await.is_ok() {
                        sender.push(vec![b'x'; HIGH_WATER].into());
                    }
                });
                Response::new(body)
            });
            let cluster = upstream.cluster(protocol);
            for _ in 0..3 {
                let mut endless = cluster.send(get("/endless")).await.unwrap();
                assert!(endless.frame().await.unwrap().unwrap().is_data());
                drop(endless);
                assert_eq!(text(cluster.send(get("/small")).await.unwrap()).await, "small");
            }
            assert_eq!(upstream.accepted(), if protocol == Http1 { 4 } else { 1 });
        }
    });
}

#[test]
fn a_request_given_up_does_not_poison_the_pool() {
    local(async {
        for protocol in [Http1, Http2] {
            let upstream = Upstream::serve(|request: Request<Incoming>| async move {
                if request.uri().path() == "/never" {
                    std::future::pending::<()>().await;
                }
                Response::new(QueueBody::full("ok".into()))
            });
            let cluster = upstream.cluster(protocol);
            let never = tokio::time::timeout(Duration::from_millis(30), cluster.send(get("/never")));
            assert!(never.await.is_err());
            assert_eq!(text(cluster.send(get("/")).await.unwrap()).await, "ok");
        }
    });
}
