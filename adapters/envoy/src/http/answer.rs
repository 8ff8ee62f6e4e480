//! A response that plugins, or the host for them, have made.

use portcullis::model::{Body, Headers, SharedStreamInfo};

use crate::envoy::Http;
use crate::sendable::is_sendable;

/// A response in the making, which is given to Envoy as a whole.
#[derive(Debug, Default)]
pub(super) struct Answer {
    headers: Option<Headers>,
    body: Body,
    is_whole: bool,
}

impl Answer {
    /// Begins it with the headers that stand in the stream's information.
    pub(super) fn begin(&mut self, info: &SharedStreamInfo, end: bool) {
        self.headers = info.with(|info| info.response_headers.clone());
        self.is_whole = end;
    }

    /// Returns whether its headers are there.
    pub(super) fn is_begun(&self) -> bool {
        self.headers.is_some()
    }

    pub(super) fn push(&mut self, body: Body, end: bool) {
        self.body.append(body);
        self.is_whole |= end;
    }

    /// Takes the response if all of it is there.
    pub(super) fn take(&mut self) -> Option<(Headers, Body)> {
        if !std::mem::take(&mut self.is_whole) {
            return None;
        }
        Some((self.headers.take()?, std::mem::take(&mut self.body)))
    }
}

/// Answers a stream. Envoy calls other filters, and hooks of this one, meanwhile.
pub(super) fn send(envoy: &mut dyn Http, headers: &Headers, body: &Body, details: &str) {
    let body = body.to_bytes();
    // Envoy would make a status of gRPC out of that of HTTP, for clients that speak it.
    if headers.get(b"grpc-status").is_some() && headers.iter().all(|(name, value)| is_sendable(name, value)) {
        envoy.respond_verbatim(headers, &body);
        return;
    }
    let status = headers.get_str(":status").and_then(|status| status.parse().ok()).unwrap_or(500);
    let mut others = headers.clone();
    // Envoy writes these itself.
    others.remove(b":status");
    others.remove(b"content-length");
    let status = match headers.iter().all(|(name, value)| is_sendable(name, value)) {
        true => status,
        false => {
            others.clear();
            500
        }
    };
    envoy.respond(status, &others, &body, details.as_bytes());
}
