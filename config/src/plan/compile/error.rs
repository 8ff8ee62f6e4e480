//! Modules that are not compiled.

use std::time::Duration;

/// Reasons for which a module is not compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// Compiling takes longer than its limit.
    #[error("compiling takes longer than {0:?} (limits.compile.time)")]
    Time(Duration),
    /// Compiling takes more memory than its limit, in bytes.
    #[error("compiling takes more than {0} bytes of memory (limits.compile.memory)")]
    Memory(u64),
    /// The engine cannot compile it; in the engine's words.
    #[error("{0}")]
    Engine(String),
    /// The process that compiles cannot be started.
    #[error("the process that compiles cannot be started: {0}")]
    Start(String),
    /// The process has ended without code.
    #[error("the process that compiles ended: {0}")]
    Ended(String),
}

impl CompileError {
    /// Returns the remedy where an option of a command sets the limits.
    pub fn option_help(&self) -> &'static str {
        match self {
            Self::Time(_) => "raise --compile-time if you trust the plugin, or build it with smaller functions",
            Self::Memory(_) => "raise --compile-memory if you trust the plugin, or build it with smaller functions",
            _ => self.help(),
        }
    }

    /// Returns the remedy where a configuration sets the limits.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Time(_) | Self::Memory(_) => {
                "raise the limit if you trust the plugin, build it with smaller functions, or run it on wasmi, which does not compile"
            }
            Self::Engine(_) => "build the module again, or run it on another engine",
            Self::Start(_) => "let this user start processes",
            Self::Ended(_) => "build the module again, or run it on another engine",
        }
    }
}
