//! The `portcullis` command.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use portcullis_gateway::config::Config;
use portcullis_gateway::server::{Gateway, ServeError};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A reverse proxy that runs Proxy-Wasm plugins.
///
/// Plugins built for Envoy and other Proxy-Wasm hosts run unchanged. Start with
/// `portcullis serve examples/quickstart.yaml`, then `curl -i http://127.0.0.1:8080/`.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    /// What to log: trace, debug, info, warn, error, off, or a filter such as `info,plugin=debug`.
    ///
    /// Lines of plugins have the target `plugin`; their own level is the highest that is let
    /// through. The environment variable RUST_LOG says the same.
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,

    /// Log JSON, one object a line.
    #[arg(long, global = true)]
    log_json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve traffic as a configuration says, until SIGTERM or SIGINT.
    ///
    /// Stopping is graceful: no new connection is taken, requests in flight finish, plugins end.
    Serve {
        /// The configuration (YAML).
        file: PathBuf,
    },
    /// Check a configuration and start its plugins once, without listening.
    ///
    /// Exits 0 if it can be served; prints what is wrong, with file, line and column, if not.
    Check {
        /// The configuration (YAML).
        file: PathBuf,
    },
    /// Print the tables of the ABI: every hostcall and callback with its type, versions, and
    /// whether it is implemented.
    Abi,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log(&arguments);
    let result = match &arguments.command {
        Command::Serve { file } => serve(file),
        Command::Check { file } => check(file),
        Command::Abi => print(&portcullis_gateway::abi::text()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(file: &PathBuf) -> Result<(), ServeError> {
    let running = Gateway::prepare(Config::load(file)?)?.serve()?;
    let stopped = async {
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(mut term), Ok(mut interrupt)) => tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
            },
            _ => tracing::error!("cannot wait for signals"),
        }
    };
    Ok(running.until(stopped)?)
}

fn check(file: &PathBuf) -> Result<(), ServeError> {
    let config = Config::load(file)?;
    let (listeners, clusters) = (config.listeners.len(), config.clusters.len());
    Gateway::prepare(config)?.rehearse()?;
    print(&format!("{}: ok: {listeners} listener(s), {clusters} cluster(s)\n", file.display()))
}

/// A closed pipe (`portcullis abi | head`) is no error.
fn print(text: &str) -> Result<(), ServeError> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn start_log(arguments: &Arguments) {
    let filter = match &arguments.log {
        Some(filter) => EnvFilter::new(filter),
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if arguments.log_json {
        log.json().init();
    } else {
        log.init();
    }
}
