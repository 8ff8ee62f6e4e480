//! Cases that every engine must pass: what only a guest that runs can show.
//!
//! A [`Case`] is data: a guest, the hostcalls that it calls, where their rules stand, and what is
//! to be seen when it runs. `tests/suite.rs` runs each case on each engine that is built in.
//!
//! A case asserts exact values and panics when they differ. Whatever a handler decides by itself is
//! tested in the core, without an engine.
//!
//! [`Case`]: engine::Case

pub mod answers;
pub mod attributes;
mod catalogue;
mod cell;
pub mod check;
pub mod decisions;
pub mod engine;
mod examine;
pub mod exchange;
mod host_under_test;
pub mod http;
pub mod kit;
mod names;
mod patience;
pub mod phases;
mod prelude;
pub mod probe;
pub mod report;
pub mod setup;
pub mod suite;

pub use catalogue::{Entry, entries};
pub use cell::Cell;
pub use examine::examine_host;
pub use host_under_test::{HostUnderTest, Message, Needs, Setting, Trouble};
