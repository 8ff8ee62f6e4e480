//! The body of a response to a client: it is also what drives the rest of its exchange.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::serve::worker::exchange::Exchange;

/// A response's body. hyper polls it as it can send, so the exchange goes on at the client's pace;
/// dropping it before its end is how a client's leaving is noticed.
#[derive(Debug)]
pub(crate) enum ResponseBody {
    /// What an exchange brings.
    Exchange(Box<Exchange>),
    /// A text in the gateway's own name, for a request that has no exchange.
    Text(Option<Bytes>),
}

/// The response cannot be completed: the connection is closed or the stream reset.
#[derive(Debug, thiserror::Error)]
#[error("the response was cut: {reason}")]
pub(crate) struct Cut {
    reason: &'static str,
    /// What an HTTP/2 stream is reset with, if it matters.
    #[source]
    code: Option<h2::Error>,
}

impl Cut {
    pub(super) const fn new(reason: &'static str) -> Self {
        Self { reason, code: None }
    }

    /// The client broke the protocol: the stream is reset with PROTOCOL_ERROR.
    pub(super) fn malformed(reason: &'static str) -> Self {
        Self { reason, code: Some(h2::Reason::PROTOCOL_ERROR.into()) }
    }
}

/// Whether a client's body is not what HTTP/1 allows, as opposed to one that broke off.
pub(super) fn is_malformed(error: &hyper::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData);
        }
        cause = error.source();
    }
    false
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut *self {
            Self::Exchange(exchange) => exchange.poll_frame(cx),
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Exchange(exchange) => exchange.out().is_end_stream(),
            Self::Text(text) => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let length = match self {
            Self::Exchange(exchange) => exchange.out().remaining(),
            Self::Text(text) => Some(text.as_ref().map_or(0, |text| text.len() as u64)),
        };
        length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
