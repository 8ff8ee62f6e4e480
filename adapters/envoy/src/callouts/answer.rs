//! The answer to a request, as the driver reads it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};
use portcullis::chain::convert;
use portcullis::model::Headers;
use portcullis_driver::SendError;

use super::events::{Answers, Event};
use super::outbox::{Command, Key, Outbox};
use crate::envoy::NotStarted;

/// A request that was given to Envoy. Dropping it gives the request up.
#[derive(Debug)]
pub(super) struct Given {
    outbox: Arc<Outbox>,
    key: Key,
    is_over: bool,
}

impl Given {
    pub(super) fn new(outbox: Arc<Outbox>, key: Key) -> Self {
        Self { outbox, key, is_over: false }
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        if !self.is_over {
            self.outbox.push(Command::Reset { key: self.key });
        }
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    answers: Answers,
    given: Given,
    /// Nothing follows.
    is_whole: bool,
}

/// Waits for the head of an answer.
pub(super) async fn head(mut answers: Answers, mut given: Given) -> Result<Response<Answer>, SendError> {
    let event = answers.events.recv().await;
    let (headers, end) = match event {
        Some(Event::Headers { headers, end }) => (headers, end),
        Some(Event::NotStarted(why)) => {
            given.is_over = true;
            return Err(not_started(why));
        }
        Some(Event::Reset(reason)) => {
            given.is_over = true;
            return Err(reset(reason));
        }
        _ => return Err(reset(LOCAL_RESET)),
    };
    let invalid = || SendError::new("protocol error", "the response's head is invalid").invalid(true);
    let code = status(&headers).ok_or_else(invalid)?;
    let fields = convert::fields(&headers).map_err(|_| invalid())?;
    let mut response = Response::new(Answer { answers, given, is_whole: end });
    *response.status_mut() = code;
    *response.headers_mut() = fields;
    Ok(response)
}

impl Body for Answer {
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        if self.is_whole {
            // Mostly Envoy has said so by now; where the request goes on, it is to be given up.
            self.given.is_over |= matches!(self.answers.events.try_recv(), Ok(Event::Complete));
            return Poll::Ready(None);
        }
        let Poll::Ready(event) = self.answers.events.poll_recv(cx) else { return Poll::Pending };
        Poll::Ready(match event {
            Some(Event::Data { data, end }) => {
                self.answers.taken(data.len());
                self.is_whole = end;
                Some(Ok(Frame::data(data)))
            }
            Some(Event::Trailers(trailers)) => {
                self.is_whole = true;
                let fields = convert::to_trailers(&trailers);
                Some(fields.map(Frame::trailers).map_err(|_| SendError::new("protocol error", "invalid trailers")))
            }
            Some(Event::Complete) => {
                self.is_whole = true;
                self.given.is_over = true;
                None
            }
            Some(Event::Reset(reason)) => {
                self.given.is_over = true;
                Some(Err(reset(reason)))
            }
            Some(Event::TooLarge) => Some(Err(SendError::new("overflow", "too large"))),
            Some(Event::Headers { .. } | Event::NotStarted(_)) => Some(Err(reset(LOCAL_RESET))),
            None => Some(Err(reset(LOCAL_RESET))),
        })
    }
}

const LOCAL_RESET: u32 = 2;

/// Returns the error of a request that broke off, in Envoy's words.
fn reset(reason: u32) -> SendError {
    let reason = match reason {
        0 => "connection failure",
        1 => "connection termination",
        3 => "local refused stream reset",
        4 => "overflow",
        5 => "remote reset",
        6 => "remote refused stream reset",
        7 => "protocol error",
        _ => "local reset",
    };
    SendError::new(reason, reason)
}

/// Returns the error of a request that Envoy has not begun.
fn not_started(why: NotStarted) -> SendError {
    match why {
        NotStarted::CLUSTER => SendError::unknown(),
        NotStarted::HEADERS => SendError::new("local reset", "the request has no :method, :path or :authority"),
        NotStarted::STREAMING => {
            let message = "a network filter cannot make requests whose body goes on, gRPC among them; configure an HTTP filter of this module, too";
            SendError::new("local reset", message)
        }
        NotStarted::FULL => {
            let message = "the connection has too many requests under way, and a network filter cannot give one up; configure an HTTP filter of this module, too";
            SendError::new("overflow", message)
        }
        _ => {
            SendError::new("connection failure", "Envoy cannot make the request; the cluster may have no healthy host")
        }
    }
}

/// Returns the status of a response's head.
fn status(headers: &Headers) -> Option<http::StatusCode> {
    headers.get(b":status").and_then(|status| http::StatusCode::from_bytes(status).ok())
}
