//! HTTP callouts of plugins.

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::BodyExt;
use portcullis::chain::CalloutId;
use portcullis::model::{Body, CallResponse, Headers, HttpCall};
use portcullis::sandbox::HeldBytes;
use portcullis::vm::CallOutcome;

use crate::net::queue::body_queue;
use crate::serve::worker::context::Context;
use crate::serve::worker::in_flight::Flight;
use crate::upstream::connector::Upstream;
use crate::upstream::pool::UpstreamError;
use portcullis::chain::convert;

/// The most bytes of an answer that a plugin gets.
const MAX_ANSWER: usize = 16 << 20;

/// The text of Envoy's circuit breaker.
pub(super) const OVERFLOW: &str = "upstream connect error or disconnect/reset before headers. reset reason: overflow";

/// Makes a callout and tells the plugin its end. Failures look as on Envoy: a response with status
/// 504 or 503; only an answer that breaks off is a reset.
/// Without a place among those in flight it fails at once.
pub(super) async fn run(context: Rc<Context>, id: CalloutId, call: HttpCall, flight: Option<Flight>) {
    let (timeout, upstream) = (call.timeout, context.clusters.get(&call.upstream));
    let mut room = context.worker.borrow_mut().answer_room(id);
    let outcome = {
        let exchange = exchange(upstream, call, &mut room);
        match timeout {
            _ if flight.is_none() => failed(503, OVERFLOW),
            None => exchange.await,
            Some(limit) => match tokio::time::timeout(limit, exchange).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    upstream.into_iter().for_each(|upstream| upstream.timed_out(limit));
                    failed(504, "upstream request timeout")
                }
            },
        }
    };
    // The answer takes memory until it has been delivered.
    let _turn = context.answer_turn(id).await;
    drop(flight);
    context.callouts.borrow_mut().remove(&id);
    context.worker.borrow_mut().callout_done(id, outcome);
    // The plugin has read the answer.
    drop(room);
    context.pump();
}

async fn exchange(upstream: Option<&Upstream>, call: HttpCall, room: &mut Option<HeldBytes>) -> CallOutcome {
    let Some(upstream) = upstream else { return failed(503, "unknown cluster") };
    let request = match request(call) {
        Ok(request) => request,
        Err(unsendable) => return failed(503, &unsendable.to_string()),
    };
    let response = match upstream.send(request, |_, _| ()).await {
        Ok(response) => response,
        Err(error) => return failed(error.status(), &before_headers(&error)),
    };
    let (parts, mut body) = response.into_parts();
    let mut answer = CallResponse { headers: convert::response_headers(&parts), ..CallResponse::default() };
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) if bytes.len() + data.len() > MAX_ANSWER => return CallOutcome::Reset("too large".to_owned()),
            Ok(Ok(data)) if room.as_mut().is_some_and(|room| !room.resize(bytes.len() + data.len())) => {
                return CallOutcome::Reset("too large: limits.buffers is used up".to_owned());
            }
            Ok(Ok(data)) => bytes.extend_from_slice(&data),
            Ok(Err(frame)) => {
                answer.trailers = frame.into_trailers().map(|t| convert::trailers(&t)).unwrap_or_default()
            }
            Err(_) => return CallOutcome::Reset("reset".to_owned()),
        }
    }
    answer.body = Body::from(bytes.freeze());
    CallOutcome::Response(answer)
}

fn request(call: HttpCall) -> Result<Request<crate::net::queue::QueueBody>, convert::Unsendable> {
    let parts = convert::to_request(&call.headers)?;
    let (sender, body) = body_queue();
    let has_body = !call.body.is_empty();
    sender.push(call.body.clone());
    sender.finish(Some(convert::to_trailers(&call.trailers)?).filter(|trailers| !trailers.is_empty()));
    let mut request = Request::from_parts(parts, body);
    if has_body && call.trailers.is_empty() {
        request.headers_mut().insert(http::header::CONTENT_LENGTH, call.body.len().into());
    }
    Ok(request)
}

/// Returns what a client or plugin reads when an upstream gave no answer.
pub(super) fn before_headers(error: &UpstreamError) -> String {
    format!("upstream connect error or disconnect/reset before headers. reset reason: {}", error.words())
}

fn failed(status: u16, body: &str) -> CallOutcome {
    let (status, length) = (status.to_string(), body.len().to_string());
    let headers: Headers = [(":status", status.as_str()), ("content-length", &length), ("content-type", "text/plain")]
        .into_iter()
        .collect();
    let body = Body::from(Bytes::copy_from_slice(body.as_bytes()));
    CallOutcome::Response(CallResponse { headers, body, trailers: Headers::new() })
}
