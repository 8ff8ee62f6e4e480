//! Examining the engines that are built in.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use portcullis::engine::{AnyEngine, EngineInfo, EngineSettings};
use portcullis::transcript::{OneFile, RecordingEngine, Redaction, Settings};
use portcullis_conformance::engine;
use portcullis_conformance::report::Report;

/// The most bytes of a transcript.
const TRANSCRIPT: usize = 64 << 20;

/// Examines engines by name, all if there is none, and records the VMs of one if a file is named.
pub(crate) fn examine(names: &[String], transcript: Option<&PathBuf>, filter: &str) -> Result<Vec<Report>, String> {
    if transcript.is_some() && names.len() > 1 {
        return Err("--transcript takes one --engine: each would write the same file".to_owned());
    }
    if let Some(unknown) = names.iter().find(|name| !portcullis::engine::all().iter().any(|info| info.name == **name)) {
        let known: Vec<_> = portcullis::engine::all().iter().map(|info| info.name).collect();
        return Err(format!("there is no engine {unknown:?} in this binary; there are {}", known.join(", ")));
    }
    // What a case says when it fails is in the report.
    std::panic::set_hook(Box::new(|_| {}));
    let wanted = |info: &&EngineInfo| names.is_empty() || names.iter().any(|name| name == info.name);
    let examine = |info: &EngineInfo| {
        let mut engine = info.start(&EngineSettings::default()).map_err(|error| error.to_string())?;
        if let Some(file) = transcript {
            engine = Box::new(recording(engine, file));
        }
        Ok(engine::examine_engine(&*engine, filter))
    };
    // At once: an engine uses one core.
    thread::scope(|scope| {
        let running: Vec<_> =
            portcullis::engine::all().iter().filter(wanted).map(|info| scope.spawn(move || examine(info))).collect();
        let ended =
            |thread: thread::ScopedJoinHandle<'_, _>| thread.join().unwrap_or_else(|_| Err("it panicked".to_owned()));
        running.into_iter().map(ended).collect()
    })
}

/// Returns the grid of phases as an engine has it.
pub(crate) fn grid(name: &str) -> Result<String, String> {
    let choice = portcullis::engine::find(name).map_err(|error| error.to_string())?;
    let engine = choice.engine.start(&EngineSettings::default()).map_err(|error| error.to_string())?;
    Ok(engine::grid::grid(&*engine))
}

fn recording(engine: Box<dyn AnyEngine>, file: &Path) -> RecordingEngine {
    let tell = |path: &Path, error: &io::Error| {
        let _ = writeln!(io::stderr(), "{}: {error}", path.display());
    };
    let outputs = Arc::new(OneFile::new(file, Arc::new(tell)));
    // Whatever a case has in it is no secret.
    let settings = Settings::new(outputs, TRANSCRIPT).with_redaction(Redaction::new([]));
    RecordingEngine::new(engine, "case", settings)
}
