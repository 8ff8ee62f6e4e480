//! Reasons for which a gateway cannot serve.

use std::path::Path;

use portcullis::chain::LoadError;
use portcullis::code_cache::{CodeCacheError, PrecompileError};
use portcullis::engine::EngineChoiceError;
use portcullis::engine::EngineError;
use portcullis::module::BytecodeError;
use portcullis::transcript::TranscriptError;
use portcullis_config::plan::compile::CompileError;

use crate::config::ConfigError;
use crate::net::listen;

/// Reasons for which a gateway cannot serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The configuration, or a plugin that it names.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A socket.
    #[error(transparent)]
    Bind(#[from] listen::BindError),
    /// A socket that the process was started with.
    #[error("{0}")]
    Passed(String),
    /// The Unix socket of the admin interface.
    #[error("admin: cannot listen on {}: {reason}", path.display())]
    AdminSocket {
        /// Its file.
        path: std::path::PathBuf,
        /// The reason and the remedy.
        reason: String,
    },
    /// The engine for all plugins.
    #[error(transparent)]
    Engine(#[from] EngineChoiceError),
    /// The folder of compiled code.
    #[error("code_cache: {0}")]
    CodeCache(#[from] CodeCacheError),
    /// Compiling a plugin ahead.
    #[error(transparent)]
    Precompile(#[from] PrecompileError),
    /// A file that a command names.
    #[error("cannot {operation} {}: {error}; correct the path, or its permissions", path.display())]
    File {
        /// The operation, as a verb.
        operation: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// A request that is asked about, and that no listener would take or that cannot be read.
    #[error("{0}")]
    Question(String),
    /// A file that cannot be packaged, or be packaged with.
    #[error("{}: {problem}", path.display())]
    Package {
        /// The file.
        path: std::path::PathBuf,
        /// The problem, and its remedy.
        problem: String,
    },
    /// A file that is no plugin.
    #[error("{}: {error}", path.display())]
    Refused {
        /// The file.
        path: std::path::PathBuf,
        /// The reason.
        error: BytecodeError,
    },
    /// The folder of the transcripts.
    #[error("--record: cannot create the folder {}: {error}; name a folder that this user may make or write to", folder.display())]
    Record {
        /// The folder.
        folder: std::path::PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// The folder of the profile.
    #[error("--profile: cannot write into {}: {error}; name a folder that this user may make or write to", folder.display())]
    Profile {
        /// The folder.
        folder: std::path::PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// A plugin that a command names.
    #[error("{}: {error}; {help}", path.display())]
    Load {
        /// Its file.
        path: std::path::PathBuf,
        /// The engine's error.
        error: EngineError,
        /// The remedy.
        help: &'static str,
    },
    /// A transcript.
    #[error(transparent)]
    Transcript(#[from] TranscriptError),
    /// A plugin that serves while it is compiled.
    #[error("{what}: {error}; run it on another engine, or on wasmi alone")]
    Compile {
        /// The module.
        what: String,
        /// The reason.
        error: LoadError,
    },
    /// Another signal to stop, before all requests had ended.
    #[error("told again to stop: requests in flight were cut")]
    StoppedTwice,
    /// A reload that was asked to end before anything changed.
    #[error("the reload was cancelled, as a newer one asks for; nothing has changed")]
    Cancelled,
    /// A gateway that was asked for a reload by the command line.
    #[error("{admin}: {reason}")]
    NotReloaded {
        /// Its admin interface.
        admin: String,
        /// The reason and the remedy.
        reason: String,
    },
    /// A reload whose thread ended before it had an outcome.
    #[error(
        "the thread of the reload could not be started, or ended by a panic; raise the limit of threads (`ulimit -u`), or report \
         the message of the panic, which is on standard error"
    )]
    ReloadEnded,
    /// A reload of a gateway that stops, or one of whose workers has ended.
    #[error(
        "the gateway stops, or a worker has ended by a panic, which is on standard error: if it does not stop, it serves as before with the other workers and cannot be reloaded; start it again"
    )]
    Stopping,
    /// A reload that would change what lasts as long as the process.
    #[error(
        "{what} cannot change while the gateway serves, and nothing has changed; start the gateway again, or write it as before"
    )]
    NotReloadable {
        /// A key of the configuration, or an option of the start.
        what: &'static str,
    },
    /// A worker that panicked before its plugins had started.
    #[error(
        "cannot start: a worker ended by a panic before its plugins had started; report its message, which \
         is on standard error"
    )]
    WorkerPanicked,
    /// A thread or runtime.
    #[error("cannot start: {0}; raise the limits of threads and descriptors (`ulimit -u`, `ulimit -n`)")]
    Io(#[from] std::io::Error),
}

impl ServeError {
    /// Returns the error of an engine that cannot compile the plugin of this file.
    pub(crate) fn of_compiling(path: &Path, error: EngineError) -> Self {
        let help = match error.source.downcast_ref::<CompileError>() {
            Some(error) => error.option_help(),
            None => "build the module again, or name another engine",
        };
        Self::Load { path: path.to_owned(), error, help }
    }
}
