use std::path::PathBuf;

use portcullis_chain::LoadError;
use portcullis_core::engine::EngineError;
use portcullis_core::module::BytecodeError;

use super::FORMAT;

/// Why a transcript cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TranscriptError {
    /// A file cannot be had.
    #[error("cannot read {}: {error}; correct the path, or its permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The first line is not that of a transcript.
    #[error("{}:1: this is no transcript: {why}; name a file that `--record` or `--transcript` wrote", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The fault.
        why: String,
    },
    /// The transcript is of another version of the format.
    #[error("{}:1: the transcript has format {version}, and this is portcullis {} for format {FORMAT}; use the version that wrote it, {by}", path.display(), env!("CARGO_PKG_VERSION"))]
    Format {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u64,
        /// The program that wrote it.
        by: String,
    },
    /// A line is no event, or not the one that has to follow.
    #[error("{}:{line}: {why}; record it again, or cut the file before this line", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The fault.
        why: String,
    },
    /// The code is not beside the transcript.
    #[error("cannot read {}, the plugin that {} was recorded of: {error}; put it there, or name another build with --plugin", code.display(), path.display())]
    NoCode {
        /// The transcript.
        path: PathBuf,
        /// Where its code should be.
        code: PathBuf,
        /// Why it cannot be read.
        error: std::io::Error,
    },
    /// The file beside the transcript is other code.
    #[error("{}: its sha256 is {found}, not the one in its name; put back the plugin that was recorded, or name another build with --plugin", path.display())]
    OtherCode {
        /// The file.
        path: PathBuf,
        /// The kind of file.
        found: String,
    },
    /// The code is no plugin.
    #[error("{}: {error}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        error: BytecodeError,
    },
    /// The code cannot be made to run.
    #[error("{}: {error}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// Why.
        error: LoadError,
    },
    /// The engine cannot be started.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A thread cannot be had.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}
