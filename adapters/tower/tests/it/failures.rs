//! Inner services, bodies and plugins that fail.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use portcullis_core::abi::{CallbackId, MapType};
use portcullis_core::model::response_flag;
use portcullis_core::testing::{FakeHost, Script};
use portcullis_tower::{PluginLayer, QueueBody};
use tower::limit::ConcurrencyLimit;
use tower::timeout::Timeout;
use tower::{Layer, Service, ServiceExt};

use crate::common::{
    AnyBody, AnyError, ask, behind, echo, empty, full, logs_ends, plugins, property, request, service, set_header,
};

#[tokio::test]
async fn a_failed_inner_service_is_an_upstream_failure() {
    let host = FakeHost::new();
    let inner = service(|_| async { Err(AnyError::new("the database is gone")) });
    let response = ask(behind(&host, logs_ends, inner), request("GET", "/", empty())).await;
    assert_eq!(response.status.as_u16(), 503);
    assert_eq!(
        response.body,
        "upstream connect error or disconnect/reset before headers. reset reason: connection termination"
    );
    let flag = response_flag::UPSTREAM_CONNECTION_TERMINATION;
    let details = "upstream_reset_before_response_started{connection_termination}";
    assert_eq!(host.messages(), [format!("log {details} {flag}")]);
}

/// A service that does not become ready.
#[derive(Clone)]
struct NeverReady;

impl Service<Request<QueueBody>> for NeverReady {
    type Response = Response<AnyBody>;
    type Error = &'static str;
    type Future = std::future::Pending<Result<Response<AnyBody>, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(Err("shut down"))
    }

    fn call(&mut self, _: Request<QueueBody>) -> Self::Future {
        panic!("it is not ready")
    }
}

#[tokio::test]
async fn so_is_one_that_does_not_become_ready() {
    let host = FakeHost::new();
    let service = PluginLayer::new(plugins(&host, logs_ends)).layer(NeverReady);
    assert_eq!(ask(service, request("GET", "/", empty())).await.status.as_u16(), 503);
    let flag = response_flag::UPSTREAM_CONNECTION_FAILURE;
    let details = "upstream_reset_before_response_started{connection_failure}";
    assert_eq!(host.messages(), [format!("log {details} {flag}")]);
}

/// Answers `/denied` itself.
fn denies() -> Script {
    Script::new().on(CallbackId::on_request_headers, |caller, _| {
        let path = caller.header(MapType::RequestHeaders, ":path").unwrap();
        if path != "/denied" {
            return 0;
        }
        caller.local_response(403, "no");
        1
    })
}

#[tokio::test]
async fn a_request_takes_a_place_of_the_inner_service_when_plugins_have_let_it_pass() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let waiting = service(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        std::future::pending()
    });
    let limited = ConcurrencyLimit::new(waiting, 1);
    let mut service = PluginLayer::new(plugins(&FakeHost::new(), denies)).layer(limited);
    let mut asked = ["/a", "/b"].map(|path| Box::pin(service.call(request("GET", path, empty()))));
    for asked in &mut asked {
        assert!(std::future::poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx))).await.is_pending());
    }
    assert_eq!(calls.load(Ordering::Relaxed), 1, "the other one waits for the only place");
    // A request that plugins answer needs none.
    assert_eq!(ask(service, request("GET", "/denied", empty())).await.status.as_u16(), 403);
}

#[tokio::test(start_paused = true)]
async fn a_time_limit_of_the_inner_service_is_its_failure() {
    let host = FakeHost::new();
    let slow = service(|_| async { std::future::pending().await });
    let service = PluginLayer::new(plugins(&host, logs_ends)).layer(Timeout::new(slow, Duration::from_secs(1)));
    assert_eq!(ask(service, request("GET", "/", empty())).await.status.as_u16(), 503);
    assert_eq!(host.messages().len(), 1);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_cut() {
    let host = FakeHost::new();
    let inner = tower::service_fn(|_: Request<QueueBody>| async {
        let (mut sender, body) = http_body_util::Channel::<Bytes, &'static str>::new(2);
        sender.send_data("half".into()).await.unwrap();
        sender.abort("the disk is gone");
        Ok::<_, Infallible>(Response::new(body))
    });
    let service = PluginLayer::new(plugins(&host, logs_ends)).layer(inner);
    let response = ask(service, request("GET", "/", empty())).await;
    assert_eq!(response.cut, Some("upstream_reset_after_response_started"));
    let flag = response_flag::UPSTREAM_CONNECTION_TERMINATION;
    let details = "upstream_reset_after_response_started{connection_termination}";
    assert_eq!(host.messages(), [format!("log {details} {flag}")]);
}

#[tokio::test]
async fn a_request_that_breaks_off_is_a_400() {
    let host = FakeHost::new();
    let (mut sender, body) = http_body_util::Channel::<Bytes, &'static str>::new(2);
    sender.send_data("half".into()).await.unwrap();
    sender.abort("the client is gone");
    let inner = service(|request| async move {
        assert!(request.into_body().collect().await.is_err(), "half a body must not look whole");
        Ok(Response::new(full("unheard")))
    });
    let asked = request("POST", "/", empty()).map(|_| body);
    let response = behind(&host, logs_ends, inner).oneshot(asked).await.unwrap();
    assert_eq!(response.status().as_u16(), 400);
    response.into_body().collect().await.unwrap();
    assert_eq!(host.messages(), ["log request_body_broken 0"], "who broke it off is not known");
}

/// Leaves heads that HTTP cannot carry, where the path says so.
fn spoils() -> Script {
    Script::new()
        .on(CallbackId::on_request_headers, |caller, _| {
            match caller.header(MapType::RequestHeaders, ":path").unwrap().as_str() {
                "/request" => drop(caller.add_header(MapType::RequestHeaders, "x bad", "1")),
                "/method" => set_header(caller, MapType::RequestHeaders, ":method", "CONNECT"),
                _ => {}
            }
            0
        })
        .on(CallbackId::on_response_headers, |caller, _| {
            if property(caller, &["request", "path"]) == b"/response" {
                caller.add_header(MapType::ResponseHeaders, "x bad", "1");
            }
            0
        })
}

#[tokio::test]
async fn heads_that_cannot_be_sent_are_not() {
    let service = behind(&FakeHost::new(), spoils, echo());
    for (path, status, body) in [
        ("/response", 500, ""),
        ("/request", 500, "a plugin made the header \"x bad\" invalid"),
        ("/method", 405, "the method is not supported"),
    ] {
        let response = ask(service.clone(), request("GET", path, empty())).await;
        assert_eq!((response.status.as_u16(), response.body.as_str(), response.cut), (status, body, None), "{path}");
    }
}
