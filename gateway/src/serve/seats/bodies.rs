//! Bodies that report when they wait for the client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{Request, State};

/// A wait for the client, while it lasts.
#[derive(Debug, Default)]
struct Wait(bool);

impl Wait {
    fn begin(&mut self, state: &State) {
        if !self.0 {
            self.0 = true;
            state.wait();
        }
    }

    fn end(&mut self, state: &State) {
        if self.0 {
            self.0 = false;
            state.go_on();
        }
    }
}

/// The body of a client's request.
#[derive(Debug)]
pub(crate) struct Inbound {
    body: Incoming,
    state: Arc<State>,
    wait: Wait,
}

impl Inbound {
    pub(crate) fn new(body: Incoming, state: Arc<State>) -> Self {
        Self { body, state, wait: Wait::default() }
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Self { body, state, wait } = self.get_mut();
        let frame = Pin::new(body).poll_frame(cx);
        match &frame {
            Poll::Pending => wait.begin(state),
            Poll::Ready(frame) => {
                wait.end(state);
                if let Some(Ok(frame)) = frame {
                    state.moved(frame.data_ref().map_or(0, Bytes::len));
                }
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.wait.end(&self.state);
    }
}

/// The body of a response to a client. Who asks for a part of it has room for it; until then the client has not read what
/// it got before.
#[derive(Debug)]
pub(crate) struct Outbound<B> {
    body: B,
    request: Request,
    wait: Wait,
}

impl<B: Body> Outbound<B> {
    pub(crate) fn new(body: B, request: Request) -> Self {
        let mut wait = Wait::default();
        if !body.is_end_stream() {
            wait.begin(request.state());
        }
        Self { body, request, wait }
    }
}

impl<B: Body + Unpin> Body for Outbound<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Self { body, request, wait } = self.get_mut();
        wait.end(request.state());
        let frame = Pin::new(&mut *body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            request.state().moved(frame.data_ref().map_or(0, Buf::remaining));
            if !body.is_end_stream() {
                wait.begin(request.state());
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Outbound<B> {
    fn drop(&mut self) {
        self.wait.end(self.request.state());
    }
}
