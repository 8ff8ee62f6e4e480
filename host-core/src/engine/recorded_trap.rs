//! The words of a trap that a transcript keeps.

/// The reason why a guest was stopped, as a transcript has it: in words, without the functions that were running, because
/// not every engine knows these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RecordedTrap(String);

impl RecordedTrap {
    /// Makes one of its words.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// Returns the words.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the words, owned.
    pub fn into_string(self) -> String {
        self.0
    }
}
