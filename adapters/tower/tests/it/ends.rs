//! Ends of streams: plugins log each, however it ended.

use std::future::poll_fn;
use std::task::Poll;

use http::Response;
use http_body_util::BodyExt;
use portcullis_core::model::response_flag;
use portcullis_core::testing::FakeHost;
use tower::Service;

use crate::common::{Counts, ask, behind, empty, full, logs_ends, request, service};

const GONE: u64 = response_flag::DOWNSTREAM_CONNECTION_TERMINATION;

#[tokio::test]
async fn a_stream_ends_when_its_response_has_been_taken() {
    let host = FakeHost::new();
    let inner = service(|_| async { Ok(Response::new(full("hi"))) });
    let mut service = behind(&host, logs_ends, inner);
    let response = service.call(request("GET", "/", empty())).await.unwrap();
    assert!(host.messages().is_empty());
    response.into_body().collect().await.unwrap();
    assert_eq!(host.messages(), ["log via_upstream 0"]);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_gives_the_inner_call_up() {
    let (host, counts) = (FakeHost::new(), Counts::default());
    let held = counts.clone();
    let inner = service(move |_| {
        let held = held.body(1);
        async move {
            let _held = held;
            std::future::pending().await
        }
    });
    let mut service = behind(&host, logs_ends, inner);
    let mut answer = Box::pin(service.call(request("GET", "/", empty())));
    assert!(poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await.is_pending());
    assert_eq!(counts.dropped(), 0);
    drop(answer);
    assert_eq!(counts.dropped(), 1);
    assert_eq!(host.messages(), [format!("log downstream_remote_disconnect {GONE}")]);
}

#[tokio::test]
async fn a_client_that_leaves_amid_the_body_gives_the_answer_up() {
    let (host, counts) = (FakeHost::new(), Counts::default());
    let source = counts.clone();
    let inner = service(move |_| {
        let body = source.body(1000);
        async { Ok(Response::new(body)) }
    });
    let mut service = behind(&host, logs_ends, inner);
    let mut body = service.call(request("GET", "/", empty())).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(counts.dropped(), 1);
    assert_eq!(host.messages(), [format!("log downstream_remote_disconnect {GONE}")]);
}

#[tokio::test]
async fn a_call_that_is_never_polled_ends_its_stream_too() {
    let host = FakeHost::new();
    let inner = service(|_| async { Ok(Response::new(full("hi"))) });
    drop(behind(&host, logs_ends, inner).call(request("GET", "/", empty())));
    assert_eq!(host.messages().len(), 1);
}

#[tokio::test]
async fn a_request_that_no_plugin_can_be_shown_has_no_stream() {
    let host = FakeHost::new();
    let inner = service(|_| async { panic!("nothing of it comes here") });
    let service = behind(&host, logs_ends, inner);
    let mut bare = request("GET", "/", empty());
    bare.headers_mut().clear();
    let response = ask(service.clone(), bare).await;
    assert_eq!((response.status.as_u16(), response.field("connection")), (400, Some("close")));
    assert_eq!(response.body, "the request has no host: send one Host field");
    let response = ask(service, request("TRACE", "/", empty())).await;
    assert_eq!((response.status.as_u16(), response.body.as_str()), (405, "TRACE is not supported"));
    assert!(host.messages().is_empty());
}
