//! Responses that break off.

/// The response cannot be completed: a server closes its connection, or resets the HTTP/2 stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the response was cut: {reason}")]
pub struct Cut {
    reason: &'static str,
}

impl Cut {
    pub(crate) const fn new(reason: &'static str) -> Self {
        Self { reason }
    }

    /// Returns the reason, as one word for logs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.reason
    }
}
