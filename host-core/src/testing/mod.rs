//! A host and an engine for tests: no network, no clock, no WebAssembly.

mod fake_host;
mod null_engine;

pub use fake_host::{FakeHost, FakeMetric, LoggedLine};
pub use null_engine::{NullCaller, NullEngine, NullGuest, Script};
