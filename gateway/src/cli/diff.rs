//! `diff`: what a reload would do.

use std::path::PathBuf;
use std::process::ExitCode;

use super::process::{Ended, options, print};
use crate::config::Config;
use crate::explain::Diff;
use crate::serve::server::Gateway;

/// Say what a reload from one configuration to another would do: which keys change, which VMs start, end and stay.
///
/// Exits 0 if the new configuration can be read and compiled; `check` starts its plugins, too.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration that is served (YAML).
    old: PathBuf,

    /// The configuration that would be (YAML).
    new: PathBuf,

    /// Run all plugins on this engine, whatever `runtime` says; `portcullis engines` lists them.
    #[arg(long, value_name = "NAME")]
    engine: Option<String>,

    /// Exit 1 if anything differs.
    #[arg(long)]
    exit_code: bool,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) fn run(&self) -> Ended {
        let outline = |file: &PathBuf| {
            Gateway::prepare_with(Config::load(file)?, options(self.engine.as_deref())).map(|gateway| gateway.outline())
        };
        let diff = Diff::between(&outline(&self.old)?, &outline(&self.new)?);
        print(&if self.json { format!("{:#}\n", diff.to_json()) } else { diff.to_string() })?;
        Ok(if self.exit_code && !diff.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}
