//! Cases that every engine must pass: what only a guest that runs can show.
//!
//! A [`Case`] is data: a guest, the hostcalls that it calls, where their rules stand, and what is
//! to be seen when it runs. `tests/suite.rs` runs each case on each engine that is built in.
//!
//! A case asserts exact values and panics when they differ. Whatever a handler decides by itself is
//! tested in the core, without an engine.

pub mod answers;
pub mod attacks;
pub mod attributes;
pub mod callbacks;
mod case;
mod cases;
mod catalogue;
mod cell;
pub mod check;
pub mod decisions;
pub mod differential;
mod examine;
mod examine_engine;
pub mod exchange;
mod expectation;
mod folder;
pub mod grid;
mod host_under_test;
pub mod hostile;
pub mod hosts;
pub mod kit;
mod names;
mod own_guest;
mod patience;
pub mod phases;
mod prelude;
pub mod probe;
mod recorder;
pub mod report;
mod running;
pub mod setup;
pub mod sizes;
pub mod suite;

pub use case::{Case, Topic};
pub use cases::TOPICS;
pub use catalogue::{Entry, entries};
pub use cell::Cell;
pub use examine::examine_host;
pub use examine_engine::examine_engine;
pub use expectation::{GAPS, Gap};
pub use host_under_test::{HostUnderTest, Message, Needs, Setting, Trouble};
pub use recorder::{Line, MONOTONIC, Recorder, WALL};
pub use running::{Running, Setup};
