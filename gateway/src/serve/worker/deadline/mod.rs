//! The time limits of one client connection and its streams.
//!
//! hyper polls neither a body that cannot be sent nor a request that it waits for, so no limit is a future inside of these.
//! Each connection has one timer, in its own task ([`guard`]), which is armed for the earliest of all its deadlines. A deadline that
//! moves away moves no timer: the guard notices when the timer fires. One that comes nearer than what is armed wakes the guard.
//!
//! | the connection | deadline | when it passes |
//! |---|---|---|
//! | has had no request | `request_headers_timeout` after the connection | closed; 408 before if a head of HTTP/1 had begun |
//! | HTTP/1, no stream, bytes of a head are there | `request_headers_timeout` after the first of them | 408 and closed |
//! | no stream | `idle_timeout` after the last one, or after its last bytes were taken | closed, over HTTP/2 with GOAWAY |
//! | closing, no stream | [`stream::CLOSE_GRACE`] after the last byte was taken, or after the first one of a head came, at most [`connection::LONGEST_GRACE`]; over HTTP/2, if it was told to end, as long as [`crate::serve::drain`] has for it | dropped |
//! | its socket takes no bytes | `write_timeout` after the first attempt | reset |
//! | a stream's response head was not sent | `stream_idle_timeout`, `max_stream_duration`, the route's `timeout` | the exchange is woken and answers |
//! | a stream's generation is one too many | at once (`reload.max_generations`) | as below |
//! | a stream's response head was sent | the same | HTTP/2: the stream is reset; HTTP/1: the connection is |
//! | and its client takes none of a piece (HTTP/2) | the same | the same, and the connection closes with GOAWAY |

mod connection;
pub(in crate::serve::worker) mod expired;
pub(in crate::serve::worker) mod guard;
mod io;
mod stream;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
pub(in crate::serve::worker) mod timer;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderMap, HeaderValue, Version};
use portcullis::chain::StreamId;
use slab::Slab;
use tokio::task::{AbortHandle, Id};
use tokio::time::Instant;

use self::connection::{Closing, Overdue, Protocol, State, Verdict};
use self::expired::Expired;
use self::stream::CLOSE_GRACE;
use crate::config::Timeouts;
use crate::serve::worker::drain::Stage;

/// The deadlines of one connection.
#[derive(Debug)]
pub(in crate::serve::worker) struct Deadlines {
    limits: Timeouts,
    state: RefCell<State>,
    /// No deadline is earlier.
    armed: Cell<Option<Instant>>,
    guard: RefCell<Option<Waker>>,
    /// The guard is running, and looks at `armed` before it waits.
    guarding: Cell<bool>,
    /// The time at which the connection was told to end with its next answer.
    told: Cell<Option<Instant>>,
    /// True once an answer has told the client.
    announced: Cell<bool>,
    /// Tasks of HTTP/2 streams whose requests have not begun.
    spawned: RefCell<Vec<(Id, AbortHandle)>>,
}

/// The work of the guard.
#[derive(Debug)]
struct Due {
    verdict: Verdict,
    /// Streams that are to answer.
    answering: Vec<StreamId>,
    /// Streams that end at once.
    ending: Vec<AbortHandle>,
}

impl Deadlines {
    /// Starts the clock of a connection.
    pub(in crate::serve::worker) fn new(limits: Timeouts) -> Rc<Self> {
        let now = Instant::now();
        let deadlines = Self {
            limits,
            state: RefCell::new(State {
                protocol: Protocol::Unknown,
                used: false,
                quiet_since: now,
                head_since: None,
                blocked_since: None,
                closing: None,
                goes_away: false,
                streams: Slab::new(),
            }),
            armed: Cell::new(None),
            guard: RefCell::default(),
            guarding: Cell::new(false),
            told: Cell::new(None),
            announced: Cell::new(false),
            spawned: RefCell::default(),
        };
        deadlines.within(now, limits.request_headers);
        deadlines.within(now, limits.idle);
        Rc::new(deadlines)
    }

    /// Notes a request, and gives the task of its own that it has over HTTP/2. Belongs into that task.
    pub(in crate::serve::worker) fn request(&self, version: Version) -> Option<AbortHandle> {
        let now = Instant::now();
        let mut state = self.state.borrow_mut();
        state.protocol = if version == Version::HTTP_2 { Protocol::Http2 } else { Protocol::Http1 };
        (state.used, state.head_since, state.quiet_since) = (true, None, now);
        if state.streams.is_empty() {
            self.within(now, self.limits.idle);
        }
        drop(state);
        if version != Version::HTTP_2 {
            return None;
        }
        let task = tokio::task::try_id()?;
        let mut spawned = self.spawned.borrow_mut();
        let index = spawned.iter().position(|(id, _)| *id == task)?;
        Some(spawned.swap_remove(index).1)
    }

    /// Makes sure that the guard looks at the connection when a limit that begins now has passed.
    fn within(&self, now: Instant, limit: Duration) {
        if !limit.is_zero() {
            self.arm(now + limit);
        }
    }

    fn arm(&self, at: Instant) {
        if self.armed.get().is_some_and(|armed| armed <= at) {
            return;
        }
        self.armed.set(Some(at));
        if !self.guarding.get()
            && let Some(guard) = &*self.guard.borrow()
        {
            guard.wake_by_ref();
        }
    }

