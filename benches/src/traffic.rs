//! One stream with the headers of a usual request and response, without IO.

use std::hint::black_box;

use bytes::Bytes;
use portcullis::model::{Body, Direction, Headers, StreamInfo};
use portcullis::{Chain, StreamEffect, Worker};

/// The head of a request: 7 headers.
pub const REQUEST: [(&str, &str); 7] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "example.com"),
    (":path", "/index.html?q=1"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
    ("accept", "text/html,application/xhtml+xml"),
    ("x-request-id", "5f2c1f0e-8f1b-4f0e-9d57-0a8f3f4f7a11"),
];

/// The head of a response: 5 headers.
pub const RESPONSE: [(&str, &str); 5] = [
    (":status", "200"),
    ("server", "example"),
    ("content-type", "text/plain"),
    ("content-length", "13"),
    ("date", "Mon, 01 Jan 2024 00:00:00 GMT"),
];

/// Passes a request without a body and a response with one through a chain, log and end included. Returns true if the
/// whole response came out.
pub fn stream(worker: &mut Worker, chain: &Chain, request: Headers, response: Headers, body: Bytes) -> bool {
    let info = StreamInfo::default().into_shared();
    let stream = worker.open(chain, info.clone(), 4 << 20);
    worker.headers(stream, Direction::Request, request, true);
    let (mut response, mut left) = (Some(response), body.len());
    let mut complete = false;
    while let Some(effect) = worker.stream_effect(stream) {
        match effect {
            StreamEffect::RequestHeaders { .. } => {
                black_box(info.with(|info| info.request_headers.as_ref().map(Headers::len)));
                worker.headers(stream, Direction::Response, response.take().unwrap_or_default(), false);
                worker.body(stream, Direction::Response, Body::from(body.clone()), true);
            }
            StreamEffect::ResponseBody { body, end } => {
                left = left.saturating_sub(body.len());
                complete = end && left == 0;
            }
            _ => {}
        }
    }
    worker.finish(stream);
    while worker.effect().is_some() {}
    complete
}
