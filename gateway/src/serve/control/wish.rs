//! Wishes to reload, and their outcomes.

use crate::serve::generation::Reloaded;

/// The origin of a wish to reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// SIGHUP.
    Signal,
    /// `POST /reload` of the admin interface.
    Admin,
    /// A change of files, with `watch: true`.
    Watch,
}

impl By {
    /// Returns its name in the log and on `/config`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signal => "SIGHUP",
            Self::Admin => "POST /reload",
            Self::Watch => "watch",
        }
    }
}

/// The outcome of a reload, for who asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Another generation serves.
    Done(Reloaded),
    /// The generation before it serves on. The text has place and remedy.
    Refused(String),
    /// A newer wish took its place.
    Cancelled,
    /// The gateway stops.
    Stopping,
}