    /// Notes bytes from the client.
    fn received(&self, bytes: &[u8]) {
        let mut state = self.state.borrow_mut();
        if state.protocol == Protocol::Unknown {
            let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
            let length = preface.len().min(bytes.len());
            let is_preface = length >= 3 && preface.get(..length) == bytes.get(..length);
            state.protocol = if is_preface { Protocol::Http2 } else { Protocol::Http1 };
        }
        if state.protocol == Protocol::Http1 && state.streams.is_empty() && state.head_since.is_none() {
            let now = Instant::now();
            state.head_since = Some(now);
            if state.used {
                self.within(now, self.limits.request_headers);
            }
        }
    }

    /// Notes whether the socket accepts the bytes for the client.
    fn sent(&self, taken: bool) {
        let mut state = self.state.borrow_mut();
        if taken && state.blocked_since.is_none() && state.closing.is_none() {
            return;
        }
        let now = Instant::now();
        if !taken {
            if state.blocked_since.is_none() {
                state.blocked_since = Some(now);
                self.within(now, self.limits.write);
            }
            return;
        }
        if state.blocked_since.take().is_some() {
            state.quiet_since = now;
            self.within(now, self.limits.idle);
        }
        if let Some(closing) = &mut state.closing {
            closing.progress = now;
        }
    }

    /// Notes that the connection is to end with its next answer.
    fn tell(&self) {
        self.told.set(Some(Instant::now()));
    }

    /// Announces the end of the connection in an answer, if it is to end and its protocol says so in answers.
    pub(in crate::serve::worker) fn announce(&self, version: Version, headers: &mut HeaderMap) {
        if self.told.get().is_some() && version != Version::HTTP_2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
            self.announced.set(true);
        }
    }

    fn has_announced(&self) -> bool {
        self.announced.get()
    }

    /// Returns whether the connection is to close and is not doing so. A client that has opened an HTTP/2 connection and sent no request
    /// yet may have one on its way, which it would keep to itself after a GOAWAY.
    fn closes(&self, stage: Stage) -> bool {
        if stage == Stage::Open {
            return false;
        }
        let state = self.state.borrow();
        !state.goes_away && (stage == Stage::Last || state.protocol == Protocol::Http2 && state.used)
    }

    /// Notes that the connection is to end when its streams have. One over HTTP/1 that has been without a request for a moment, though it
    /// was to end, ends at once. One over HTTP/2 has `goaway_grace` for the answer to its GOAWAY, before which are the requests that
    /// crossed it.
    ///
    /// Returns true when hyper is to send GOAWAY: once, over HTTP/2. hyper would close HTTP/1 at once, and what has not said its
    /// protocol yet; that may still come to be HTTP/2, so this is to be called until the connection has ended.
    fn close(&self, goaway_grace: Duration) -> bool {
        let now = Instant::now();
        let mut state = self.state.borrow_mut();
        let (progress, grace) = match state.protocol {
            Protocol::Http2 => (now, goaway_grace),
            Protocol::Unknown | Protocol::Http1 => (self.told.get().unwrap_or(now), CLOSE_GRACE),
        };
        let goes_away = state.protocol == Protocol::Http2 && !std::mem::replace(&mut state.goes_away, true);
        if goes_away || state.closing.is_none() {
            let since = state.closing.map_or(now, |closing| closing.since);
            state.closing = Some(Closing { since, progress, grace });
            drop(state);
            self.arm(progress + grace);
        }
        goes_away
    }

    /// Ends the streams of a generation, and of those before it.
    pub(in crate::serve::worker) fn cut(&self, generation: u64) {
        let mut state = self.state.borrow_mut();
        let cut = state.streams.iter_mut().filter_map(|(_, stream)| stream.cut(generation).then_some(())).count();
        drop(state);
        if cut > 0 {
            self.arm(Instant::now());
        }
    }

    /// Looks for deadlines that have passed, and arms the timer for the next one.
    fn due(&self, now: Instant) -> Due {
        let mut state = self.state.borrow_mut();
        let (mut answering, mut ending, mut found) = (Vec::new(), Vec::new(), None);
        for (_, stream) in &mut state.streams {
            match stream.due(now, self.limits.stream_idle) {
                stream::Due::Nothing => {}
                stream::Due::Answer => answering.push(stream.id()),
                stream::Due::End { expired, stuck } => match stream.task() {
                    Some(task) => {
                        ending.push(task.clone());
                        // h2 keeps such a piece, and the reset behind it, until the client takes it or the connection ends.
                        found = found.or_else(|| stuck.then_some(Verdict::Close(Overdue::Stream(expired))));
                    }
                    None => found = Some(Verdict::Cut(Overdue::Stream(expired))),
                },
            }
        }
        let verdict = found.unwrap_or_else(|| match state.next(&self.limits) {
            Some((at, verdict)) if at <= now => verdict,
            _ => Verdict::Wait,
        });
        match verdict {
            Verdict::Cut(Overdue::Write) => {
                state.streams.iter_mut().for_each(|(_, stream)| stream.end(Expired::Write));
            }
            Verdict::Close(_) => {
                state.closing.get_or_insert(Closing { since: now, progress: now, grace: CLOSE_GRACE });
            }
            Verdict::Wait | Verdict::Cut(_) => {}
        }
        let streams = state.streams.iter().filter_map(|(_, stream)| stream.next(self.limits.stream_idle));
        let next = streams.chain(state.next(&self.limits).map(|(at, _)| at)).min();
        self.armed.set(next);
        Due { verdict, answering, ending }
    }
}
