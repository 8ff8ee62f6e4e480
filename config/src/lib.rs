#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! | module | what it holds |
//! |---|---|
//! | [`plan`] | plugins compiled, placed in sandboxes, with their rights and snapshots |
//! | [`blocks`] | the blocks of plugins: the keys of a plugin, its VM, rights and limits |
//! | [`reader`] | YAML and JSON with places: values, keys, findings |

pub mod blocks;
mod envoy;
mod error;
mod file;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod plan;
pub mod reader;

pub use blocks::plugin::{Backoff, FailurePolicy, Plugin};
pub use blocks::settings::Settings;
pub use blocks::{
    Allowed, ArgumentRule, Code, CompileLimits, Environment, LoadLimits, RightsConfig, SnapshotRandomness, VmConfig,
};
pub use error::{ConfigError, Diagnostic, Located, Origin};
pub use file::PluginsFile;
pub use plan::{LoadOptions, LoadedPlugins, PluginsError};
