//! `replay`: a transcript again, and what it says.

use std::fmt::Write;
use std::path::Path;

use portcullis::LoadError;
use portcullis::core::tape::{Difference, End};
use portcullis::transcript::{Replayed, Transcript, TranscriptError};

use crate::plan::compile;
use crate::serve::server::ServeError;

/// Replays a transcript, with its plugin compiled within limits by `compiler`, the file of this program; gives what to print, and whether the plugin did the same as it did then.
///
/// # Errors
/// A file cannot be read, or there is no such engine.
pub fn replay(
    file: &Path,
    engine: Option<&str>,
    plugin: Option<&Path>,
    limits: &compile::Arguments,
    compiler: Option<&Path>,
) -> Result<(String, bool), ServeError> {
    let transcript = Transcript::open(file)?;
    let recorded_on = transcript.engine().to_owned();
    let engine = portcullis::engine(engine.unwrap_or(&recorded_on))?.engine;
    let loader = limits.loader(compiler);
    let replayed = transcript
        .replay_by(engine, plugin, |engine, path, code| loader.load(None, engine, code, &path.display().to_string()));
    let replayed = replayed.map_err(|error| match error {
        TranscriptError::Load { path, error: LoadError::Engine(error) } => ServeError::of_compiling(&path, error),
        error => error.into(),
    })?;
    Ok(text(file, &recorded_on, engine.name, &replayed))
}

fn text(file: &Path, recorded_on: &str, engine: &str, replayed: &Replayed) -> (String, bool) {
    let Replayed { report, was_full, is_other_build } = replayed;
    let mut text = format!("{}", file.display());
    let engines = format!("recorded on {recorded_on}, replayed on {engine}");
    let build = if *is_other_build { " with another build of the plugin" } else { "" };
    let is_same = match &report.end {
        End::Different(difference) => {
            let Difference { event, what, before, recorded, now } = difference;
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
