//! The options of commands that compile one plugin.

use std::time::Duration;

use clap::Args;
use portcullis_config::blocks::COMPILE_MEMORY_RANGE;
use portcullis_config::plan::Loader;
use portcullis_config::plan::compile::CompilerProcess;
use portcullis_config::reader::duration::parse_duration;
use portcullis_config::reader::size::parse_size;

use super::process::compiler;
use crate::config::CompileLimits;
use crate::observe::log;

/// Bounds of compiling, as options of a command.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(super) struct CompileOptions {
    /// How long compiling the plugin may take, as `limits.compile.time` in a configuration.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    compile_time: Duration,

    /// How much memory compiling the plugin may take, as `limits.compile.memory` in a configuration.
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = memory)]
    compile_memory: usize,
}

impl CompileOptions {
    /// Loads modules within these bounds, in a process of this program, or in this one if that has no file.
    pub(super) fn loader(&self) -> Loader {
        let process = compiler().map(|program| CompilerProcess::new(program).with_log(log::engines_arguments()));
        let limits = CompileLimits { time: self.compile_time, memory: self.compile_memory as u64 };
        Loader::new(process, limits)
    }
}

fn memory(text: &str) -> Result<usize, String> {
    parse_size(text, &COMPILE_MEMORY_RANGE)
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    #[test]
    fn the_defaults_are_those_of_configurations() {
        let matches = CompileOptions::augment_args(clap::Command::new("test")).get_matches_from(["test"]);
        let CompileLimits { time, memory } = CompileLimits::default();
        let expected =
            CompileOptions { compile_time: time, compile_memory: usize::try_from(memory).unwrap_or_default() };
        assert_eq!(CompileOptions::from_arg_matches(&matches).ok(), Some(expected));
    }
}
