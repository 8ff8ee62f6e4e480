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

pub use blocks::environment::Environment;
pub use blocks::limits::{CompileLimits, LoadLimits};
pub use blocks::plugin::{Backoff, FailurePolicy, Plugin, RequestedRights};
pub use blocks::rights::{Allowed, ArgumentRule, RightsConfig};
pub use blocks::secrets::Secrets;
pub use blocks::settings::Settings;
pub use blocks::verify::Verification;
pub use blocks::vm::{Code, SnapshotRandomness, VmConfig};
pub use error::{ConfigError, Diagnostic, Located, Origin};
pub use file::PluginsFile;
pub use plan::loaded::{LoadOptions, LoadedPlugins, PluginsError};
