//! Reading a transcript, and replaying it.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use portcullis_chain::{LoadError, Module};
use portcullis_core::abi::{LogLevel, MetricType};
use portcullis_core::engine::{AnyEngine, EngineSettings};
use portcullis_core::model::Plugin;
use portcullis_core::observe::{
    transcript::End, transcript::Event, transcript::Replay, transcript::Report, transcript::replay,
};
use portcullis_core::resources::{Host, LogRecord, Metric, NoRandomness};
use portcullis_core::sandbox::VmSpec;
use portcullis_core::vm::VmConfig;

use super::FORMAT;
use super::error::TranscriptError;
use super::line::{Header, Line};
use super::recorder::sha256;
use crate::engine::EngineInfo;
use crate::input::{LARGEST_PLUGIN, open_file, read_file};

/// The longest line. An event is as large as what a hostcall hands over, which may be a body.
const LONGEST_LINE: u64 = 256 << 20;

/// A transcript that is about to be replayed. It is read as it is played, a line at a time.
#[derive(Debug)]
pub struct Transcript {
    path: PathBuf,
    header: Header,
    lines: BufReader<File>,
}

/// The outcome of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replayed {
    /// The report; its end is never [`End::Unreadable`].
    pub report: Report,
    /// The transcript ended because it was full.
    pub was_full: bool,
    /// Another build than the recorded one was played.
    pub is_other_build: bool,
}

impl Transcript {
    /// Opens a transcript and reads its first line.
    ///
    /// # Errors
    /// The file cannot be read, or is no transcript, or is of another version of the format.
    pub fn open(path: &Path) -> Result<Self, TranscriptError> {
        let path = path.to_owned();
        let (lines, first) = match open_file(&path).and_then(|file| {
            let mut lines = BufReader::new(file);
            let first = next_line(&mut lines)?;
            Ok((lines, first))
        }) {
            Ok(opened) => opened,
            Err(error) => return Err(TranscriptError::Io { path, error }),
        };
        let no_transcript = |why: String| TranscriptError::Header { path: path.clone(), why };
        let first = match first {
            Next::Line(line) => line,
            Next::End => return Err(no_transcript("it is empty".to_owned())),
            Next::Bad(why) => return Err(no_transcript(why)),
        };
        let json: serde_json::Value =
            serde_json::from_slice(&first).map_err(|error| no_transcript(error.to_string()))?;
        match json.get("transcript").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(FORMAT) => {}
            Some(version) => {
                let by = json.get("portcullis").and_then(serde_json::Value::as_str).unwrap_or("a later one");
                return Err(TranscriptError::Format { path, version, by: by.to_owned() });
            }
            None => return Err(no_transcript("it does not begin with the version of its format".to_owned())),
        }
        let header = serde_json::from_value(json).map_err(|error| no_transcript(error.to_string()))?;
        Ok(Self { path, header, lines })
    }

    /// Returns the engine that it was recorded on.
    pub fn engine(&self) -> &str {
        &self.header.engine
    }

    /// Replays it on an engine, with the code beside the transcript or with another build of the plugin. The code is compiled
    /// in this thread.
    ///
    /// # Errors
    /// The code or a line cannot be read, or the engine cannot run the code.
    pub fn replay(self, engine: &EngineInfo, plugin: Option<&Path>) -> Result<Replayed, TranscriptError> {
        self.replay_by(engine, plugin, |engine, _, code| Module::load(engine, code))
    }

    /// Replays it with another way to load the code, which is given the engine, the file of the code, and the code.
    ///
    /// # Errors
    /// The code or a line cannot be read, or `load` fails.
    pub fn replay_by(
        self,
        engine: &EngineInfo,
        plugin: Option<&Path>,
        load: impl FnOnce(&dyn AnyEngine, &Path, Bytes) -> Result<Module, LoadError>,
    ) -> Result<Replayed, TranscriptError> {
        let (path, wasm) = self.code(plugin)?;
        let is_other_build = sha256(&wasm) != self.header.sha256;
        let limits = self.header.limits.limits();
        let settings = EngineSettings::from(&limits);
        let module = load(&*engine.start(&settings)?, &path, wasm.into());
        let module = module.map_err(|error| match error {
            LoadError::Bytecode(error) => TranscriptError::Refused { path, error },
            error => TranscriptError::Load { path, error },
        })?;
        let how = Replay::default().with_moved(is_other_build).with_redacted(!self.header.redacted.is_empty());
        let config = VmConfig { vm: VmSpec::default().with_limits(limits), ..VmConfig::new(module.abi()) };
        let was_full = Arc::new(AtomicBool::new(false));
        let events = Events { lines: self.lines, was_full: Arc::clone(&was_full), is_over: false };
        // What a worker's thread has: the stack of the guest, and more for the host that it calls.
        let stack = (1 << 20) + 3 * settings.stack;
        let run = || replay(module.compiled(), config, Box::new(Nobody), Box::new(events), how);
        let report = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(stack).spawn_scoped(scope, run)?;
            thread.join().map_err(|_| io::Error::other("it ended by a panic"))
        });
        let report = report.map_err(TranscriptError::Thread)?;
        match report.end {
            // The first line is no event.
            End::Unreadable(why) => Err(TranscriptError::Line { path: self.path, line: report.events + 2, why }),
            _ => Ok(Replayed { report, was_full: was_full.load(Ordering::Relaxed), is_other_build }),
        }
    }

    fn code(&self, plugin: Option<&Path>) -> Result<(PathBuf, Vec<u8>), TranscriptError> {
        let read = |path: &Path| read_file(path, LARGEST_PLUGIN);
        if let Some(path) = plugin {
            let code = read(path).map_err(|error| TranscriptError::Io { path: path.to_owned(), error })?;
            return Ok((path.to_owned(), code));
        }
        let digest = &self.header.sha256;
        if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let why = format!("{digest:?} is no sha256");
            return Err(TranscriptError::Header { path: self.path.clone(), why });
        }
        let beside = self.path.with_file_name(format!("{digest}.wasm"));
        let code = match read(&beside) {
            Ok(code) => code,
            Err(error) => return Err(TranscriptError::NoCode { path: self.path.clone(), code: beside, error }),
        };
        match sha256(&code) {
            found if found == *digest => Ok((beside, code)),
            found => Err(TranscriptError::OtherCode { path: beside, found }),
        }
    }
}

