//! The body of a response, which also drives the rest of its exchange.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use portcullis_driver::{Threads, Upstreams};

use crate::cut::Cut;
use crate::exchange::Exchange;
use crate::http_service::{HttpBody, HttpService};
use crate::inner::Inner;

/// The body of a response behind plugins. A server polls it as it can send, so the exchange advances as fast as the
/// client reads; to drop it before its end is how a client's leaving is noticed.
///
/// An error ends it before all of it was sent, and the server has to end the connection or the HTTP/2 stream, as hyper does.
pub struct ResponseBody<T, U, S, B>(Source<T, U, S, B>)
where
    T: Threads,
    U: Upstreams,
    S: HttpService,
    B: HttpBody;

enum Source<T, U, S, B>
where
    T: Threads,
    U: Upstreams,
    S: HttpService,
    B: HttpBody,
{
    /// The response of an exchange.
    Exchange(Box<Exchange<T, U, Inner<S, B>>>),
    /// A text in the layer's own name, for a request that has no exchange.
    Text(Option<Bytes>),
}

impl<T, U, S, B> ResponseBody<T, U, S, B>
where
    T: Threads,
    U: Upstreams,
    S: HttpService,
    B: HttpBody,
{
    pub(crate) fn of_exchange(exchange: Box<Exchange<T, U, Inner<S, B>>>) -> Self {
        Self(Source::Exchange(exchange))
    }

    pub(crate) fn text(text: &'static str) -> Self {
        Self(Source::Text(Some(Bytes::from_static(text.as_bytes())).filter(|text| !text.is_empty())))
    }
}

impl<T, U, S, B> Body for ResponseBody<T, U, S, B>
where
    T: Threads,
    U: Upstreams,
    S: HttpService,
    B: HttpBody,
{
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut self.0 {
            Source::Exchange(exchange) => exchange.poll_frame(cx),
            Source::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Exchange(exchange) => exchange.out().is_end_stream(),
            Source::Text(text) => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let length = match &self.0 {
            Source::Exchange(exchange) => exchange.out().remaining(),
            Source::Text(text) => Some(text.as_ref().map_or(0, |text| text.len() as u64)),
        };
        length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl<T, U, S, B> fmt::Debug for ResponseBody<T, U, S, B>
where
    T: Threads,
    U: Upstreams,
    S: HttpService,
    B: HttpBody,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
