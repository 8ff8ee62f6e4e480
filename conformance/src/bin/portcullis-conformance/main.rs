//! The command `portcullis-conformance`.

mod files;
mod page;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand, ValueEnum};
use files::{read, say, write};
use portcullis::core::{AbiVersion, AnyEngine, EngineSettings};
use portcullis::transcript::{OneFile, RecordingEngine, Redaction, Settings};
use portcullis_conformance::hosts::{HttpHost, upstream};
use portcullis_conformance::report::{self, Differences, Report};
use portcullis_conformance::setup::{self, Flavour, Ports};
use portcullis_conformance::{entries, examine_engine, examine_host, phases};

/// The most bytes of a transcript.
const TRANSCRIPT: usize = 64 << 20;

/// The conformance kit for hosts of Proxy-Wasm plugins.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Examine the engines that are built in.
    Engines {
        /// Only these; all by default.
        #[arg(long = "engine", value_name = "NAME")]
        engines: Vec<String>,

        /// Record what the first VM does in this file, and others beside it, for `portcullis replay`. Takes one
        /// engine, and a filter that says which cases.
        #[arg(long, value_name = "FILE", requires = "engines")]
        transcript: Option<PathBuf>,

        #[command(flatten)]
        telling: Telling,
    },
    /// Examine a host that has the probe in front of the kit's upstream; `setup` writes its configuration.
    Http {
        /// What to call it.
        #[arg(long, default_value = "host")]
        name: String,

        /// Where a probe is, with its version of the ABI, such as `0.2.1=127.0.0.1:10000`; may be given again.
        /// By default those of `setup`.
        #[arg(long = "target", value_name = "VERSION=ADDRESS", value_parser = target)]
        targets: Vec<(AbiVersion, String)>,

        /// Where a probe stands before the TCP upstream.
        #[arg(long, value_name = "ADDRESS")]
        tcp: Option<String>,

        /// Where the host's own pages are. The kit waits for /ready there, and reads the version from /server_info.
        #[arg(long, value_name = "ADDRESS")]
        admin: Option<String>,

        /// The first of the ports that `setup` used.
        #[arg(long, default_value_t = setup::BASE_PORT)]
        base_port: u16,

        /// What is known to differ, as JSON: a list of `{"why": "...", "cases": {"topic::name": "observed"}}`.
        #[arg(long, value_name = "FILE")]
        differences: Option<PathBuf>,

        #[command(flatten)]
        telling: Telling,

        /// The command that starts the host, behind `--`. The kit starts it, and again when it dies.
        #[arg(last = true)]
        spawn: Vec<String>,
    },
    /// Write the probe and a configuration for a host that is to be examined.
    Setup {
        /// Which host's configuration.
        flavour: Flavour,

        /// Where to write them; made if it is not there.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,

        /// The first of six ports on 127.0.0.1: probe of 0.2.1, probe of 0.1.0, probe before TCP, the host's pages,
        /// HTTP upstream, TCP upstream.
        #[arg(long, default_value_t = setup::BASE_PORT)]
        base_port: u16,

        /// The engine to name in the configuration, where the host has a choice.
        #[arg(long)]
        engine: Option<String>,
    },
    /// Make one page of JSON reports.
    Page {
        /// The reports. Those of one host are merged.
        reports: Vec<PathBuf>,

        /// The page.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,

        /// A file with the table of totals between two comments, `<!-- conformance -->` and `<!-- /conformance -->`.
        #[arg(long, value_name = "FILE")]
        totals: Option<PathBuf>,

        /// Write nothing; fail if something would change.
        #[arg(long)]
        check: bool,
    },
    /// List what is examined.
    List,
    /// Print the grid of phases as an engine has it.
    Grid {
        /// The engine.
        engine: String,
    },
}

#[derive(Debug, Args)]
struct Telling {
    /// Only entries whose full name contains this.
    #[arg(long, default_value = "")]
    filter: String,

    /// The form of the report.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,

