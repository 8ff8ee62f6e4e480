//! Lengths: those that are wrong after plugins' changes, and responses that have no body.

use http::{Method, Response};
use http_body_util::BodyExt;
use portcullis_core::abi::{BufferType, CallbackId};
use portcullis_core::testing::{FakeHost, Script};

use crate::common::{AnyService, ask, behind, empty, full, replace_body, request, service};

/// Makes bodies of requests longer, and leaves their heads alone.
fn lengthens_requests() -> Script {
    Script::new().on(CallbackId::on_request_body, |caller, _| {
        replace_body(caller, BufferType::HttpRequestBody, "a longer body");
        0
    })
}

/// Makes bodies of responses longer, and leaves their heads alone.
fn lengthens() -> Script {
    Script::new().on(CallbackId::on_response_body, |caller, _| {
        replace_body(caller, BufferType::HttpResponseBody, "a longer body");
        0
    })
}

#[tokio::test]
async fn a_request_that_became_longer_than_its_head_says_is_a_500() {
    let inner = service(|request| async move {
        assert_eq!(request.headers()["content-length"], "4");
        assert!(request.into_body().collect().await.is_err(), "it must not look whole");
        std::future::pending().await
    });
    let mut short = request("POST", "/", full("body"));
    short.headers_mut().insert("content-length", 4.into());
    let response = ask(behind(&FakeHost::new(), lengthens_requests, inner), short).await;
    assert_eq!((response.status.as_u16(), response.cut), (500, None));
    assert_eq!(response.body, "a plugin changed the length of the request's body");
}

#[tokio::test]
async fn a_response_that_is_there_whole_gets_its_true_length() {
    let inner = service(|_| async { Ok(Response::builder().header("content-length", 2).body(full("hi"))?) });
    let response = ask(behind(&FakeHost::new(), lengthens, inner), request("GET", "/", empty())).await;
    assert_eq!((response.field("content-length"), response.body.as_str()), (Some("13"), "a longer body"));
}

#[tokio::test]
async fn a_response_whose_head_has_gone_is_cut_before_what_would_look_whole() {
    let (mut sender, body) = http_body_util::Channel::<bytes::Bytes, std::convert::Infallible>::new(1);
    let body = std::sync::Mutex::new(Some(body.boxed()));
    let body = std::sync::Arc::new(body);
    let inner = service(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async { Ok(Response::builder().header("content-length", 4).body(body)?) }
    });
    let mut service = behind(&FakeHost::new(), lengthens, inner);
    let response = tower::Service::call(&mut service, request("GET", "/", empty())).await.unwrap();
    assert_eq!(response.headers()["content-length"], "4");
    sender.send_data("four".into()).await.unwrap();
    drop(sender);
    let error = response.into_body().collect().await.unwrap_err();
    assert_eq!(error.reason(), "response_length_mismatch");
}

#[tokio::test]
async fn a_response_without_a_body_has_none_whatever_plugins_give_it() {
    fn inner(status: u16) -> AnyService {
        service(
            move |_| async move { Ok(Response::builder().status(status).header("content-length", 2).body(full("hi"))?) },
        )
    }
    for (method, status, length) in [
        (Method::HEAD, 200, Some("2")),
        (Method::GET, 204, None),
        (Method::GET, 205, Some("0")),
        (Method::GET, 304, Some("2")),
    ] {
        let asked = request(method.as_str(), "/", empty());
        let response = ask(behind(&FakeHost::new(), lengthens, inner(status)), asked).await;
        assert_eq!((response.status.as_u16(), response.cut), (status, None));
        assert_eq!((response.body.as_str(), response.field("content-length")), ("", length), "{method} {status}");
    }
}
