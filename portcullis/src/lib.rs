//! Proxy-Wasm plugins for Rust proxies.
//!
//! The [`Worker`] runs chains of plugins over HTTP streams without doing any IO: feed it what
//! arrives, carry out what it answers. [`SystemHost`] gives plugins clocks, randomness and a log;
//! engines are chosen by cargo feature ([`DefaultEngine`]) or by name ([`engine`]).
//!
//! Parts with dependencies of their own are cargo features: `code-cache`, `files`, `foreign-functions`, `profile`, `snapshot` and
//! `transcript`; `full` is all of them.
//!
//! See `examples/embed.rs` for a host in fewer than 60 lines.

#[cfg(feature = "code-cache")]
mod code_cache;
mod engines;
#[cfg(feature = "files")]
mod files;
#[cfg(feature = "foreign-functions")]
mod foreign;
#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(any(feature = "profile", feature = "transcript"))]
mod private;
#[cfg(feature = "profile")]
pub mod profile;
mod read_file;
#[cfg(feature = "snapshot")]
pub mod snapshot;
mod system_host;
#[cfg(feature = "transcript")]
pub mod transcript;
#[cfg(any(feature = "profile", feature = "transcript"))]
mod wrapped;

#[cfg(feature = "code-cache")]
pub use code_cache::{CodeCache, CodeCacheError, CodeSource, Fresh, LoadedCode, Outdated, PrecompileError};
pub use engines::{Choice, DefaultEngine, EngineChoiceError, EngineInfo, engine, engines, missing_engines};
#[cfg(feature = "files")]
pub use files::open_directory;
#[cfg(feature = "foreign-functions")]
pub use foreign::envoy_functions;
pub use portcullis_chain::{
    Backoff, CalloutId, Chain, ConnectionEffect, ConnectionId, Effect, Health, Isolation, LiveVms, LoadError, Module,
    PluginSpec, PluginState, Resting, Snapshot, StreamEffect, StreamId, Tier, Worker, local_response,
};
pub use portcullis_core as core;
pub use read_file::{LARGEST_PLUGIN, open_file, other_kind, read_at_most, read_file};
pub use system_host::{Log, SystemClock, SystemHost};
