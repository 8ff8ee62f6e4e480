//! Bodies that tests send.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A body that a client or an upstream sends.
pub(crate) type Sent = BoxBody<Bytes, io::Error>;

/// Sends a body piece by piece; dropping it ends the body.
pub(crate) struct BodyWriter(UnboundedSender<io::Result<Frame<Bytes>>>);

struct Channel(UnboundedReceiver<io::Result<Frame<Bytes>>>);

/// No body.
pub(crate) fn empty() -> Sent {
    full("")
}

/// A body with its length known.
pub(crate) fn full(data: impl Into<Bytes>) -> Sent {
    Full::new(data.into()).map_err(|never| match never {}).boxed()
}

/// A body that ends with trailers.
pub(crate) fn with_trailers(data: &'static str, trailers: &[(&'static str, &'static str)]) -> Sent {
    let (writer, body) = channel();
    writer.send(data);
    writer.trailers(trailers);
    body
}

/// A body that is still to come.
pub(crate) fn channel() -> (BodyWriter, Sent) {
    let (sender, receiver) = unbounded_channel();
    (BodyWriter(sender), Channel(receiver).boxed())
}

impl BodyWriter {
    pub(crate) fn send(&self, data: impl Into<Bytes>) {
        let _ = self.0.send(Ok(Frame::data(data.into())));
    }

    pub(crate) fn trailers(&self, trailers: &[(&'static str, &'static str)]) {
        let trailers: HeaderMap =
            trailers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let _ = self.0.send(Ok(Frame::trailers(trailers)));
    }

    /// Ends the body before its end.
    pub(crate) fn abort(self) {
        let _ = self.0.send(Err(io::Error::other("aborted by the test")));
    }

    /// Waits until nobody reads it any more.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }
}

impl Body for Channel {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx)
    }
}
