//! What is ready for the client.

use std::collections::VecDeque;
use std::task::Poll;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http_body::Frame;
use portcullis::core::Body;

use crate::worker::body::Cut;

/// A response on its way from the filter chain to hyper.
#[derive(Default)]
pub(super) struct Outgoing {
    head: Option<(StatusCode, HeaderMap)>,
    frames: VecDeque<Frame<Bytes>>,
    bytes: usize,
    ended: bool,
    cut: Option<&'static str>,
}

impl Outgoing {
    /// The head, once it is there.
    pub(super) fn take_head(&mut self) -> Poll<Result<(StatusCode, HeaderMap), Cut>> {
        match (self.head.take(), self.cut) {
            (Some(head), _) => Poll::Ready(Ok(head)),
            (None, Some(reason)) => Poll::Ready(Err(Cut::new(reason))),
            (None, None) => Poll::Pending,
        }
    }

    /// The next piece of the body, the end, or why there is none.
    pub(super) fn take_frame(&mut self) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(frame) = self.frames.pop_front() {
            self.bytes -= frame.data_ref().map_or(0, Bytes::len);
            return Poll::Ready(Some(Ok(frame)));
        }
        match self.cut {
            Some(reason) => Poll::Ready(Some(Err(Cut::new(reason)))),
            None if self.ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// Whether there is no piece of the body, and more may come.
    pub(super) fn is_waiting(&self) -> bool {
        self.frames.is_empty() && !self.ended && self.cut.is_none()
    }

    /// Whether all of it has been taken.
    pub(super) fn is_sent(&self) -> bool {
        self.ended && self.frames.is_empty() && self.cut.is_none()
    }

    /// Whether the connection is to end before the response does.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// Whether its last piece is ready.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Bytes of body that are ready.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Corrects a length that is no longer true because a plugin has changed the body. The length of what the answer to a HEAD
    /// or a 304 does not carry stays.
    pub(super) fn fit_length(&self, head_request: bool, status: StatusCode, headers: &mut HeaderMap) {
        if head_request || status == StatusCode::NOT_MODIFIED || !headers.contains_key(CONTENT_LENGTH) {
            return;
        }
        if let Some(length) = self.remaining() {
            headers.insert(CONTENT_LENGTH, length.into());
        }
    }

    /// How many body bytes are left, once that is known.
    pub(super) fn remaining(&self) -> Option<u64> {
        let plain = self.ended && self.cut.is_none() && self.frames.iter().all(Frame::is_data);
        plain.then_some(self.bytes as u64)
    }

    pub(super) fn head(&mut self, head: (StatusCode, HeaderMap)) {
        self.head = Some(head);
    }

    /// Puts a head in place of the plugins', before any of the body is there; nothing follows it.
    pub(super) fn replace(&mut self, status: StatusCode) {
        self.head = Some((status, HeaderMap::new()));
        self.cut = None;
        self.ended = true;
    }

    pub(super) fn data(&mut self, mut body: Body) {
        self.bytes += body.len();
        while let Some(chunk) = body.pop() {
            self.frames.push_back(Frame::data(chunk));
        }
    }

    /// Trailers, if there are any, are the last piece.
    pub(super) fn trailers(&mut self, trailers: Option<HeaderMap>) {
        self.frames.extend(trailers.map(Frame::trailers));
        self.ended = true;
    }

    /// Nothing follows.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// The connection ends before the response does.
    pub(super) fn cut(&mut self, reason: &'static str) {
        self.cut = Some(reason);
    }
}
