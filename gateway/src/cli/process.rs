//! The process of a subcommand: its output and its exit.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use crate::error::ServeError;
use crate::observe::log;
use crate::serve::descriptors::{self, Raised};
use crate::serve::server::{EngineOptions, Gateway};
use crate::serve::signals::Signals;

/// The file of this process, also when another has taken its place; None where the system has no such name.
const OWN_FILE: Option<&str> = if cfg!(target_os = "linux") { Some("/proc/self/exe") } else { None };

/// The result of a subcommand.
pub(super) type Ended = Result<ExitCode, ServeError>;

/// Engines with modules compiled by this very program.
pub(super) fn options(engine: Option<&str>) -> EngineOptions<'_> {
    EngineOptions { engine, compiler: compiler(), ..EngineOptions::default() }
}

/// Returns the program that compiles modules: this one.
pub(super) fn compiler() -> Option<&'static Path> {
    OWN_FILE.map(Path::new)
}

/// Serves until a signal stops the gateway.
pub(super) fn until_stopped(gateway: Gateway, signals: &Signals) -> Ended {
    let Raised { from, to } = descriptors::raise();
    if from < to {
        tracing::info!(from, to, "raised the soft limit of file descriptors to the hard one");
    } else {
        tracing::debug!(limit = to, "the soft limit of file descriptors is the hard one");
    }
    let running = gateway.serve()?;
    running.until(signals)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a text, in which names of a plugin may be.
pub(super) fn print(text: &str) -> Ended {
    print_as_is(log::escaped(text).as_bytes())
}

/// Prints bytes. A closed pipe (`portcullis abi | head`) is no error.
pub(super) fn print_as_is(bytes: &[u8]) -> Ended {
    match std::io::stdout().write_all(bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}
