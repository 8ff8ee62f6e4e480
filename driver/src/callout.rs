//! HTTP callouts of plugins.

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::BodyExt;
use portcullis_chain::{AnyStreamId, CalloutId, convert};
use portcullis_core::model::{Body, CallResponse, Headers, HttpCall};
use portcullis_core::sandbox::HeldBytes;
use portcullis_core::vm::CallOutcome;

use crate::body::{QueueBody, body_queue};
use crate::driver::Driver;
use crate::in_flight::Flight;
use crate::threads::Threads;
use crate::upstreams::{CalledFor, Upstreams};

/// The most bytes of an answer that a plugin gets.
const MAX_ANSWER: usize = 16 << 20;

/// The text of Envoy's circuit breaker.
pub(crate) const OVERFLOW: &str = "upstream connect error or disconnect/reset before headers. reset reason: overflow";

/// Makes a callout and passes its result to the plugin. Failures look as on Envoy: a response with status
/// 504 or 503; only an answer that breaks off is a reset.
/// Without a place among those in flight it fails at once.
pub(crate) async fn run<T: Threads, U: Upstreams>(
    driver: &Driver<T, U>,
    id: CalloutId,
    call: HttpCall,
    stream: Option<AnyStreamId>,
    flight: Option<Flight>,
) {
    let (timeout, upstream) = (call.timeout, call.upstream.clone());
    let mut room = driver.with(|worker| worker.answer_room(id));
    let outcome = {
        let exchange = exchange(driver.upstreams(), call, stream, &mut room);
        match timeout {
            _ if flight.is_none() => failed(503, OVERFLOW),
            None => exchange.await,
            Some(limit) => match tokio::time::timeout(limit, exchange).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    driver.upstreams().timed_out(&upstream, limit);
                    failed(504, "upstream request timeout")
                }
            },
        }
    };
    // The answer takes memory until it has been delivered.
    let _turn = driver.answer_turn(id).await;
    drop(flight);
    driver.forget(id);
    driver.with(|worker| worker.callout_done(id, outcome));
    // The plugin has read the answer.
    drop(room);
    driver.pump();
}

async fn exchange(
    upstreams: &impl Upstreams,
    call: HttpCall,
    stream: Option<AnyStreamId>,
    room: &mut Option<HeldBytes>,
) -> CallOutcome {
    let upstream = call.upstream.clone();
    let request = match request(call, stream) {
        Ok(request) => request,
        Err(unsendable) => return failed(503, &unsendable.to_string()),
    };
    let response = match upstreams.send(&upstream, request).await {
        Ok(response) => response,
        Err(error) => return failed(error.status, &error.text()),
    };
    let (parts, mut body) = response.into_parts();
    let mut answer = CallResponse::default().with_headers(convert::response_headers(&parts));
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

fn request(call: HttpCall, stream: Option<AnyStreamId>) -> Result<Request<QueueBody>, convert::Unsendable> {
    let parts = convert::to_request(&call.headers)?;
    let (sender, body) = body_queue();
    let has_body = !call.body.is_empty();
    sender.push(call.body.clone());
    sender.finish(Some(convert::to_trailers(&call.trailers)?).filter(|trailers| !trailers.is_empty()));
    let mut request = Request::from_parts(parts, body);
    if let Some(stream) = stream {
        request.extensions_mut().insert(CalledFor(stream));
    }
    if has_body && call.trailers.is_empty() {
        request.headers_mut().insert(http::header::CONTENT_LENGTH, call.body.len().into());
    }
    Ok(request)
}

fn failed(status: u16, body: &str) -> CallOutcome {
    let (status, length) = (status.to_string(), body.len().to_string());
    let headers: Headers = [(":status", status.as_str()), ("content-length", &length), ("content-type", "text/plain")]
        .into_iter()
        .collect();
    let body = Body::from(Bytes::copy_from_slice(body.as_bytes()));
    CallOutcome::Response(CallResponse::default().with_headers(headers).with_body(body).with_trailers(Headers::new()))
}
