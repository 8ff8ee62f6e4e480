//! `inspect`: what a plugin is, and what it needs from its host.

mod json;
mod report;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use self::report::Report;
use super::process::{Ended, print};
use crate::error::ServeError;

/// Say what a plugin is, what it needs from its host, or why it would be refused.
///
/// Its code is followed from the callbacks: imports that it cannot reach are told apart from those that it may
/// call. Where a way leads through a table, every function there of the type that is called counts. Exits 1 if the
/// plugin would be refused.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The plugin (.wasm).
    plugin: PathBuf,

    /// Print JSON.
    #[arg(long)]
    json: bool,

    /// Print `capability_restriction_config` with all that the plugin needs, to be pasted into its configuration.
    #[arg(long, conflicts_with = "json")]
    yaml: bool,
}

impl Arguments {
    pub(super) fn run(&self) -> Ended {
        let path = || self.plugin.clone();
        let report = Report::read(&self.plugin);
        let report = report.map_err(|error| ServeError::File { operation: "read", path: path(), error })?;
        let printed = print(&match (self.json, self.yaml) {
            (true, _) => format!("{:#}\n", json::of(&report)),
            (_, true) => report.yaml().map_err(|error| ServeError::Refused { path: path(), error })?,
            _ => text::of(&report),
        })?;
        Ok(if report.refusal().is_some() { ExitCode::FAILURE } else { printed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_module_says_so_everywhere() {
        let report = Report::of("x.wasm".to_owned(), b"(module)");
        let reason = "it is WebAssembly text";
        assert!(text::of(&report).contains(reason) && json::of(&report).to_string().contains(reason));
        assert!(report.yaml().is_err_and(|error| error.to_string().contains(reason)));
    }
}
