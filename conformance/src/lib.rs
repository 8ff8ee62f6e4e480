//! Cases that every engine must pass: what only a guest that runs can show.
//!
//! A [`Case`] is data: a guest, the hostcalls that it calls, where their rules stand, and what is
//! to be seen when it runs. `tests/suite.rs` runs each case on each engine that is built in.
//!
//! A case asserts exact values and panics when they differ. Whatever a handler decides by itself is
//! tested in the core, without an engine.

pub mod answers;
pub mod attacks;
mod case;
mod cases;
pub mod differential;
mod expectation;
mod folder;
pub mod hostile;
mod prelude;
mod recorder;
mod running;

pub use case::{Case, Topic};
pub use cases::TOPICS;
pub use expectation::{GAPS, Gap};
pub use recorder::{Line, MONOTONIC, Recorder, WALL};
pub use running::{Running, Setup};
