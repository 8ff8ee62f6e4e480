//! The configuration of Proxy-Wasm plugins, read in one way wherever they run.
//!
//! | module | what it holds |
//! |---|---|
//! | [`reader`] | YAML and JSON with places: values, keys, findings |
//! | [`plan`] | plugins compiled, placed in sandboxes, with their rights and snapshots |
//! | [`blocks`] | the blocks of plugins: the keys of a plugin, its VM, rights and limits |

pub mod blocks;
mod error;
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