    /// Where to write it; to standard output if no file is named.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Text,
    Json,
    Junit,
    Markdown,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Does it; says whether nothing failed.
fn run(command: Command) -> Result<bool, String> {
    match command {
        Command::Engines { engines, transcript: Some(_), .. } if engines.len() > 1 => {
            Err("--transcript takes one --engine: each would write the same file".to_owned())
        }
        Command::Engines { engines, transcript, telling } => examine_engines(&engines, transcript.as_ref(), &telling),
        Command::Http { name, targets, tcp, admin, base_port, differences, telling, spawn } => {
            let ports = Ports::from(base_port);
            let differences = match differences {
                Some(file) => {
                    Differences::read(&read(&file)?).map_err(|error| format!("{}: {error}", file.display()))?
                }
                None => Differences::default(),
            };
            upstream::serve(ports.upstream(), ports.tcp_upstream())
                .map_err(|error| format!("the upstream at {}: {error}", ports.upstream()))?;
            let (targets, tcp, admin) = match targets.is_empty() {
                true => (ports.targets(), Some(ports.tcp().to_string()), Some(ports.admin().to_string())),
                false => (targets, tcp, admin),
            };
            let mut host = HttpHost::new(&name, targets, tcp).map_err(|error| error.to_string())?;
            if let Some(program) = spawn.first().cloned() {
                host = host.spawned(spawn).map_err(|error| format!("{program}: {error}"))?;
            }
            let version = admin.map_or(String::new(), |admin| host.version(&admin));
            tell(&[examine_host(&mut host, &version, &telling.filter, &differences)], &telling)
        }
        Command::Setup { flavour, dir, base_port, engine } => {
            let told = setup::write(flavour, &dir, Ports::from(base_port), engine.as_deref())
                .map_err(|error| format!("{}: {error}", dir.display()))?;
            say(&told)?;
            Ok(true)
        }
        Command::Page { reports, output, totals, check } => page::make(&reports, &output, totals.as_deref(), check),
        Command::List => {
            for entry in entries() {
                say(&format!("{} [{}]: {}\n", entry.path(), entry.spec, entry.must()))?;
            }
            Ok(true)
        }
        Command::Grid { engine } => {
            let choice = portcullis::engine(&engine).map_err(|error| error.to_string())?;
            let engine = choice.engine.start(&EngineSettings::default()).map_err(|error| error.to_string())?;
            say(&phases::grid(&*engine))?;
            Ok(true)
        }
    }
}

fn examine_engines(names: &[String], transcript: Option<&PathBuf>, telling: &Telling) -> Result<bool, String> {
    // What a case says when it fails is in the report.
    std::panic::set_hook(Box::new(|_| {}));
    let mut reports = Vec::new();
    for info in portcullis::engines() {
        if names.is_empty() || names.iter().any(|name| name == info.name) {
            let mut engine = info.start(&EngineSettings::default()).map_err(|error| error.to_string())?;
            if let Some(file) = transcript {
                engine = Box::new(recording(engine, file));
            }
            reports.push(examine_engine(&*engine, &telling.filter));
        }
    }
    match names.iter().find(|name| !portcullis::engines().iter().any(|info| info.name == **name)) {
        Some(unknown) => Err(format!("there is no engine {unknown:?} in this binary")),
        None => tell(&reports, telling),
    }
}

fn recording(engine: Box<dyn AnyEngine>, file: &std::path::Path) -> RecordingEngine {
    let tell = |path: &std::path::Path, error: &io::Error| {
        let _ = writeln!(io::stderr(), "{}: {error}", path.display());
    };
    let outputs = Arc::new(OneFile::new(file, Arc::new(tell)));
    // Whatever a case has in it is no secret.
    let settings = Settings { outputs, redaction: Redaction::new([]), limit: TRANSCRIPT };
    RecordingEngine::new(engine, "case", settings)
}

fn tell(reports: &[Report], telling: &Telling) -> Result<bool, String> {
    let each = |form: fn(&Report) -> String| reports.iter().map(form).collect::<String>();
    let told = match telling.format {
        Form::Text => each(report::text),
        Form::Json => serde_json::to_string_pretty(reports).map_err(|error| error.to_string())?,
        Form::Junit => report::junit(reports),
        Form::Markdown => report::markdown(reports),
    };
    match &telling.output {
        Some(file) => {
            write(file, &told)?;
            say(&each(report::text))?;
        }
        None => say(&told)?,
    }
    Ok(reports.iter().all(|report| report.counts().failed == 0))
}

fn target(text: &str) -> Result<(AbiVersion, String), String> {
    let (version, address) = text.split_once('=').ok_or("expected VERSION=ADDRESS")?;
    let abi = AbiVersion::ALL.into_iter().find(|abi| abi.to_string() == version);
    let abi = abi.ok_or_else(|| format!("there is no ABI version {version:?}"))?;
    let _: SocketAddr = address.parse().map_err(|_| format!("{address:?} is no address with a port"))?;
    Ok((abi, address.to_owned()))
}
