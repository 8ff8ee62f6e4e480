//! The `portcullis` command.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use portcullis::core::EngineSettings;
use portcullis_gateway::cli::compile::precompile;
use portcullis_gateway::cli::inspect::Report;
use portcullis_gateway::config::Config;
use portcullis_gateway::observe::log::{self, WhenFull};
use portcullis_gateway::observe::profile;
use portcullis_gateway::observe::record::{self, Recording};
use portcullis_gateway::plan::compile;
use portcullis_gateway::serve::descriptors::{self, Raised};
use portcullis_gateway::serve::server::{EngineOptions, Gateway, ServeError};
use portcullis_gateway::serve::signals::Signals;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The file of this process, also when another has taken its place; None where the system has no such name.
const OWN_FILE: Option<&str> = if cfg!(target_os = "linux") { Some("/proc/self/exe") } else { None };

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
    /// through. Engines log warnings, and more with `engines=debug`. The environment variable RUST_LOG says the same.
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,

    /// Log JSON, one object a line.
    #[arg(long, global = true)]
    log_json: bool,

    /// What becomes of lines of plugins while the reader of the log does not keep up.
    ///
    /// Dropped lines are counted, and the log says how many they were. Lines of the gateway itself wait, at most a second.
    #[arg(long, global = true, value_enum, default_value_t)]
    log_when_full: WhenFull,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve traffic as a configuration says, until SIGTERM, SIGINT or SIGQUIT.
    ///
    /// Stopping is graceful: no new connection is taken, requests in flight finish, plugins end. A second signal ends the
    /// process at once. SIGHUP, SIGUSR1 and SIGUSR2 do nothing but to be logged.
    Serve {
        /// The configuration (YAML).
        file: PathBuf,

        /// Run all plugins on this engine, whatever `runtime` says; `portcullis engines` lists them.
        #[arg(long, value_name = "NAME")]
        engine: Option<String>,

        /// Have `/config` of the admin interface show the configurations of plugins and VMs; without it, only their sizes.
        ///
        /// Members that are called like a secret and the values of environment variables stay hidden.
        #[arg(long)]
        admin_show_configuration: bool,

        #[command(flatten)]
        record: record::Arguments,

        #[command(flatten)]
        profile: profile::Arguments,
    },
    /// Replay a transcript, which `serve --record` wrote, without network, and say where the plugin does something else.
    ///
    /// The plugin is the file beside the transcript whose name is its sha256. Exits 0 if it does what it did, 1 at the
    /// first difference.
    Replay {
        /// The transcript (.jsonl).
        file: PathBuf,

        /// The engine to replay it on; the one that it was recorded on if none is named.
        #[arg(long, value_name = "NAME")]
        engine: Option<String>,

        /// Another build of the plugin. Addresses differ then, so pointers are compared by what they point to.
        #[arg(long, value_name = "WASM")]
        plugin: Option<PathBuf>,

        #[command(flatten)]
        limits: compile::Arguments,
    },
    /// Check a configuration and start its plugins once, without listening.
    ///
    /// Exits 0 if it can be served; prints what is wrong, with file, line and column, if not. Warns where the
    /// capabilities that a plugin is allowed differ from what it can use.
    Check {
        /// The configuration (YAML).
        file: PathBuf,

        /// Run all plugins on this engine, whatever `runtime` says; `portcullis engines` lists them.
        #[arg(long, value_name = "NAME")]
        engine: Option<String>,
    },
    /// Compile a plugin ahead, for a machine like this one.
    ///
    /// Writes the plugin with its machine code in it, which other hosts skip. A gateway whose
    /// `code_cache` has the same key runs that code without compiling; with another key, engine,
    /// version or CPU it compiles the plugin as if the code were not there. Compile the output again
    /// with another --engine to have both.
    ///
    /// Machine code is run without being checked: whoever can read the key can make a gateway run
    /// code of their choice.
    Compile {
        /// The plugin (.wasm).
        plugin: PathBuf,

        /// Where to write the plugin with its code.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,

        /// The folder whose key seals the code; made if it is not there.
        #[arg(long, value_name = "DIR")]
        code_cache: PathBuf,

        /// The engine to compile for; the default engine if none is named. `portcullis engines` lists them.
        #[arg(long, value_name = "NAME")]
        engine: Option<String>,

        /// `limits.stack` of the VMs that will run it, in bytes.
        #[arg(long, value_name = "BYTES", default_value_t = EngineSettings::default().stack)]
        stack: usize,

        #[command(flatten)]
        limits: compile::Arguments,
    },
    /// Say what a plugin is, what it needs from its host, or why it would be refused.
    ///
    /// Its code is followed from the callbacks: imports that no way leads to are told apart from those that it may
    /// call. Where a way leads through a table, every function there of the type that is called counts. Exits 1 if the
    /// plugin would be refused.
    Inspect {
        /// The plugin (.wasm).
        plugin: PathBuf,

        /// Print JSON.
        #[arg(long)]
        json: bool,

        /// Print `capability_restriction_config` with all that the plugin needs, to be pasted into its configuration.
        #[arg(long, conflicts_with = "json")]
        yaml: bool,
    },
    /// Serve traffic, note what each plugin uses with which arguments, and write the least rights that allow it.
    ///
    /// Send it the traffic that your plugins will meet, then stop it with SIGTERM or SIGINT. What they did not do
    /// meanwhile will be denied. A plugin's capabilities hold while this is learned; its argument rules do not.
    Learn {
        /// The configuration (YAML).
        file: PathBuf,

        /// Where to write the blocks; to standard output if no file is named.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,

        /// Run all plugins on this engine, whatever `runtime` says; `portcullis engines` lists them.
        #[arg(long, value_name = "NAME")]
        engine: Option<String>,
    },
    /// Show which plugins share a VM, what each VM is made of, and why plugins that ask for one VM do not share it.
    Sandboxes {
        /// The configuration (YAML).
        file: PathBuf,

        /// Run all plugins on this engine, whatever `runtime` says; `portcullis engines` lists them.
        #[arg(long, value_name = "NAME")]
        engine: Option<String>,

        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the engines in this binary, with versions and what each can enforce.
    Engines,
    /// Print the tables of the ABI: every hostcall and callback with its type, versions, and
    /// whether it is implemented.
    Abi,
    /// Compile a module as standard input says; for this program itself.
    #[command(hide = true)]
    CompileModule,
    /// Print the presets: sets of capabilities for the usual kinds of plugins.
    Presets,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if matches!(arguments.command, Command::CompileModule) {
        // Its parent says what to log, and nothing else does: standard error is read by the parent.
        let filter = arguments.log.as_deref();
        let _log = filter.and_then(|filter| log::start(Some(filter), arguments.log_json, WhenFull::Wait).ok());
        return compile::run();
    }
    // Dropped before the end, when all lines have been written.
    let log = match log::start(arguments.log.as_deref(), arguments.log_json, arguments.log_when_full) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("no thread can be started for the log: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = match &arguments.command {
        Command::Serve { file, engine, admin_show_configuration, record, profile } => {
            serve(file, engine.as_deref(), *admin_show_configuration, record.recording(), profile)
        }
        Command::Replay { file, engine, plugin, limits } => {
            match replay(file, engine.as_deref(), plugin.as_deref(), limits) {
                Ok(false) => return ExitCode::FAILURE,
                result => result.map(drop),
            }
        }
        Command::Check { file, engine } => check(file, engine.as_deref()),
        Command::Compile { plugin, output, code_cache, engine, stack, limits } => {
            let engine = engine.as_deref().unwrap_or_default();
            let settings = EngineSettings { stack: *stack, ..EngineSettings::default() };
            let compiler = OWN_FILE.map(Path::new);
            precompile(plugin, output, code_cache, engine, &settings, limits, compiler).and_then(|text| print(&text))
        }
        Command::Inspect { plugin, json, yaml } => match inspect(plugin, *json, *yaml) {
            Ok(false) => return ExitCode::FAILURE,
            result => result.map(drop),
        },
        Command::Learn { file, output, engine } => learn(file, output.as_deref(), engine.as_deref()),
        Command::Sandboxes { file, engine, json } => sandboxes(file, engine.as_deref(), *json),
        Command::Engines => print(&portcullis_gateway::cli::engines::text()),
        Command::Abi => print(&portcullis_gateway::cli::abi::text()),
        Command::CompileModule => Ok(()),
        Command::Presets => print(&portcullis_gateway::cli::presets::text()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What plugins said of it stands above it.
            log.finish(&format!("{}\n", log::escaped(&error.to_string())));
            ExitCode::FAILURE
        }
    }
}

