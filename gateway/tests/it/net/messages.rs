//! Messages as they arrive.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use portcullis_driver::body::{QueueBody, body_queue};
use portcullis_gateway::upstream::pool::UpstreamProtocol::{Http1, Http2};
use serde_json::Value;
use tokio::task::spawn_local;

use crate::net::harness::{Upstream, get, json, local, post};

#[test]
fn the_upstream_sees_the_clients_authority() {
    local(async {
        let upstream = Upstream::echo();
        for (protocol, version) in [(Http1, "HTTP/1.1"), (Http2, "HTTP/2.0")] {
            let cluster = upstream.cluster(protocol);
            let response = cluster.send(get("/a?b")).await.unwrap();
            assert_eq!(response.body().remote_addr(), upstream.address);
            let seen = json(response).await;
            assert_eq!(seen["authority"], "client.test");
            assert_eq!(seen["path"], "/a?b");
            assert_eq!(seen["version"], version);

            let mut absolute = Request::new(QueueBody::empty());
            *absolute.uri_mut() = "https://other.test/c".parse().unwrap();
            *absolute.version_mut() = Version::HTTP_10;
            let seen = json(cluster.send(absolute).await.unwrap()).await;
            assert_eq!(seen["authority"], "other.test");
            assert_eq!(seen["path"], "/c");
        }
    });
}

#[test]
fn complete_bodies_have_a_length_and_open_ones_do_not() {
    local(async {
        let upstream = Upstream::echo();
        for protocol in [Http1, Http2] {
            let cluster = upstream.cluster(protocol);
            let seen = json(cluster.send(post("/", "hello".into())).await.unwrap()).await;
            assert_eq!(seen["headers"]["content-length"], "5");
            assert_eq!(seen["headers"]["transfer-encoding"], Value::Null);

            let seen = json(cluster.send(get("/")).await.unwrap()).await;
            assert_eq!(seen["headers"]["content-length"], Value::Null);
            assert_eq!(seen["headers"]["transfer-encoding"], Value::Null);

            // hyper alone would drop the body of a GET.
            for method in [Method::POST, Method::GET] {
                let (sender, body) = body_queue();
                let mut request = get("/").map(|_| body);
                *request.method_mut() = method;
                let sent = spawn_local(cluster.send(request));
                for _ in 0..100 {
                    sender.capacity().await.unwrap();
                    sender.push(vec![b'a'; 10_000].into());
                }
                sender.finish(None);
                let seen = json(sent.await.unwrap().unwrap()).await;
                assert_eq!(seen["body"].as_str().unwrap().len(), 1_000_000);
                assert_eq!(seen["headers"]["content-length"], Value::Null);
            }
        }
    });
}

#[test]
fn trailers_go_both_ways() {
    local(async {
        // Sends the request's trailers back.
        let upstream = Upstream::serve(|request: Request<Incoming>| async move {
            let whole = request.into_body().collect().await.unwrap();
            let trailers = whole.trailers().cloned();
            let (sender, body) = body_queue();
            sender.push(whole.to_bytes());
            sender.finish(trailers);
            let mut response = Response::new(body);
            let names = HeaderValue::from_static("x-sum");
            response.headers_mut().insert(header::TRAILER, names);
            response
        });
        for protocol in [Http1, Http2] {
            let cluster = upstream.cluster(protocol);
            for _ in 0..2 {
                let (sender, body) = body_queue();
                let mut request = post("/", Bytes::new()).map(|_| body);
                let headers = request.headers_mut();
                headers.insert(header::TRAILER, HeaderValue::from_static("x-sum"));
                headers.insert(header::TE, HeaderValue::from_static("trailers"));
                sender.push("data".into());
                let mut trailers = HeaderMap::new();
                trailers.insert("x-sum", HeaderValue::from_static("42"));
                sender.finish(Some(trailers));
                let whole = cluster.send(request).await.unwrap().into_body().collect().await.unwrap();
                assert_eq!(whole.trailers().unwrap()["x-sum"], "42", "{protocol:?}");
                assert_eq!(whole.to_bytes(), "data");
            }
        }
        // The connection of a response with trailers is used again.
        assert_eq!(upstream.accepted(), 2);
    });
}
