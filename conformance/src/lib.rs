//! The conformance kit: what a host of Proxy-Wasm plugins must do, as data, and what examines a host.
//!
//! [`Examination`] examines whatever implements [`HostUnderTest`], by the [probe](probe::Probe): a plugin that makes the hostcalls
//! it is told to. [`http::HttpHost`] is any host over HTTP and TCP. The data are [`answers`], [`phases`], [`attributes`],
//! [`exchange`] and [`decisions`]; [`entries`] lists all of them. None of it needs an engine.
//!
//! With the feature `engines` there is `engine`, too: cases with a guest of their own for engines of WebAssembly.

pub mod answers;
pub mod attributes;
mod catalogue;
mod cell;
pub mod check;
pub mod decisions;
#[cfg(feature = "engines")]
pub mod engine;
mod examine;
pub mod exchange;
mod host_under_test;
pub mod http;
pub mod kit;
mod names;
mod patience;
pub mod phases;
pub mod probe;
pub mod report;
mod selection;
pub mod setup;
pub mod suite;
mod text_format;

pub use catalogue::{Entry, entries};
pub use cell::Cell;
pub use examine::{Examination, Progress};
pub use host_under_test::{HostUnderTest, Message, Needs, Setting, Trouble};
pub use selection::{Feature, Share};