fn serve(
    file: &PathBuf,
    engine: Option<&str>,
    shows_configuration: bool,
    recording: Option<Recording>,
    profile: &profile::Arguments,
) -> Result<(), ServeError> {
    let signals = Signals::listen()?;
    let options = EngineOptions { samples: profile.profile.is_some(), perf_map: profile.perf_map, ..options(engine) };
    let mut gateway = Gateway::prepare_with(Config::load(file)?, options)?;
    if shows_configuration {
        gateway.show_configuration();
    }
    if let Some(recording) = recording {
        gateway.record(recording)?;
    }
    if let Some(folder) = &profile.profile {
        gateway.profile(folder)?;
    }
    until_stopped(gateway, &signals)
}

/// Modules are compiled by this very program.
fn options(engine: Option<&str>) -> EngineOptions<'_> {
    EngineOptions { engine, compiler: OWN_FILE.map(Path::new), ..EngineOptions::default() }
}

/// Says whether the plugin does what it did.
fn replay(
    file: &Path,
    engine: Option<&str>,
    plugin: Option<&Path>,
    limits: &compile::Arguments,
) -> Result<bool, ServeError> {
    let compiler = OWN_FILE.map(Path::new);
    let (text, is_same) = portcullis_gateway::cli::replay::replay(file, engine, plugin, limits, compiler)?;
    print(&text)?;
    Ok(is_same)
}

