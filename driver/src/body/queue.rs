//! The end that hyper pulls.

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::length::Promise;
use super::sender::BodySender;
use super::shared::{BodyError, End, HIGH_WATER, Locked, register, wake};

/// Makes an open, empty body and the sender that fills it.
pub fn body_queue() -> (BodySender, QueueBody) {
    let shared = Arc::<Locked>::default();
    let sender = BodySender::new(Arc::clone(&shared));
    (sender, QueueBody { shared: Some(shared) })
}

/// The receiving end: an [`http_body::Body`] for hyper to pull.
///
/// A body that is complete when hyper takes it has an exact size, so it is sent with `content-length` and not chunked;
/// with trailers it has none, because HTTP/1.1 can send trailers in a chunked body only.
#[derive(Debug)]
pub struct QueueBody {
    /// None for a body without data, which most requests have.
    shared: Option<Arc<Locked>>,
}

impl QueueBody {
    /// Creates a complete body without data.
    #[inline]
    pub fn empty() -> Self {
        Self { shared: None }
    }

    /// Creates a complete body.
    pub fn full(data: Bytes) -> Self {
        let (sender, body) = body_queue();
        sender.push(data);
        sender.finish(None);
        body
    }
}

impl QueueBody {
    /// Returns the length of a body that is complete, and whether trailers follow it.
    pub fn complete(&self) -> Option<(u64, bool)> {
        let Some(shared) = &self.shared else { return Some((0, false)) };
        let shared = shared.lock();
        match &shared.end {
            End::Finished(trailers) => Some((shared.queued as u64, trailers.is_some())),
            End::Delivered => Some((0, false)),
            End::Open | End::Aborted(_) => None,
        }
    }

    /// Checks the body against the length that its head promises: its sender gets an error if it pushes more or less,
    /// and the last piece waits for the end. Returns false if there is more already.
    pub fn hold_to(&self, length: u64) -> bool {
        let Some(shared) = &self.shared else { return true };
        let mut shared = shared.lock();
        let left = length.checked_sub(shared.queued as u64);
        if let Some(left) = left {
            shared.promise = Promise::of(left);
        }
        left.is_some()
    }
}

impl Body for QueueBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(shared) = &self.shared else { return Poll::Ready(None) };
        let mut shared = shared.lock();
        if shared.promise.is_kept() && shared.chunks.len() == 1 && matches!(shared.end, End::Open) {
            register(&mut shared.reader, cx);
            return Poll::Pending;
        }
        if let Some(data) = shared.chunks.pop_front() {
            let was_full = shared.queued >= HIGH_WATER;
            shared.queued -= data.len();
            let relieved = was_full && shared.queued < HIGH_WATER;
            let writer = if relieved { shared.writer.take() } else { None };
            drop(shared);
            wake(writer);
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match mem::replace(&mut shared.end, End::Delivered) {
            End::Open => {
                shared.end = End::Open;
                register(&mut shared.reader, cx);
                Poll::Pending
            }
            End::Finished(Some(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            End::Aborted(error) => Poll::Ready(Some(Err(error))),
            End::Finished(None) | End::Delivered => Poll::Ready(None),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        let Some(shared) = &self.shared else { return true };
        let shared = shared.lock();
        shared.chunks.is_empty() && matches!(shared.end, End::Finished(None) | End::Delivered)
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        let Some(shared) = &self.shared else { return SizeHint::with_exact(0) };
        let shared = shared.lock();
        let queued = shared.queued as u64;
        if matches!(shared.end, End::Finished(None) | End::Delivered) {
            return SizeHint::with_exact(queued);
        }
        let mut hint = SizeHint::new();
        hint.set_lower(queued);
        hint
    }
}

impl Drop for QueueBody {
    #[inline]
    fn drop(&mut self) {
        let Some(shared) = &self.shared else { return };
        let mut shared = shared.lock();
        shared.closed = true;
        shared.discard();
        let writer = shared.writer.take();
        drop(shared);
        wake(writer);
    }
}
