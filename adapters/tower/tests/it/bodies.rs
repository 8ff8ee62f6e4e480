//! How much of a body is read, and when.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use http::Response;
use http_body_util::BodyExt;
use portcullis_core::abi::CallbackId;
use portcullis_core::testing::{FakeHost, Script};
use portcullis_tower::PluginLayer;
use tower::{Layer, Service};

use crate::common::{Counts, ask, behind, echo, empty, full, plugins, request, service};

#[tokio::test]
async fn a_request_is_read_no_further_than_the_inner_service_takes_it() {
    let counts = Counts::default();
    let inner = service(|request| async move {
        // The body is kept, and nothing of it read.
        let _body = request.into_body();
        std::future::pending().await
    });
    let mut service = behind(&FakeHost::new(), Script::new, inner);
    let mut answer = std::pin::pin!(service.call(request("POST", "/", counts.body(1000))));
    for _ in 0..10 {
        assert!(poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await.is_pending());
    }
    assert_eq!(counts.read(), 4, "64 KiB in pieces of 16");
}

#[tokio::test]
async fn a_response_is_read_no_further_than_the_client_takes_it() {
    let counts = Counts::default();
    let source = counts.clone();
    let inner = service(move |_| {
        let body = source.body(1000);
        async { Ok(Response::new(body)) }
    });
    let mut service = behind(&FakeHost::new(), Script::new, inner);
    let mut body = service.call(request("GET", "/", empty())).await.unwrap().into_body();
    assert!((1..=4).contains(&counts.read()), "{} pieces", counts.read());
    for _ in 0..20 {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), 16 << 10);
    }
    assert!((20..=24).contains(&counts.read()), "{} pieces", counts.read());
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_passes_and_the_rest_is_not_read() {
    let counts = Counts::default();
    let inner = service(|request| async move {
        drop(request);
        Ok(Response::builder().status(413).body(full("too much"))?)
    });
    let response = ask(behind(&FakeHost::new(), Script::new, inner), request("POST", "/", counts.body(1000))).await;
    assert_eq!((response.status.as_u16(), response.body.as_str()), (413, "too much"));
    assert!(counts.read() <= 4, "{} pieces", counts.read());
    assert_eq!(counts.dropped(), 1);
}

#[tokio::test]
async fn an_answer_passes_while_the_request_is_still_sent() {
    let counts = Counts::default();
    let service = behind(&FakeHost::new(), Script::new, echo());
    let response = ask(service, request("POST", "/", counts.body(100))).await;
    assert_eq!((response.body.len(), response.cut), (100 * (16 << 10), None));
}

/// Holds what it is told to, all of it.
fn holds_bodies() -> Script {
    let hold = |_: &mut portcullis_core::testing::NullCaller<'_>, args: &[i32]| i32::from(args[2] == 0);
    Script::new().on(CallbackId::on_request_body, hold).on(CallbackId::on_response_body, hold)
}

#[tokio::test]
async fn plugins_hold_no_more_than_the_limit() {
    let counts = Counts::default();
    let called = Arc::new(AtomicBool::new(false));
    let call = Arc::clone(&called);
    let big = counts.clone();
    let inner = service(move |request| {
        let (big, is_upload) = (big.body(3), request.method() == "POST");
        call.store(true, Ordering::Relaxed);
        async move {
            if is_upload {
                request.into_body().collect().await?;
            }
            Ok(Response::new(big))
        }
    });
    let layer = |limit| PluginLayer::new(plugins(&FakeHost::new(), holds_bodies)).with_buffer_limit(limit);
    let service = layer(40_000).layer(inner);
    let upload = ask(service.clone(), request("POST", "/", Counts::default().body(3))).await;
    assert_eq!((upload.status.as_u16(), upload.body.as_str()), (413, "Payload Too Large"));
    let download = ask(service, request("GET", "/", empty())).await;
    assert!(download.cut.is_some() && download.body.is_empty(), "the head has gone: {download:?}");
    let roomy = layer(50_000).layer(echo());
    assert_eq!(ask(roomy, request("POST", "/", counts.body(3))).await.body.len(), 3 * (16 << 10));
}

/// Holds the head of a request for good.
fn holds_heads() -> Script {
    Script::new().on(CallbackId::on_request_headers, |_, _| 1)
}

#[tokio::test]
async fn a_body_that_a_client_offers_is_not_asked_for_while_plugins_hold_the_head() {
    for (expect, expected) in [(Some("100-continue"), 0), (None, 3)] {
        let counts = Counts::default();
        let mut asked = request("POST", "/", counts.body(3));
        if let Some(expect) = expect {
            asked.headers_mut().insert("expect", expect.parse().unwrap());
        }
        let mut service = behind(&FakeHost::new(), holds_heads, echo());
        let mut answer = std::pin::pin!(service.call(asked));
        assert!(poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await.is_pending());
        assert_eq!(counts.read(), expected, "{expect:?}");
    }
}
