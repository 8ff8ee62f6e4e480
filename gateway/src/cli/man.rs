//! `man`: the manual pages.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Command;
use clap_mangen::Man;

use super::process::{Ended, print_as_is};
use crate::error::ServeError;

/// Print the manual page, or write the pages of all subcommands into a folder.
///
/// To read it: `portcullis man | man -l -`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The folder to write the pages of the command and its subcommands to; made if it is not there.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

impl Arguments {
    /// Prints or writes the pages of this command line.
    pub(super) fn run(&self, command: Command) -> Ended {
        let Some(folder) = &self.output else {
            let mut page = Vec::new();
            Man::new(command).render(&mut page)?;
            return print_as_is(&page);
        };
        let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
        written.map_err(|error| ServeError::File { operation: "write to", path: folder.clone(), error })?;
        Ok(ExitCode::SUCCESS)
    }
}
