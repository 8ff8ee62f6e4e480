//! How far a direction of a stream is.

use portcullis::model::Body;

use super::length::Length;

/// How far a direction is in Envoy, and in the chain.
///
/// | Envoy | the chain | what the filter does |
/// |---|---|---|
/// | gives a part | lets it go | puts it in the place of what came, and says Continue |
/// | gives a part | holds it | says Stop; of a body, leaves the bytes in Envoy's buffer, so that its watermarks count what the chain holds |
/// | keeps bytes of other filters | holds it | says Stop, and leaves no bytes: the buffer is shared, and those could not be told apart |
/// | gives a piece that is its buffer, kept by a filter before | | removes the bytes at its front that the chain has already |
/// | waits | lets parts go and holds bytes of a body | puts them there, and waits: Envoy would let go what it keeps of the others |
/// | waits | lets parts go | puts them in the place of what Envoy keeps, and has it go on |
/// | has given the end | lets parts go, and not the end | adds them to Envoy's buffer, and waits for the end |
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Way {
    /// Headers have left the chain.
    pub(super) headers_left: bool,
    /// The end has left the chain.
    pub(super) end_left: bool,
    /// Envoy has given the end.
    pub(super) ended: bool,
    /// Envoy waits for this filter.
    pub(super) is_stopped: bool,
    /// Number of bytes at the front of Envoy's buffer that were given to the chain.
    pub(super) ballast: usize,
    pub(super) length: Length,
}

/// Parts of a direction that have left the chain and are to be given to Envoy.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) headers: bool,
    pub(super) body: Body,
    pub(super) trailers: bool,
    pub(super) end: bool,
}

impl Left {
    pub(super) fn push_headers(&mut self, end: bool) {
        self.headers = true;
        self.end |= end;
    }

    pub(super) fn push_body(&mut self, body: Body, end: bool) {
        self.body.append(body);
        self.end |= end;
    }

    pub(super) fn push_trailers(&mut self) {
        (self.trailers, self.end) = (true, true);
    }

    pub(super) fn is_nothing(&self) -> bool {
        !self.headers && self.body.is_empty() && !self.trailers && !self.end
    }
}

impl Way {
    /// Notes what has left the chain.
    pub(super) fn note(&mut self, left: &Left) {
        self.headers_left |= left.headers;
        self.end_left |= left.end;
    }

    /// Returns whether Envoy may go on with what it has: it takes what it keeps for all of the message once it has given the end.
    pub(super) fn may_go_on(&self) -> bool {
        self.headers_left && (self.end_left || !self.ended)
    }
}
