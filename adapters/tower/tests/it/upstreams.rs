//! Upstreams behind a service, as a driver uses them.

use http::{Request, Response};
use http_body_util::BodyExt;
use portcullis_driver::{SendError, Upstreams};
use portcullis_tower::{QueueBody, ServiceUpstreams};

use crate::common::{AnyError, echo, full, service};

fn get(target: &str) -> Request<QueueBody> {
    Request::get(target).body(QueueBody::empty()).unwrap()
}

#[tokio::test]
async fn requests_go_to_the_address_of_the_name() {
    let seen = service(|request| async move {
        let host = request.headers()["host"].to_str()?.to_owned();
        Ok(Response::new(full(format!("{} {host}", request.uri()))))
    });
    let upstreams = ServiceUpstreams::new(seen).with("auth", "http://127.0.0.1:9".parse().unwrap());
    let response = upstreams.send("auth", get("http://evil.example/check")).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "http://127.0.0.1:9/check evil.example");
    assert_eq!(upstreams.send("other", get("http://a/")).await.unwrap_err(), SendError::unknown());
}

#[tokio::test]
async fn names_say_what_is_there_and_what_takes_grpc() {
    let upstreams = ServiceUpstreams::new(echo())
        .with("auth", "http://127.0.0.1:9".parse().unwrap())
        .with_http2("limits", "http://127.0.0.1:10".parse().unwrap());
    let speaks = ["auth", "limits", "other"].map(|name| upstreams.speaks_http2(name));
    assert_eq!(speaks, [Some(false), Some(true), None]);
    let mut names: Vec<_> = upstreams.names().collect();
    names.sort_unstable();
    assert_eq!(names, ["auth", "limits"]);
}

#[tokio::test]
async fn a_service_that_fails_is_a_reset() {
    let fails = service(|_| async { Err(AnyError::new("refused")) });
    let upstreams = ServiceUpstreams::new(fails).with("auth", "http://127.0.0.1:9".parse().unwrap());
    let error = upstreams.send("auth", get("http://a/")).await.unwrap_err();
    assert_eq!((error.status, error.reason, error.message.as_str()), (503, "connection termination", "refused"));
}
