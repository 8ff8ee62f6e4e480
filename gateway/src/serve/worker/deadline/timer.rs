//! The time limits of an exchange, as the exchange sees them.

use std::rc::Rc;
use std::time::Duration;

use portcullis::chain::StreamId;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Deadlines;
use super::expired::Expired;
use super::stream::StreamState;

/// An exchange's side of its deadlines; dropping it ends them.
#[derive(Debug)]
pub(in crate::serve::worker) struct StreamTimer {
    deadlines: Rc<Deadlines>,
    key: usize,
}

impl StreamTimer {
    /// Begins a stream, whose task is known over HTTP/2.
    pub(in crate::serve::worker) fn begin(
        deadlines: Rc<Deadlines>,
        stream: StreamId,
        generation: u64,
        task: Option<AbortHandle>,
    ) -> Self {
        let now = Instant::now();
        let limits = deadlines.limits;
        let key = deadlines.state.borrow_mut().streams.insert(StreamState::new(stream, generation, task, now, &limits));
        deadlines.within(now, limits.stream_idle);
        deadlines.within(now, limits.max_stream_duration);
        Self { deadlines, key }
    }

    /// Notes that something of the stream has moved.
    pub(in crate::serve::worker) fn moved(&self) {
        let now = Instant::now();
        self.with(|stream| stream.move_at(now));
    }

    /// Notes that hyper has asked for a piece of the response, whether there is an answer, and whether that is a piece.
    pub(in crate::serve::worker) fn polled(&self, answered: bool, handed: bool) {
        self.with(|stream| stream.poll(answered, handed));
    }

    /// Notes that the response's head was sent.
    pub(in crate::serve::worker) fn head_gone(&self) {
        self.with(StreamState::send_head);
    }

    /// Sets how long the upstream may take once all of the request has been sent.
    pub(in crate::serve::worker) fn limit_upstream(&self, limit: Option<Duration>) {
        self.with(|stream| stream.limit_upstream(limit));
    }

    /// Notes that all of the request has been sent.
    pub(in crate::serve::worker) fn request_sent(&self) {
        let now = Instant::now();
        let limit = self.with(|stream| stream.send_request(now));
        self.deadlines.within(now, limit.flatten().unwrap_or_default());
    }

    /// Notes that nothing more is expected of the upstream.
    pub(in crate::serve::worker) fn upstream_done(&self) {
        self.with(|stream| stream.limit_upstream(None));
    }

    /// Takes the limit that has passed.
    pub(in crate::serve::worker) fn expired(&self) -> Option<Expired> {
        self.with(StreamState::take_expired).flatten()
    }

    /// Returns the limit for which the stream was ended from outside.
    pub(in crate::serve::worker) fn ended(&self) -> Option<Expired> {
        self.with(|stream| stream.ended()).flatten()
    }

    fn with<T>(&self, change: impl FnOnce(&mut StreamState) -> T) -> Option<T> {
        self.deadlines.state.borrow_mut().streams.get_mut(self.key).map(change)
    }
}

impl Drop for StreamTimer {
    fn drop(&mut self) {
        let mut state = self.deadlines.state.borrow_mut();
        state.streams.try_remove(self.key);
        if !state.streams.is_empty() {
            return;
        }
        let now = Instant::now();
        state.quiet_since = now;
        let limit = state.closing.map_or(self.deadlines.limits.idle, |closing| closing.grace);
        drop(state);
        self.deadlines.within(now, limit);
    }
}
