//! The body of a response to a client: it is also what drives the rest of its exchange.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::worker::exchange::Exchange;

/// A response's body. hyper polls it as it can send, so the exchange goes on at the client's pace;
/// dropping it before its end is how a client's leaving is noticed.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    exchange: Box<Exchange>,
}

/// The response cannot be completed: the connection is closed or the stream reset.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the response was cut: {0}")]
pub(crate) struct Cut(pub(super) &'static str);

impl ResponseBody {
    pub(super) fn new(exchange: Box<Exchange>) -> Self {
        Self { exchange }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.exchange.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.exchange.out().is_sent()
    }

    fn size_hint(&self) -> SizeHint {
        self.exchange.out().remaining().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
