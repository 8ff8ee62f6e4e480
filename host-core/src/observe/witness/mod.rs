//! Who looks at each call of a VM: nobody, most of the time.
//!
//! A VM without a witness pays nothing: one with a witness has no right that passes without a further look, so the branch
//! that refuses finds the witness.

mod guest;
mod watch;

use std::fmt;
use std::sync::{Arc, Mutex};

pub(crate) use guest::{Witnessed, call};
pub(crate) use watch::{Played, Watch};

use crate::observe::profile::Meter;
use crate::observe::tape::{Player, Recording};

/// What looks at each call of a VM.
pub(crate) enum Witness {
    /// Writes down what crosses its wall. Shared, because a VM that does not start takes its state with it.
    Record(Arc<Mutex<Recording>>),
    /// Answers in the host's place. Shared for the same reason.
    Play(Arc<Mutex<Player>>),
    /// Measures how long it takes.
    Measure(Meter),
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Record(_) => "Record",
            Self::Play(_) => "Play",
            Self::Measure(_) => "Measure",
        })
    }
}