fn learn(file: &PathBuf, output: Option<&Path>, engine: Option<&str>) -> Result<(), ServeError> {
    let signals = Signals::listen()?;
    let mut gateway = Gateway::prepare_with(Config::load(file)?, options(engine))?;
    let lessons = gateway.learn();
    until_stopped(gateway, &signals)?;
    match output {
        None => print(&lessons.yaml()),
        Some(path) => std::fs::write(path, lessons.yaml()).map_err(|error| ServeError::File {
            operation: "write",
            path: path.to_owned(),
            error,
        }),
    }
}

fn until_stopped(gateway: Gateway, signals: &Signals) -> Result<(), ServeError> {
    let Raised { from, to } = descriptors::raise();
    if from < to {
        tracing::info!(from, to, "raised the soft limit of file descriptors to the hard one");
    } else {
        tracing::debug!(limit = to, "the soft limit of file descriptors is the hard one");
    }
    let running = gateway.serve()?;
    Ok(running.until(signals)?)
}

fn check(file: &PathBuf, engine: Option<&str>) -> Result<(), ServeError> {
    let config = Config::load(file)?;
    let (listeners, clusters) = (config.listeners.len(), config.clusters.len());
    let mut gateway = Gateway::prepare_with(config, options(engine))?;
    // First: a plugin that lacks a right may not start.
    for advice in gateway.advice() {
        tracing::warn!("{advice}");
    }
    gateway.rehearse()?;
    print(&format!("{}: ok: {listeners} listener(s), {clusters} cluster(s)\n", file.display()))
}

fn sandboxes(file: &PathBuf, engine: Option<&str>, json: bool) -> Result<(), ServeError> {
    let gateway = Gateway::prepare_with(Config::load(file)?, options(engine))?;
    let sandboxes = gateway.sandboxes();
    print(&if json { format!("{:#}\n", sandboxes.to_json()) } else { sandboxes.text() })
}

/// Says whether the plugin would run.
fn inspect(plugin: &Path, json: bool, yaml: bool) -> Result<bool, ServeError> {
    let path = || plugin.to_owned();
    let cannot_read = |error| ServeError::File { operation: "read", path: path(), error };
    let report = Report::read(plugin).map_err(cannot_read)?;
    print(&match (json, yaml) {
        (true, _) => report.json(),
        (_, true) => report.yaml().map_err(|error| ServeError::Refused { path: path(), error })?,
        _ => report.text(),
    })?;
    Ok(report.refusal().is_none())
}

/// A closed pipe (`portcullis abi | head`) is no error.
fn print(text: &str) -> Result<(), ServeError> {
    // Names of a plugin may be in it.
    match std::io::stdout().write_all(log::escaped(text).as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
