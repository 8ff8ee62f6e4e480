//! `learn`: the least rights that plugins use.

use std::path::PathBuf;
use std::process::ExitCode;

use super::process::{Ended, options, print, until_stopped};
use crate::error::ServeError;
use crate::serve::control::Source;
use crate::serve::server::Gateway;
use crate::serve::signals::Signals;

/// Serve traffic, note what each plugin uses with which arguments, and write the least rights that allow it.
///
/// Send it the traffic that your plugins will meet, then stop it with SIGTERM or SIGINT. What they did not do
/// meanwhile will be denied. A plugin's capabilities hold while this is learned; its argument rules do not.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration (YAML).
    file: PathBuf,

    /// The file to write the blocks to; without one, they are printed.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Run all plugins on this engine, whatever `runtime` says; `portcullis engines` lists them.
    #[arg(long, value_name = "NAME")]
    engine: Option<String>,
}

impl Arguments {
    pub(super) fn run(&self) -> Ended {
        let signals = Signals::listen()?;
        let (config, source) = Source::read_first(&self.file)?;
        let mut gateway = Gateway::prepare_with(config, options(self.engine.as_deref()))?;
        // Whoever asks for a reload is told that there is none.
        if let Some(source) = source {
            gateway.reload_from(source);
        }
        let learned = gateway.learn();
        until_stopped(gateway, &signals)?;
        let Some(path) = &self.output else { return print(&learned.yaml()) };
        let written = std::fs::write(path, learned.yaml());
        written.map_err(|error| ServeError::File { operation: "write", path: path.to_owned(), error })?;
        Ok(ExitCode::SUCCESS)
    }
}
