//! What goes wrong, by whose fault: the guest's ([`Trap`]), the operator's
//! ([`StartError`], [`BytecodeError`](crate::BytecodeError)), the engine's ([`EngineError`]).

use crate::hostcall::HostcallId;

/// Why a guest was stopped. Its VM never runs again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trap {
    /// The guest asked to end.
    #[error("the plugin called proc_exit({0})")]
    Exit(i32),
    /// The guest gave up (AssemblyScript's `abort`).
    #[error("the plugin aborted: {0}")]
    Abort(String),
    /// A hostcall that may not run now.
    #[error("the plugin called {hostcall}, which is not allowed {during}")]
    Restricted {
        /// The hostcall.
        hostcall: HostcallId,
        /// What the guest was doing.
        during: &'static str,
    },
    /// The guest ran longer than its deadline.
    #[error("deadline: the plugin ran longer than its limit for one call")]
    Deadline,
    /// The guest called too deep.
    #[error("stack: the plugin used more stack than its limit")]
    Stack,
    /// A WebAssembly trap.
    #[error("trap: {0}")]
    Wasm(String),
}

/// What only an engine can say.
#[derive(Debug, thiserror::Error)]
#[error("{engine} cannot {operation}: {source}")]
pub struct EngineError {
    /// The engine's name.
    pub engine: &'static str,
    /// What was tried, as a verb.
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
