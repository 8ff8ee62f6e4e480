//! `completions`: the script with which a shell completes the command line.

use clap::Command;
use clap_complete::Shell;

use super::process::{Ended, print_as_is};

/// Print the script with which a shell completes commands, options and their values.
///
/// For bash: `portcullis completions bash > ~/.local/share/bash-completion/completions/portcullis`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Arguments {
    /// Prints the script for this command line.
    pub(super) fn run(&self, mut command: Command) -> Ended {
        let (mut script, name) = (Vec::new(), command.get_name().to_owned());
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        print_as_is(&script)
    }
}
