//! The command line, one file for each subcommand.

mod abi;
mod check;
mod compile;
mod completions;
mod diff;
mod engines;
mod explain;
mod inspect;
mod learn;
mod limits;
mod man;
mod package;
mod presets;
mod process;
mod reload;
mod replay;
mod sandboxes;
mod serve;
mod version;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use portcullis_config::plan::compile as compiling;

use self::process::{Ended, print};
use crate::observe::log::{self, WhenFull};

/// A reverse proxy that runs Proxy-Wasm plugins.
///
/// Plugins built for Envoy and other Proxy-Wasm hosts run unchanged. Start with
/// `portcullis serve examples/quickstart.yaml`, then `curl -i http://127.0.0.1:8080/`.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, long_version = version::long(), max_term_width = 100)]
struct Arguments {
    /// Filter of the log: trace, debug, info, warn, error, off, or a filter such as `info,plugin=debug`.
    ///
    /// Lines of plugins have the target `plugin`; their own level is the highest that is let
    /// through. Engines log warnings, and more with `engines=debug`. Without this option, the environment variable RUST_LOG has the filter.
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,

    /// Log JSON, one object a line.
    #[arg(long, global = true)]
    log_json: bool,

    /// Treatment of lines of plugins while the reader of the log does not keep up.
    ///
    /// Dropped lines are counted, and the log says how many they were. Lines of the gateway itself wait, at most a second.
    #[arg(long, global = true, value_enum, default_value_t)]
    log_when_full: WhenFull,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Arguments),
    Reload(reload::Arguments),
    Replay(replay::Arguments),
    Check(check::Arguments),
    Compile(compile::Arguments),
    Inspect(inspect::Arguments),
    Learn(learn::Arguments),
    Package(package::Arguments),
    Sandboxes(sandboxes::Arguments),
    Explain(explain::Arguments),
    Diff(diff::Arguments),
    /// List the engines in this binary, with versions and what each can enforce.
    Engines,
    /// Print the tables of the ABI: every hostcall and callback with its type and
    /// versions.
    Abi,
    /// Compile a module as standard input says; for this program itself.
    #[command(hide = true)]
    CompileModule,
    /// Print the presets: sets of capabilities for the usual kinds of plugins.
    Presets,
    /// Print the JSON Schema of the configuration, with which editors complete and check YAML.
    Schema,
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if matches!(arguments.command, Command::CompileModule) {
        // Its parent says what to log, and nothing else does: standard error is read by the parent.
        let filter = arguments.log.as_deref();
        let _log = filter.and_then(|filter| log::start(Some(filter), arguments.log_json, WhenFull::Wait).ok());
        return compiling::run();
    }
    // Dropped before the end, when all lines have been written.
    let log = match log::start(arguments.log.as_deref(), arguments.log_json, arguments.log_when_full) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("cannot start the thread of the log: {error}");
            return ExitCode::FAILURE;
        }
    };
    arguments.command.run().unwrap_or_else(|error| {
        // What plugins said of it stands above it.
        log.finish(&format!("{}\n", log::escaped(&error.to_string())));
        ExitCode::FAILURE
    })
}

impl Command {
    fn run(&self) -> Ended {
        match self {
            Self::Serve(serve) => serve.run(),
            Self::Reload(reload) => reload.run(),
            Self::Replay(replay) => replay.run(),
            Self::Check(check) => check.run(),
            Self::Compile(compile) => compile.run(),
            Self::Inspect(inspect) => inspect.run(),
            Self::Learn(learn) => learn.run(),
            Self::Package(package) => package.run(),
            Self::Sandboxes(sandboxes) => sandboxes.run(),
            Self::Explain(explain) => explain.run(),
            Self::Diff(diff) => diff.run(),
            Self::Engines => print(&engines::text()),
            Self::Abi => print(&abi::text()),
            Self::CompileModule => Ok(compiling::run()),
            Self::Presets => print(&presets::text()),
            Self::Schema => print(&crate::config::reference::schema()),
            Self::Completions(completions) => completions.run(Arguments::command()),
            Self::Man(man) => man.run(Arguments::command()),
        }
    }
}
