//! Errors, by whose fault they are: the guest's ([`Trap`]), the operator's
//! ([`StartError`], [`BytecodeError`](crate::module::BytecodeError)), the engine's ([`EngineError`]).

use std::io;
use std::path::PathBuf;

use crate::engine::recorded_trap::RecordedTrap;
use crate::engine::trap::Trap;
use crate::model::limits::Limits;

/// A failure that only an engine can describe.
#[derive(Debug, thiserror::Error)]
#[error("{engine} cannot {operation}: {source}")]
#[non_exhaustive]
pub struct EngineError {
    /// The engine's name.
    pub engine: &'static str,
    /// The operation that failed, as a verb.
    pub operation: &'static str,
    /// The engine's own error.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Why a VM or a plugin could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A limit is lower than what the module begins with.
    #[error("{what}: the plugin begins with {begins} {unit}, which is more than its limit of {limit}")]
    Limit {
        /// `memory` or `table`.
        what: &'static str,
        /// How much it begins with.
        begins: u64,
        /// `bytes` or `elements`.
        unit: &'static str,
        /// How much it may have.
        limit: usize,
    },
    /// A directory that the VM is to have cannot be opened.
    #[error("preopen {guest:?}: cannot open the directory {}: {source}; make it, or correct its host path", host.display())]
    Preopen {
        /// The name by which the guest opens it.
        guest: String,
        /// Where it should be.
        host: PathBuf,
        /// The host's error.
        source: io::Error,
    },
    /// Guest code trapped.
    #[error("{during} failed: {reason}")]
    Trap {
        /// The export that ran.
        during: &'static str,
        /// The trap.
        reason: String,
    },
    /// `proxy_on_vm_start` returned false.
    #[error("plugin {plugin:?} refused to start: proxy_on_vm_start returned false; its log says why")]
    VmStart {
        /// The plugin's name.
        plugin: String,
    },
    /// `proxy_on_configure` returned false.
    #[error("plugin {plugin:?} refused its configuration: proxy_on_configure returned false; its log says why")]
    Configure {
        /// The plugin's name.
        plugin: String,
    },
}

impl EngineError {
    /// Says that `engine` cannot do `operation`, a verb.
    pub fn new(
        engine: &'static str,
        operation: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { engine, operation, source: source.into() }
    }
}

impl StartError {
    /// The start section trapped.
    pub fn start_section(trap: &Trap, limits: &Limits) -> Self {
        Self::Trap { during: "the start section", reason: trap.told(limits, true) }
    }

    /// Returns the reason without the functions that were running, which not every engine knows.
    pub(crate) fn without_stack(&self) -> RecordedTrap {
        RecordedTrap::new(match self {
            Self::Trap { reason, .. }
                if ["trap: ", "deadline: ", "stack: "].iter().any(|kind| reason.starts_with(kind)) =>
            {
                reason.split_once(" in ").map_or(reason.as_str(), |(reason, _)| reason).to_owned()
            }
            Self::Trap { reason, .. } => reason.clone(),
            other => other.to_string(),
        })
    }
}
