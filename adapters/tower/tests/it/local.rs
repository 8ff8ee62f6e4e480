//! Local responses of plugins, at each phase, and streams that plugins cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Response;
use http_body_util::BodyExt;
use portcullis_core::abi::{CallbackId, StreamType};
use portcullis_core::hostcall::entry;
use portcullis_core::testing::{FakeHost, NullCaller, Script};

use crate::common::{AnyService, Counts, ask, behind, empty, full, request, service};

fn deny(caller: &mut NullCaller<'_>, _: &[i32]) -> i32 {
    assert_eq!(caller.local_response(403, "denied"), 0);
    1
}

/// An inner service that reads the request and answers with 48 KiB, and the number of its calls.
fn counted() -> (AnyService, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let inner = service(move |request| {
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            request.into_body().collect().await?;
            Ok(Response::builder().header("x-own", "1").body(Counts::default().body(3))?)
        }
    });
    (inner, calls)
}

#[tokio::test]
async fn a_local_response_takes_the_place_of_the_answer_at_each_phase_before_its_head_has_gone() {
    let phases: [(fn() -> Script, usize); 3] = [
        (|| Script::new().on(CallbackId::on_request_headers, deny), 0),
        (|| Script::new().on(CallbackId::on_request_body, deny), 1),
        (|| Script::new().on(CallbackId::on_response_headers, deny), 1),
    ];
    for (phase, (script, expected)) in phases.into_iter().enumerate() {
        let (inner, calls) = counted();
        let response = ask(behind(&FakeHost::new(), script, inner), request("POST", "/", full("body"))).await;
        assert_eq!((response.status.as_u16(), response.body.as_str()), (403, "denied"), "phase {phase}");
        assert_eq!((response.field("x-own"), response.field("content-length")), (None, Some("6")));
        assert_eq!(calls.load(Ordering::Relaxed), expected, "phase {phase}");
    }
}

#[tokio::test]
async fn one_that_comes_after_the_head_cuts_the_response() {
    let (inner, _) = counted();
    let script = || Script::new().on(CallbackId::on_response_body, deny);
    let response = ask(behind(&FakeHost::new(), script, inner), request("GET", "/", empty())).await;
    assert_eq!((response.status.as_u16(), response.field("x-own")), (200, Some("1")));
    assert!(response.cut.is_some() && response.body.is_empty(), "{response:?}");
}

/// Cuts a stream.
fn close(caller: &mut NullCaller<'_>, _: &[i32]) -> i32 {
    assert_eq!(entry::proxy_close_stream(caller, StreamType::Response as i32).ok(), Some(0));
    1
}

#[tokio::test]
async fn a_stream_that_is_cut_before_its_head_is_a_503_that_ends_the_connection() {
    let (inner, calls) = counted();
    let script = || Script::new().on(CallbackId::on_request_headers, close);
    let response = ask(behind(&FakeHost::new(), script, inner), request("GET", "/", empty())).await;
    assert_eq!((response.status.as_u16(), response.body.as_str(), response.cut), (503, "", None));
    assert_eq!((response.field("connection"), response.field("content-length")), (Some("close"), Some("0")));
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}
