//! Decisions: a plugin's pause survives whatever comes later, until the plugin continues its stream.
//!
//! The table is [`PAUSES`]: callback × result × later event. Each row is brought about on sockets: a client sends a part of a
//! message, the probe pauses, something happens, and nothing must have passed the host before the probe continues. What the
//! probe answers in later callbacks is Continue, where a pause keeps them away; it is the same pause, where they must be asked
//! again.

use portcullis_core::abi::CallbackId;

use crate::names::short;

/// A pause, and something that happens before the plugin continues the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The callback that pauses.
    pub phase: CallbackId,
    /// The value that it returns.
    pub result: u8,
    /// The later event.
    pub event: Event,
}

/// An event while a stream is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// More data come.
    Data,
    /// The end comes, without trailers.
    End,
    /// Trailers come.
    Trailers,
    /// The plugin ticks.
    Tick,
    /// A callout that is none of the stream's is answered, and the plugin continues what it is called for: no stream.
    Answer,
    /// More data come while a callout of the stream is not answered; the plugin continues the stream when it is.
    OwnAnswer,
}

/// The way of what a callback sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Of a request.
    Request,
    /// Of a response.
    Response,
    /// From the client of a TCP stream.
    Downstream,
    /// From its upstream.
    Upstream,
}

/// The expected observation.
pub const EXPECTED: &str = "held, then passed";

/// The table: callbacks, their results that pause, and what comes later.
pub const PAUSES: &[(CallbackId, &[u8], &[Event])] = {
    use CallbackId as Id;
    use Event::{Answer, Data, End, OwnAnswer, Tick, Trailers};
    &[
        (Id::on_request_headers, &[1, 3, 4], &[Data, End, Trailers, Tick, Answer, OwnAnswer]),
        (Id::on_request_body, &[1, 2], &[Data, End, Trailers, Tick, Answer, OwnAnswer]),
        (Id::on_request_trailers, &[1], &[Tick, Answer]),
        (Id::on_response_headers, &[1, 3, 4], &[Data, End, Trailers, Tick, Answer, OwnAnswer]),
        (Id::on_response_body, &[1, 2], &[Data, End, Trailers, Tick, Answer, OwnAnswer]),
        (Id::on_response_trailers, &[1], &[Tick, Answer]),
        (Id::on_new_connection, &[1], &[Data, End, Tick, Answer, OwnAnswer]),
        (Id::on_downstream_data, &[1], &[Data, End, Tick, Answer, OwnAnswer]),
        (Id::on_upstream_data, &[1], &[Data, End, Tick, Answer, OwnAnswer]),
    ]
};

/// Returns the rows of the table.
pub fn decisions() -> impl Iterator<Item = Decision> {
    PAUSES.iter().flat_map(|(phase, results, events)| {
        let row = |result: &u8| {
            events.iter().map(|event| Decision { phase: *phase, result: *result, event: *event }).collect::<Vec<_>>()
        };
        results.iter().flat_map(row)
    })
}

impl Decision {
    /// Returns its name, a sentence.
    pub fn name(&self) -> String {
        let event = match self.event {
            Event::Data => "data",
            Event::End => "the_end",
            Event::Trailers => "trailers",
            Event::Tick => "a_tick",
            Event::Answer => "the_answer_to_a_callout_of_no_stream",
            Event::OwnAnswer => "data_until_its_callout_is_answered",
        };
        format!("the_pause_{}_of_{}_survives_{event}", self.result, short(self.phase))
    }

    /// Returns its full name: `topic::name`.
    pub fn path(&self) -> String {
        format!("decisions::{}", self.name())
    }

    /// Returns which way that goes which is paused.
    pub fn way(&self) -> Way {
        use CallbackId as Id;
        match self.phase {
            Id::on_request_headers | Id::on_request_body | Id::on_request_trailers => Way::Request,
            Id::on_new_connection | Id::on_downstream_data => Way::Downstream,
            Id::on_upstream_data => Way::Upstream,
            _ => Way::Response,
        }
    }

    /// Returns the callback behind the one that pauses, if the host must ask it, too: it sees the same message part.
    pub fn asked_again(&self) -> Option<CallbackId> {
        match self.phase {
            CallbackId::on_request_body => Some(CallbackId::on_request_trailers),
            CallbackId::on_response_body => Some(CallbackId::on_response_trailers),
            _ => None,
        }
    }

    /// Returns what to say when something else was observed.
    pub(crate) fn complaint(&self, observed: &str) -> String {
        let Self { phase, result, event } = self;
        format!("{phase} returns {result}, then {event:?}: expected {EXPECTED:?}, observed {observed:?}")
    }
}

impl Way {
    /// Returns the number by which a plugin continues it.
    pub fn stream_type(self) -> u8 {
        match self {
            Self::Request => 0,
            Self::Response => 1,
            Self::Downstream => 2,
            Self::Upstream => 3,
        }
    }

    /// Returns whether it is one of a TCP stream.
    pub fn is_tcp(self) -> bool {
        matches!(self, Self::Downstream | Self::Upstream)
    }
}
