//! Transcripts: all that passes between a guest and its host, recorded and replayed.
//!
//! A recorded VM runs as it would otherwise, by the same rules, and passes each [`Event`] to a [`Sink`]: callbacks,
//! hostcalls with the guest memory that they read and wrote, runs of the guest's allocator. [`replay()`] makes a guest
//! again, on whatever engine, without a host behind it: the record calls it, is compared with what it asks for, and
//! answers. WebAssembly is deterministic, so the guest must do the same again.

mod address_map;
mod event;
mod notes;
mod player;
mod record;
mod replay;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use crate::abi::value::Value;
pub use crate::engine::recorded_trap::RecordedTrap;
pub use event::{Answer, Event, Span, Then};
pub use record::{Sink, record};
pub use replay::{Difference, End, Replay, Report, Source, replay};

pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The most events of a start section. An engine may begin it anew, so its events are kept until it has ended.
const START_EVENTS: usize = 1 << 16;
