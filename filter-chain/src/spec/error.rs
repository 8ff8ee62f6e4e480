//! Errors of loading plugins.

use std::time::Duration;

use portcullis_core::engine::{EngineError, StartError};
use portcullis_core::module::BytecodeError;

/// A plugin of a chain that cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[error("plugin {index} of the chain: {source}")]
#[non_exhaustive]
pub struct ChainError {
    /// Its index among the specs that were to be loaded.
    pub index: usize,
    /// The reason.
    #[source]
    pub source: LoadError,
}

/// Why a plugin cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The module is not one that this host runs.
    #[error(transparent)]
    Bytecode(#[from] BytecodeError),
    /// The engine cannot compile it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The plugin did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The VM that it shares has failed, and rests.
    #[error(transparent)]
    Resting(Box<Resting>),
}

/// A VM that has failed, in whose place another one cannot be started yet.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "its VM failed {ago:.1?} ago, in {during} of plugin {plugin:?}: {reason}; another one may be started in {rest:.1?} \
     (reload_config sets how long a failed VM rests)"
)]
#[non_exhaustive]
pub struct Resting {
    /// The plugin that ran when the VM failed; empty if none did.
    pub plugin: String,
    /// The callback that failed.
    pub during: &'static str,
    /// Why it failed.
    pub reason: String,
    /// How long ago the VM failed, or did not start again.
    pub ago: Duration,
    /// How long it still rests.
    pub rest: Duration,
}
