//! The body of a response to a client, which also drives the rest of its exchange.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::serve::worker::cut::Cut;
use crate::serve::worker::exchange::Exchange;

/// A response's body. hyper polls it as it can send, so the exchange advances as fast as the client reads;
/// dropping it before its end is how a client's leaving is noticed.
#[derive(Debug)]
pub(crate) enum ResponseBody {
    /// The response of an exchange.
    Exchange(Box<Exchange>),
    /// A text in the gateway's own name, for a request that has no exchange.
    Text(Option<Bytes>),
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
