#![doc = include_str!("../README.md")]

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
    AnyStreamId, Backoff, CalloutId, Chain, ConnectionEffect, ConnectionId, Effect, Health, Isolation, LiveVms,
    LoadError, Module, PluginSpec, PluginState, Resting, Snapshot, StreamEffect, StreamId, Tier, Worker,
    local_response,
};
pub use portcullis_core as core;
pub use read_file::{LARGEST_PLUGIN, open_file, other_kind, read_at_most, read_file};
pub use system_host::{Log, SystemClock, SystemHost};
