//! The end that pushes.

use std::error::Error;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;

use super::shared::{BodyError, Closed, End, HIGH_WATER, Locked, register, wake};

/// Fills a [`QueueBody`](super::QueueBody). Dropping it before [`finish`](Self::finish) aborts the body: half a message
/// must not look like a whole one.
#[derive(Debug)]
pub struct BodySender {
    shared: Arc<Locked>,
}

impl BodySender {
    pub(super) const fn new(shared: Arc<Locked>) -> Self {
        Self { shared }
    }

    /// Appends data. Nothing is kept once the body has ended or nobody reads it. More than the head has promised aborts the
    /// body.
    pub fn push(&self, data: Bytes) {
        let mut shared = self.shared.lock();
        // An empty chunk at the end would hide from `is_end_stream` that the body is complete.
        if data.is_empty() || shared.closed || !matches!(shared.end, End::Open) {
            return;
        }
        if let Err(wrong) = shared.promise.take(data.len()) {
            shared.has_wrong_length = true;
            drop(shared);
            return self.abort(wrong);
        }
        shared.queued += data.len();
        shared.chunks.push_back(data);
        let reader = shared.reader.take();
        drop(shared);
        wake(reader);
    }

    /// Ends the body once what is queued has been pulled, with trailers if there are any. A body of which the head has
    /// promised more is aborted.
    pub fn finish(&self, trailers: Option<HeaderMap>) {
        let mut shared = self.shared.lock();
        if matches!(shared.end, End::Open)
            && !shared.closed
            && let Err(wrong) = shared.promise.end()
        {
            shared.has_wrong_length = true;
            drop(shared);
            return self.abort(wrong);
        }
        drop(shared);
        let trailers = trailers.filter(|trailers| !trailers.is_empty());
        self.end(End::Finished(trailers));
    }

    /// Ends the body with an error, at once: what is queued is dropped. Over HTTP/1.1 the connection is closed, over
    /// HTTP/2 the stream is reset.
    pub fn abort(&self, error: impl Into<Box<dyn Error + Send + Sync>>) {
        self.end(End::Aborted(BodyError { source: error.into() }));
    }

    /// Aborts as [`abort`](Self::abort) does, and also a body that was finished and not pulled to its end.
    pub fn cancel(&self, error: impl Into<Box<dyn Error + Send + Sync>>) {
        let mut shared = self.shared.lock();
        if matches!(shared.end, End::Finished(_)) {
            shared.end = End::Open;
        }
        drop(shared);
        self.abort(error);
    }

    /// Bytes pushed that have not been pulled yet.
    pub fn queued_bytes(&self) -> usize {
        self.shared.lock().queued
    }

    /// Returns true if the body was aborted because its length is not what the message's head has promised.
    pub fn has_wrong_length(&self) -> bool {
        self.shared.lock().has_wrong_length
    }

    /// Returns true if the receiving body was dropped, so that pushing is pointless.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// Polls until fewer than [`HIGH_WATER`] bytes are queued; returns [`Closed`] when nobody reads the body any more.
    ///
    /// One task at a time: only the waker of the latest of `poll_capacity` and `poll_closed` is kept.
    pub fn poll_capacity(&self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let mut shared = self.shared.lock();
        if shared.closed {
            Poll::Ready(Err(Closed))
        } else if shared.queued < HIGH_WATER || shared.promise.is_kept() {
            // What is kept back for the end must not keep the end back.
            Poll::Ready(Ok(()))
        } else {
            register(&mut shared.writer, cx);
            Poll::Pending
        }
    }

    /// Polls until the receiving body is dropped. A task that waits for something else learns of it.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.shared.lock();
        if shared.closed {
            return Poll::Ready(());
        }
        register(&mut shared.writer, cx);
        Poll::Pending
    }

    /// Waits for [`poll_capacity`](Self::poll_capacity).
    pub async fn capacity(&self) -> Result<(), Closed> {
        poll_fn(|cx| self.poll_capacity(cx)).await
    }

    /// Ends the body. Only the first ending counts.
    fn end(&self, end: End) {
        let mut shared = self.shared.lock();
        if !matches!(shared.end, End::Open) {
            return;
        }
        if matches!(end, End::Aborted(_)) {
            shared.discard();
        }
        shared.end = end;
        let reader = shared.reader.take();
        drop(shared);
        wake(reader);
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        self.abort("its sender was dropped before the end");
    }
}
