//! The state of a connection and its next deadline.

use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use super::expired::Expired;
use super::stream::StreamState;
use crate::config::Timeouts;

/// Maximum time for a peer that continues to read while its connection closes.
pub(super) const LONGEST_GRACE: Duration = Duration::from_secs(30);

/// The state of a connection.
#[derive(Debug)]
pub(super) struct State {
    pub(super) protocol: Protocol,
    /// True if a request was received.
    pub(super) used: bool,
    /// The time from which there has been nothing to do, if there is nothing.
    pub(super) quiet_since: Instant,
    /// The arrival of the first byte of an HTTP/1 head.
    pub(super) head_since: Option<Instant>,
    /// The first attempt to write that the socket has not taken.
    pub(super) blocked_since: Option<Instant>,
    pub(super) closing: Option<Closing>,
    /// True once GOAWAY was due.
    pub(super) goes_away: bool,
    pub(super) streams: Slab<StreamState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// No byte was received.
    Unknown,
    Http1,
    /// At least its preface has begun.
    Http2,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    pub(super) since: Instant,
    /// The last time that the peer took something.
    pub(super) progress: Instant,
    /// Maximum time without a stream, in which the peer takes and sends nothing.
    pub(super) grace: Duration,
}

/// The action that is due on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// None.
    Wait,
    /// The connection takes no new requests, and ends.
    Close(Overdue),
    /// Ends at once.
    Cut(Overdue),
}

/// A limit of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    Head,
    Idle,
    Closing,
    Write,
    /// One of its streams', which cannot be ended alone.
    Stream(Expired),
}

impl State {
    /// Returns the next deadline of the connection itself.
    pub(super) fn next(&self, limits: &Timeouts) -> Option<(Instant, Verdict)> {
        let after = |since: Instant, limit: Duration, verdict| (!limit.is_zero()).then(|| (since + limit, verdict));
        if let Some(since) = self.blocked_since
            && let Some(write) = after(since, limits.write, Verdict::Cut(Overdue::Write))
        {
            return Some(write);
        }
        if !self.streams.is_empty() {
            return None;
        }
        if let Some(closing) = self.closing {
            let quiet =
                closing.progress.max(self.quiet_since).max(self.head_since.unwrap_or(self.quiet_since)) + closing.grace;
            let at = quiet.min(closing.since.max(self.quiet_since) + LONGEST_GRACE);
            return Some((at, Verdict::Cut(Overdue::Closing)));
        }
        if self.blocked_since.is_some() {
            return None;
        }
        match self.head_since {
            Some(_) if !self.used => after(self.quiet_since, limits.request_headers, Verdict::Cut(Overdue::Head)),
            Some(since) => after(since, limits.request_headers, Verdict::Cut(Overdue::Head)),
            None if !self.used && !limits.request_headers.is_zero() => {
                after(self.quiet_since, limits.request_headers, Verdict::Close(Overdue::Head))
            }
            None => after(self.quiet_since, limits.idle, Verdict::Close(Overdue::Idle)),
        }
    }
}

impl Overdue {
    /// Returns the key of its limit.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Head => "request_headers_timeout",
            Self::Idle => "idle_timeout",
            Self::Closing => "none: the connection was closing",
            Self::Write => "write_timeout",
            Self::Stream(expired) => expired.key(),
        }
    }
}
