//! `check`: whether a configuration can be served.

use std::path::PathBuf;

use super::process::{Ended, options, print};
use crate::config::Config;
use crate::serve::server::Gateway;

/// Check a configuration and start its plugins once, without listening.
///
/// Exits 0 if it can be served; prints what is wrong, with file, line and column, if not. Warns where the
/// capabilities that a plugin is allowed differ from what it can use.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration (YAML).
    file: PathBuf,

    /// Run all plugins on this engine, whatever `runtime` says; `portcullis engines` lists them.
    #[arg(long, value_name = "NAME")]
    engine: Option<String>,
}

impl Arguments {
    pub(super) fn run(&self) -> Ended {
        let config = Config::load(&self.file)?;
        let (listeners, clusters) = (config.listeners.len(), config.clusters.len());
        let mut gateway = Gateway::prepare_with(config, options(self.engine.as_deref()))?;
        // First: a plugin that lacks a right may not start.
        for advice in gateway.advice() {
            tracing::warn!("{advice}");
        }
        gateway.rehearse()?;
        let is_input = self.file.as_os_str() == "-";
        let name = if is_input { "standard input".to_owned() } else { self.file.display().to_string() };
        print(&format!("{name}: ok: {listeners} listener(s), {clusters} cluster(s)\n"))
    }
}
