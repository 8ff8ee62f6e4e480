//! The time limits of one stream.

use std::time::Duration;

use portcullis::chain::StreamId;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::expired::Expired;
use crate::config::Timeouts;

/// Maximum time for a peer to answer a GOAWAY, or to take what is left, once nothing else is to be done for it.
pub(super) const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// A stream as the guard of its connection sees it.
#[derive(Debug)]
pub(super) struct StreamState {
    id: StreamId,
    /// The number of its generation.
    generation: u64,
    /// The generation has been replaced for too long.
    is_cut: bool,
    /// The task of its own that it has over HTTP/2.
    task: Option<AbortHandle>,
    /// The time of its last progress.
    moved: Instant,
    /// The end of its longest duration.
    longest: Option<Instant>,
    upstream: Upstream,
    /// True if hyper has the response's head.
    head_gone: bool,
    /// Pieces of the response that hyper has got since it asked for one in vain. Over HTTP/2 it keeps the last one until the client
    /// has made room for it, and those before are h2's.
    handed: u8,
    /// A limit that has passed, and for which the exchange has not answered yet.
    expired: Option<Expired>,
    /// The limit for which the stream was ended from outside.
    ended: Option<Expired>,
}

/// The route's limit.
#[derive(Clone, Copy, Debug)]
enum Upstream {
    /// No limit, or the response is complete.
    Free,
    /// Begins when all of the request has been sent.
    Sending(Duration),
    /// The response has to be complete then.
    Until(Instant, Duration),
}

#[derive(Debug)]
pub(super) enum Due {
    Nothing,
    /// The exchange is to be woken and answers.
    Answer,
    /// Too late for an answer. With `stuck`, the client takes none of a piece that it has been sent.
    End {
        expired: Expired,
        stuck: bool,
    },
}

impl StreamState {
    pub(super) fn new(
        id: StreamId,
        generation: u64,
        task: Option<AbortHandle>,
        now: Instant,
        limits: &Timeouts,
    ) -> Self {
        let longest = limits.max_stream_duration;
        Self {
            id,
            generation,
            is_cut: false,
            task,
            moved: now,
            longest: (!longest.is_zero()).then(|| now + longest),
            upstream: Upstream::Free,
            head_gone: false,
            handed: 0,
            expired: None,
            ended: None,
        }
    }

    pub(super) fn id(&self) -> StreamId {
        self.id
    }

    pub(super) fn task(&self) -> Option<&AbortHandle> {
        self.task.as_ref()
    }

    /// Has it end now if it is of this generation or an earlier one; says whether it is.
    pub(super) fn cut(&mut self, generation: u64) -> bool {
        self.is_cut |= self.generation <= generation;
        self.is_cut
    }

    /// Notes progress.
    pub(super) fn move_at(&mut self, now: Instant) {
        self.moved = now;
    }

    /// Notes that hyper has asked for a piece of the response, whether there is an answer, and whether that is a piece.
    pub(super) fn poll(&mut self, answered: bool, handed: bool) {
        self.handed = if handed { self.handed.saturating_add(1) } else { 0 };
        if answered {
            self.moved = Instant::now();
        }
    }

    /// Notes that the response's head was sent.
    pub(super) fn send_head(&mut self) {
        self.head_gone = true;
    }

    /// Sets how long the upstream may take once all of the request has been sent.
    pub(super) fn limit_upstream(&mut self, limit: Option<Duration>) {
        self.upstream = limit.map_or(Upstream::Free, Upstream::Sending);
    }

    /// Notes that all of the request has been sent. Returns the limit that begins now.
    pub(super) fn send_request(&mut self, now: Instant) -> Option<Duration> {
        let Upstream::Sending(limit) = self.upstream else { return None };
        self.upstream = Upstream::Until(now + limit, limit);
        Some(limit)
    }

    /// Takes the limit that has passed, and for which the exchange is to answer.
    pub(super) fn take_expired(&mut self) -> Option<Expired> {
        self.expired.take()
    }

    /// Returns the limit for which the stream was ended from outside.
    pub(super) fn ended(&self) -> Option<Expired> {
        self.ended
    }

    /// Notes why it ends.
    pub(super) fn end(&mut self, expired: Expired) {
        self.ended.get_or_insert(expired);
    }

    /// Its next deadline.
    pub(super) fn next(&self, idle: Duration) -> Option<Instant> {
        if self.ended.is_some() {
            return None;
        }
        let idle = (!idle.is_zero()).then(|| self.moved + idle);
        let cut = self.is_cut.then_some(self.moved);
        let upstream = match self.upstream {
            Upstream::Until(at, _) => Some(at),
            Upstream::Free | Upstream::Sending(_) => None,
        };
        [cut, idle, upstream, self.longest].into_iter().flatten().min()
    }

    /// Judges it at a time.
    pub(super) fn due(&mut self, now: Instant, idle: Duration) -> Due {
        let Some(expired) = self.passed(now, idle).filter(|_| self.ended.is_none()) else { return Due::Nothing };
        if self.head_gone {
            self.ended = Some(expired);
            return Due::End { expired, stuck: self.handed > 1 };
        }
        // The answer has to get through in its turn.
        self.moved = now;
        self.upstream = Upstream::Free;
        if std::mem::take(&mut self.is_cut) || self.longest.is_some_and(|longest| longest <= now) {
            self.longest = Some(now + CLOSE_GRACE);
        }
        self.expired = Some(expired);
        Due::Answer
    }

    fn passed(&self, now: Instant, idle: Duration) -> Option<Expired> {
        if self.is_cut {
            return Some(Expired::Replaced);
        }
        if let Upstream::Until(at, limit) = self.upstream
            && at <= now
        {
            return Some(Expired::Upstream(limit));
        }
        if self.longest.is_some_and(|longest| longest <= now) {
            return Some(Expired::Duration);
        }
        (!idle.is_zero() && self.moved + idle <= now).then_some(Expired::Idle)
    }
}
