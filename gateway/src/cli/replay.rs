//! `replay`: replays a transcript, and prints the differences.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use portcullis::chain::LoadError;
use portcullis::observe::{transcript::Difference, transcript::End};
use portcullis::transcript::{Replayed, Transcript, TranscriptError};

use super::limits::CompileOptions;
use super::process::{Ended, print};
use crate::error::ServeError;

/// Replay a transcript, which `serve --record` wrote, without network, and say where the plugin does something else.
///
/// The plugin is the file beside the transcript whose name is its sha256. Exits 0 if it does what it did, 1 at the
/// first difference.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The transcript (.jsonl).
    file: PathBuf,

    /// The engine to replay it on; the one that it was recorded on if none is named.
    #[arg(long, value_name = "NAME")]
    engine: Option<String>,

    /// Another build of the plugin. Addresses differ then, so pointers are compared by what they point to.
    #[arg(long, value_name = "WASM")]
    plugin: Option<PathBuf>,

    #[command(flatten)]
    limits: CompileOptions,
}

impl Arguments {
    pub(super) fn run(&self) -> Ended {
        let transcript = Transcript::open(&self.file)?;
        let recorded_on = transcript.engine().to_owned();
        let engine = portcullis::engine::find(self.engine.as_deref().unwrap_or(&recorded_on))?.engine;
        let loader = self.limits.loader();
        let replayed = transcript.replay_by(engine, self.plugin.as_deref(), |engine, path, code| {
            loader.load(None, engine, code, &path.display().to_string())
        });
        let replayed = replayed.map_err(|error| match error {
            TranscriptError::Load { path, error: LoadError::Engine(error) } => ServeError::of_compiling(&path, error),
            error => error.into(),
        })?;
        let (text, is_same) = text(&self.file, &recorded_on, engine.name, &replayed);
        let printed = print(&text)?;
        Ok(if is_same { printed } else { ExitCode::FAILURE })
    }
}

fn text(file: &Path, recorded_on: &str, engine: &str, replayed: &Replayed) -> (String, bool) {
    let Replayed { report, was_full, is_other_build, .. } = replayed;
    let mut text = format!("{}", file.display());
    let engines = format!("recorded on {recorded_on}, replayed on {engine}");
    let build = if *is_other_build { " with another build of the plugin" } else { "" };
    let is_same = match &report.end {
        End::Different(difference) => {
            let Difference { event, what, before, recorded, now, .. } = difference;
            // The first line is no event.
            let _ = writeln!(text, ":{}: {what} ({engines}{build})", event + 1);
            for line in before {
                let _ = writeln!(text, "            {line}");
            }
            let _ = writeln!(text, "  recorded: {recorded}\n  now:      {now}");
            false
        }
        _ => {
            let count = |number, noun| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
            let (callbacks, hostcalls) = (count(report.callbacks, "callback"), count(report.hostcalls, "hostcall"));
            let full = if *was_full { "; the transcript was full then" } else { "" };
            let _ = writeln!(text, ": {callbacks}, {hostcalls}, no difference ({engines}{build}{full})");
            true
        }
    };
    (text, is_same)
}