/// The events of a transcript.
struct Events {
    lines: BufReader<File>,
    was_full: Arc<AtomicBool>,
    is_over: bool,
}

impl Iterator for Events {
    type Item = Result<Event, Box<dyn Error + Send + Sync>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let event = match next_line(&mut self.lines) {
            Ok(Next::Line(line)) => {
                serde_json::from_slice::<Line>(&line).map_err(|error| error.to_string()).and_then(Line::event)
            }
            Ok(Next::End) => {
                self.is_over = true;
                return None;
            }
            Ok(Next::Bad(why)) => Err(why),
            Err(error) => Err(error.to_string()),
        };
        if matches!(event, Ok(None)) {
            self.was_full.store(true, Ordering::Relaxed);
        }
        self.is_over = !matches!(event, Ok(Some(_)));
        event.transpose().map(|event| event.map_err(Into::into))
    }
}

enum Next {
    Line(Vec<u8>),
    End,
    Bad(String),
}

fn next_line(lines: &mut impl BufRead) -> io::Result<Next> {
    let mut line = Vec::new();
    lines.take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    Ok(match line.last() {
        None => Next::End,
        Some(b'\n') => Next::Line(line),
        Some(_) if line.len() as u64 == LONGEST_LINE => Next::Bad(format!("it is longer than {LONGEST_LINE} bytes")),
        Some(_) => Next::Bad("it is cut short: the file is not complete".to_owned()),
    })
}

/// The world around a guest that is replayed: there is none.
struct Nobody;

impl Host for Nobody {
    fn log(&mut self, _: &LogRecord<'_>) {}

    fn log_level(&self) -> LogLevel {
        LogLevel::Critical
    }

    fn wall_clock(&self) -> u64 {
        0
    }

    fn monotonic_clock(&self) -> u64 {
        0
    }

    fn random(&mut self, _: &mut [u8]) -> Result<(), NoRandomness> {
        Err(NoRandomness("a transcript has those that were drawn".to_owned()))
    }

    fn has_upstream(&self, _: &str) -> bool {
        false
    }

    fn define_metric(&mut self, _: &Plugin, _: MetricType, _: &str) -> Option<Arc<dyn Metric>> {
        None
    }
}
