//! A host and an engine for tests: no network, no disk, no clock, no WebAssembly.

pub mod aarch64;
mod fake_files;
mod fake_host;
mod null_engine;

pub use fake_files::FakeFiles;
pub use fake_host::{FakeHost, FakeMetric, LoggedLine};
pub use null_engine::{NullCaller, NullEngine, NullGuest, Script};
