//! The command `portcullis-conformance`.

mod arguments;
#[cfg(feature = "engines")]
mod engines;
mod files;
mod page;
mod watch;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use arguments::{Arguments, Command, Form, Telling};
use clap::Parser;
use files::{append, read, say, write};
use portcullis_conformance::http::{Group, HttpHost, upstream};
use portcullis_conformance::report::{self, Differences, Earlier, Report};
use portcullis_conformance::setup::{self, Ports};
use portcullis_conformance::{Examination, HostUnderTest, Needs, Setting, entries};
use watch::Watch;

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
        #[cfg(feature = "engines")]
        Command::Engines { engines, transcript, telling } => {
            tell(&engines::examine(&engines, transcript.as_ref(), &telling.filter)?, &telling)
        }
        Command::Http {
            name,
            targets,
            tcp,
            admin,
            base_port,
            differences,
            without,
            only,
            rest,
            host_output,
            telling,
            spawn,
        } => {
            let mut examination = Examination::default()
                .containing(&telling.filter)
                .share(only)
                .without(without)
                .knowing(known_differences(differences.as_deref())?);
            if let Some(file) = rest {
                let rest = Earlier::read(&read(&file)?, &name);
                examination = examination.completed_by(rest.map_err(|error| format!("{}: {error}", file.display()))?);
            }
            let ports = Ports::from(base_port);
            let upstream = upstream::serve(ports.upstream(), ports.tcp_upstream())
                .map_err(|error| format!("the upstream at {}: {error}", ports.upstream()))?;
            let (targets, tcp, admin) = match targets.is_empty() {
                true => (ports.targets(), Some(ports.tcp().to_string()), Some(ports.admin().to_string())),
                false => (targets, tcp, admin),
            };
            let first = targets.first().cloned();
            let mut host = HttpHost::new(&name, targets, tcp).map_err(|error| error.to_string())?.before(upstream);
            let group = Group::default();
            let mut watch = Watch::begin(group.clone()).map_err(|error| format!("signals: {error}"))?;
            if let Some(program) = spawn.first().cloned() {
                let output = host_output.as_deref().map(append).transpose()?;
                host = host.spawned(spawn, output, group).map_err(|error| format!("{program}: {error}"))?;
            }
            let version = admin.map_or(String::new(), |admin| host.version(&admin));
            if let Some((abi, address)) = first {
                // Thousands of checks would each wait for a host that is not there.
                let needs = Needs { abi, setting: Setting::Plain, starts: false };
                host.prepare(&needs).map_err(|trouble| {
                    format!("no probe of ABI {abi} at {address}: {trouble}; `setup` writes what the host has to load")
                })?;
            }
            watch.examine();
            let report = examination.watched(&mut host, &version, |progress| watch.tell(&progress));
            Ok(tell(&[report], &telling)? && !watch.is_interrupted())
        }
        Command::Setup { flavour, dir, base_port, engine, without } => {
            let told = setup::write(flavour, &dir, Ports::from(base_port), engine.as_deref(), &without)
                .map_err(|error| format!("{}: {error}", dir.display()))?;
            say(&told)?;
            Ok(true)
        }
        Command::Page { reports, output, results, totals, junit, check } => {
            let reports = page::merged(&reports)?;
            if let Some(file) = junit {
                write(&file, &report::junit(&reports))?;
            }
            page::make(&reports, &output, results.as_deref(), totals.as_deref(), check)
        }
        Command::List => {
            for entry in entries() {
                say(&format!("{} [{}]: {}\n", entry.path(), entry.spec, entry.must()))?;
            }
            Ok(true)
        }
        #[cfg(feature = "engines")]
        Command::Grid { engine } => {
            say(&engines::grid(&engine)?)?;
            Ok(true)
        }
    }
}

/// Reads a list of known differences: one that the kit brings along, or a file.
fn known_differences(named: Option<&Path>) -> Result<Differences, String> {
    let Some(file) = named else { return Ok(Differences::default()) };
    let json = match file.to_str().and_then(Differences::own) {
        Some(own) => own.to_owned(),
        None => read(file)?,
    };
    Differences::read(&json).map_err(|error| format!("{}: {error}", file.display()))
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
