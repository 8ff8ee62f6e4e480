//! Generated guests, which must do the same on every engine.
//!
//! A guest is a module and the [`Event`]s that happen to it. [`compare`] runs it on each engine and
//! writes down all that can be seen of it: every callback with its result, log lines, actions, what is
//! left in the maps and bodies that were lent to it, and after each callback a digest of its memory. The
//! transcripts must be equal.
//!
//! Modules come from two generators: [`smith`] makes any code, which calls hostcalls blindly, and
//! [`script`] makes straight code that calls them with arguments that matter. Neither depends on time.

mod event;
mod instrument;
pub mod script;
pub mod smith;
mod stage;
mod traced;
mod transcript;
mod witness;

pub use event::{Event, events};
use portcullis::engine::AnyEngine;
use transcript::Transcript;

/// Outcome of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The guest started, and did the same on every engine.
    Equal,
    /// No engine could start the guest, for the same reason.
    Refused,
    /// Some engine's stack or time was used up. How much of either a guest needs differs.
    Nothing,
}

/// Runs a guest on every engine.
///
/// # Errors
/// The first place where two engines differ, in words.
pub fn compare(engines: &[&dyn AnyEngine], wasm: &[u8], events: &[Event]) -> Result<Shown, String> {
    let transcripts: Vec<_> = engines.iter().map(|engine| Transcript::of(*engine, wasm, events)).collect();
    if transcripts.iter().any(|transcript| transcript.is_void) {
        return Ok(Shown::Nothing);
    }
    let Some((first, others)) = transcripts.split_first() else { return Ok(Shown::Nothing) };
    match others.iter().find_map(|other| first.difference(other)) {
        Some(difference) => Err(difference),
        None if first.has_started => Ok(Shown::Equal),
        None => Ok(Shown::Refused),
    }
}
