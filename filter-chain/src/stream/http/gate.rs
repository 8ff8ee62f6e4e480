//! One plugin's place in one direction of a stream.

use portcullis_core::{Body, Headers, Part};

/// What passes through a stage, in this order: headers, any number of data, maybe trailers. `end`
/// says that nothing follows.
#[derive(Debug)]
pub(crate) enum Item {
    Headers { headers: Headers, end: bool },
    Data { body: Body, end: bool },
    Trailers(Headers),
}

impl Item {
    pub(crate) fn part(&self) -> Part {
        match self {
            Self::Headers { .. } => Part::Headers,
            Self::Data { .. } => Part::Body,
            Self::Trailers(_) => Part::Trailers,
        }
    }
}

/// How far a direction is stopped at a stage.
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

/// What the host does when a stage holds more than the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// It stops reading.
    #[default]
    Wait,
    /// It fails the stream.
    Fail,
}

/// The state of one plugin in one direction. What it holds and has seen is lent to its context;
/// what it has not seen waits here.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    pub(crate) mode: Mode,
    pub(crate) overflow: Overflow,
    /// Headers are held in the context; the value is their `end`.
    pub(crate) held_headers: Option<bool>,
    /// The end of the stream has come as data, and waits here.
    pub(crate) ended: bool,
    pub(crate) unseen: Body,
    pub(crate) unseen_trailers: Option<Headers>,
}

impl Stage {
    /// Keeps what comes while the stage is stopped.
    pub(crate) fn keep(&mut self, item: Item) {
        match item {
            Item::Headers { .. } => {}
            Item::Data { body, end } => {
                self.unseen.append(body);
                self.ended |= end;
            }
            Item::Trailers(trailers) => self.unseen_trailers = Some(trailers),
        }
    }
}
