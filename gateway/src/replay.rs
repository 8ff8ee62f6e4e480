//! `replay`: a transcript again, and what it says.

use std::fmt::Write;
use std::path::Path;

use portcullis::core::tape::{Difference, End};
use portcullis::transcript::{Replayed, Transcript};

use crate::server::ServeError;

/// Replays a transcript; gives what to print, and whether the plugin did the same as it did then.
///
/// # Errors
/// A file cannot be read, or there is no such engine.
pub fn replay(file: &Path, engine: Option<&str>, plugin: Option<&Path>) -> Result<(String, bool), ServeError> {
    let transcript = Transcript::open(file)?;
    let recorded_on = transcript.engine().to_owned();
    let engine = portcullis::engine(engine.unwrap_or(&recorded_on))?.engine;
    let replayed = transcript.replay(engine, plugin)?;
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
