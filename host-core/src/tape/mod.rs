//! What crosses the wall between a guest and its host, written down and played again.
//!
//! A recorded VM does what it would do anyway, by the same rules, and tells a [`Sink`] each [`Event`]: callbacks,
//! hostcalls with what they read and wrote of guest memory, runs of the guest's allocator. [`replay()`] makes a guest
//! again, on whatever engine, without a host behind it: the record calls it, is compared with what it asks for, and
//! answers. WebAssembly is deterministic, so the guest must do the same again.
//!
//! A VM without a tape pays nothing: one with a tape has no right that passes without a further look, so the branch that
//! refuses finds the tape.

mod event;
mod guest;
mod notes;
mod places;
mod play;
mod record;
mod replay;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use event::{Answer, Event, Span, Then, Value};
pub use record::{Sink, record};
pub use replay::{Difference, End, Replay, Report, replay};

pub(crate) use notes::Notes;
pub(crate) use play::{Player, Step};
pub(crate) use record::{Recording, Watch};

/// What a VM has at its wall. Shared, because a VM that does not start takes its state with it.
#[derive(Clone)]
pub(crate) enum Tape {
    Record(Arc<Mutex<Recording>>),
    Play(Arc<Mutex<Player>>),
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Record(_) => "Record",
            Self::Play(_) => "Play",
        })
    }
}

pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The most events of a start section. An engine may begin it anew, so its events are kept until it has ended.
const START_EVENTS: usize = 1 << 16;
