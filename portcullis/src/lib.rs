#![doc = include_str!("../README.md")]
#![warn(missing_debug_implementations)]

#[cfg(feature = "code-cache")]
pub mod code_cache;
pub mod engine;
#[cfg(feature = "files")]
pub mod files;
#[cfg(feature = "foreign-functions")]
pub mod foreign;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod input;
#[cfg(feature = "package")]
pub mod package;
#[cfg(any(feature = "profile", feature = "transcript"))]
mod private;
#[cfg(feature = "profile")]
pub mod profile;
#[cfg(feature = "snapshot")]
pub mod snapshot;
pub mod system;
#[cfg(feature = "transcript")]
pub mod transcript;
#[cfg(any(feature = "profile", feature = "transcript"))]
mod wrapped;

pub use portcullis_chain as chain;
pub use portcullis_core::{abi, hostcall, model, module, observe, resources, rights, sandbox, vm};

pub use chain::{Chain, Module, PluginSpec, StreamEffect, Worker};
pub use engine::DefaultEngine;
pub use system::SystemHost;
