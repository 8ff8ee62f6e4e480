//! One plugin's place in one direction of a stream.

use portcullis_core::abi::{DataStatus, HeadersStatus, TrailersStatus};
use portcullis_core::model::{Body, Headers};
use portcullis_core::vm::Part;

/// An item that passes through a gate, in this order: headers, any number of data, maybe trailers. `end`
/// says that nothing follows.
#[derive(Debug)]
pub(crate) enum Item {
    Headers { headers: Headers, end: bool },
    Data { body: Body, end: bool },
    Trailers(Headers),
}

impl Item {
    pub(super) fn part(&self) -> Part {
        match self {
            Self::Headers { .. } => Part::Headers,
            Self::Data { .. } => Part::Body,
            Self::Trailers(_) => Part::Trailers,
        }
    }
}

/// How far a direction is stopped at a gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everything passes through the plugin.
    #[default]
    Open,
    /// Nothing passes on; the plugin still sees what comes.
    Held,
    /// Nothing passes on, and what comes waits unseen.
    Stopped,
}

/// The host's answer when a gate holds more than the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Overflow {
    /// Stops reading.
    #[default]
    Wait,
    /// Fails the stream.
    Fail,
}

/// The state of one plugin in one direction. What it holds and has seen is lent to its context;
/// what it has not seen waits here. The table of states is that of [`flow`](super::flow).
#[derive(Debug, Default)]
pub(super) struct Gate {
    mode: Mode,
    overflow: Overflow,
    /// Headers are held in the context; the value is their `end`.
    held_headers: Option<bool>,
    /// The end of the stream has come as data, and waits here.
    ended: bool,
    unseen: Body,
    unseen_trailers: Option<Headers>,
}

/// The content that a gate has let go.
#[derive(Debug)]
pub(super) struct Released {
    /// The `end` of headers that are held in the context.
    pub(super) held_headers: Option<bool>,
    /// Whether the end of the stream has come as data that are held in the context.
    pub(super) held_end: bool,
    /// Data that the plugin has not seen.
    pub(super) unseen: Option<Item>,
    pub(super) unseen_trailers: Option<Headers>,
}

impl Gate {
    #[inline]
    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.mode == Mode::Open
    }

    /// Says whether the stream fails when more is held than may be.
    pub(super) fn fails_when_full(&self) -> bool {
        self.overflow == Overflow::Fail
    }

    /// Returns how many bytes wait unseen.
    pub(super) fn unseen_len(&self) -> usize {
        self.unseen.len()
    }

    /// Keeps what comes while the gate is stopped.
    pub(super) fn keep(&mut self, item: Item) {
        debug_assert!(self.mode == Mode::Stopped, "an open gate keeps nothing unseen");
        match item {
            Item::Headers { .. } => debug_assert!(false, "headers come first, and once"),
            Item::Data { body, end } => {
                self.unseen.append(body);
                self.ended |= end;
            }
            Item::Trailers(trailers) => self.unseen_trailers = Some(trailers),
        }
    }

    /// Notes an item that is added to what the plugin holds without a call.
    pub(super) fn hold(&mut self, end: bool) {
        debug_assert!(self.mode == Mode::Held, "only a plugin that holds is added to");
        self.ended |= end;
    }

    /// Notes the answer to headers, which are lent; none if the plugin has answered the stream itself.
    pub(super) fn headers_seen(&mut self, status: Option<HeadersStatus>, end: bool) {
        (self.mode, self.overflow) = match status {
            Some(HeadersStatus::Continue) => (Mode::Open, Overflow::Wait),
            Some(HeadersStatus::StopIteration) => (Mode::Held, Overflow::Wait),
            Some(HeadersStatus::StopAllAndBuffer) => (Mode::Stopped, Overflow::Fail),
            Some(HeadersStatus::StopAllAndWatermark) | None => (Mode::Stopped, Overflow::Wait),
        };
        self.held_headers = Some(end);
    }

    /// Notes the answer to data, which are lent; none if the plugin has answered the stream itself.
    pub(super) fn data_seen(&mut self, status: Option<DataStatus>, end: bool) {
        (self.mode, self.overflow) = match status {
            Some(DataStatus::Continue) => (Mode::Open, Overflow::Wait),
            Some(DataStatus::StopAndBuffer) => (Mode::Held, Overflow::Fail),
            Some(DataStatus::StopAndWatermark | DataStatus::StopNoBuffer) => (Mode::Held, Overflow::Wait),
            None => (Mode::Stopped, Overflow::Wait),
        };
        self.ended = end;
    }

    /// Notes the answer to trailers, which are lent; none if the plugin has answered the stream itself.
    pub(super) fn trailers_seen(&mut self, status: Option<TrailersStatus>) {
        self.mode = match status {
            Some(TrailersStatus::Continue) => Mode::Open,
            Some(TrailersStatus::StopIteration) => Mode::Held,
            None => Mode::Stopped,
        };
    }

    /// Takes from an open gate what its plugin has just let go: the `end` of headers that are held, and whether the end has come as data.
    pub(super) fn pass(&mut self) -> (Option<bool>, bool) {
        debug_assert!(self.is_open() && self.unseen.is_empty(), "a plugin that is called has seen all");
        self.overflow = Overflow::Wait;
        (self.held_headers.take(), std::mem::take(&mut self.ended))
    }

    /// Opens the gate; returns what it has let go.
    pub(super) fn release(&mut self) -> Released {
        let Self { mode, held_headers, ended, unseen, unseen_trailers, .. } = std::mem::take(self);
        let is_stopped = mode == Mode::Stopped;
        debug_assert!(
            is_stopped || unseen.is_empty() && unseen_trailers.is_none(),
            "only a stopped gate keeps what comes"
        );
        let has_unseen = is_stopped && (!unseen.is_empty() || ended);
        Released {
            held_headers,
            held_end: ended && !is_stopped,
            unseen: has_unseen.then_some(Item::Data { body: unseen, end: ended }),
            unseen_trailers,
        }
    }
}
