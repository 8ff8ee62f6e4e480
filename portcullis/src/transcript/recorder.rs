//! Modules whose guests are recorded.

use std::fmt;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use bytes::Bytes;
use portcullis_chain::{LoadError, Module};
use portcullis_core::engine::{AnyEngine, AnyModule, EngineError, EngineFeatures, EngineSettings, Guest, StartError};
use portcullis_core::model::Limits;
use portcullis_core::module::{Bytecode, SealedCode};
use portcullis_core::observe::{transcript::Event, transcript::Sink, transcript::record};
use portcullis_core::vm::VmState;

use super::FORMAT;
use super::line::{Header, Line, RecordedLimits};
use super::redaction::{Redaction, Redactor};
use crate::wrapped::wrapped;

/// How guests are recorded.
#[derive(Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Where transcripts go.
    pub outputs: Arc<dyn Outputs>,
    /// The values that are made unrecognizable in them.
    pub redaction: Redaction,
    /// The most bytes of one transcript. When it is full, its last line says so and its VM goes on unrecorded.
    pub limit: usize,
}

impl Settings {
    /// Records to `outputs`, up to `limit` bytes each, and hides the values that are hidden by default.
    pub fn new(outputs: Arc<dyn Outputs>, limit: usize) -> Self {
        Self { outputs, redaction: Redaction::default(), limit }
    }

    /// Returns it with another [`redaction`](Self::redaction).
    #[must_use]
    pub fn with_redaction(self, redaction: Redaction) -> Self {
        Self { redaction, ..self }
    }
}

/// Opens a place for each transcript.
pub trait Outputs: Send + Sync {
    /// Opens a place for the transcript of a new VM; returns `None` if this VM is not to be recorded. The thread of the VM calls
    /// this, and writes to the place.
    fn open(&self, subject: &Subject) -> Option<Box<dyn Write + Send>>;
}

impl<F: Fn(&Subject) -> Option<Box<dyn Write + Send>> + Send + Sync> Outputs for F {
    fn open(&self, subject: &Subject) -> Option<Box<dyn Write + Send>> {
        self(subject)
    }
}

/// A plugin that is recorded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Subject {
    /// The operator's name for it.
    pub name: String,
    /// The engine.
    pub engine: String,
    /// The ABI that the module declares.
    pub abi: String,
    /// The module.
    pub code: Bytes,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl Subject {
    fn new(name: &str, engine: &str, bytecode: &Bytecode<'_>, code: Bytes) -> Self {
        let sha256 = sha256(&code);
        Self { name: name.to_owned(), engine: engine.to_owned(), abi: bytecode.abi.to_string(), code, sha256 }
    }
}

/// Returns a module whose guests are those of `module`, and are recorded under this name.
///
/// # Errors
/// The module has no code, as one that was made for tests.
pub fn recorded(module: &Arc<Module>, name: &str, settings: &Settings) -> Result<Module, LoadError> {
    let code = Bytes::copy_from_slice(module.code());
    wrapped(module, |compiled, bytecode| {
        let subject = Subject::new(name, module.engine(), bytecode, code);
        Box::new(Recorder::new(compiled, subject, settings.clone()))
    })
}

/// A module whose guests are recorded.
#[derive(Debug)]
pub struct Recorder {
    module: Box<dyn AnyModule>,
    subject: Subject,
    settings: Settings,
}

impl Recorder {
    /// Has the guests of a module recorded.
    pub fn new(module: Box<dyn AnyModule>, subject: Subject, settings: Settings) -> Self {
        Self { module, subject, settings }
    }
}

impl AnyModule for Recorder {
    fn instantiate(&self, state: VmState, limits: &Limits) -> Result<Box<dyn Guest>, StartError> {
        let Some(out) = self.settings.outputs.open(&self.subject) else {
            return self.module.instantiate(state, limits);
        };
        let sink = Lines::begin(out, &self.subject, limits, &self.settings);
        record(&*self.module, state, limits, Box::new(sink))
    }

    fn save(&self) -> Result<Option<Vec<u8>>, EngineError> {
        self.module.save()
    }

    fn moves(&self) -> bool {
        self.module.moves()
    }
}

/// An engine all of whose guests are recorded, for those who load modules themselves.
#[derive(Debug)]
pub struct RecordingEngine {
    engine: Box<dyn AnyEngine>,
    name: String,
    settings: Settings,
}

impl RecordingEngine {
    /// Has all guests of an engine recorded, under this name.
    pub fn new(engine: Box<dyn AnyEngine>, name: &str, settings: Settings) -> Self {
        Self { engine, name: name.to_owned(), settings }
    }

    fn recorded(&self, module: Box<dyn AnyModule>, bytecode: &Bytecode<'_>) -> Box<dyn AnyModule> {
        let code = Bytes::copy_from_slice(bytecode.wasm);
        let subject = Subject::new(&self.name, self.engine.name(), bytecode, code);
        Box::new(Recorder::new(module, subject, self.settings.clone()))
    }
}

impl AnyEngine for RecordingEngine {
    fn name(&self) -> &'static str {
        self.engine.name()
    }

    fn version(&self) -> &'static str {
        self.engine.version()
    }

    fn features(&self) -> EngineFeatures {
        self.engine.features()
    }

    fn settings(&self) -> &EngineSettings {
        self.engine.settings()
    }

    fn fingerprint(&self) -> String {
        self.engine.fingerprint()
    }

    fn load(&self, bytecode: &Bytecode<'_>) -> Result<Box<dyn AnyModule>, EngineError> {
        Ok(self.recorded(self.engine.load(bytecode)?, bytecode))
    }

    fn restore(&self, bytecode: &Bytecode<'_>, code: &SealedCode<'_>) -> Result<Box<dyn AnyModule>, EngineError> {
        Ok(self.recorded(self.engine.restore(bytecode, code)?, bytecode))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// Returns the SHA-256, in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The last line of a transcript that is full, for which there is always room.
const FULL: &str = "{\"end\":\"full\"}\n";

/// Writes the lines of a transcript.
struct Lines {
    out: BufWriter<Box<dyn Write + Send>>,
    redactor: Redactor,
    /// How many bytes may still be written.
    room: usize,
}

impl Lines {
    fn begin(out: Box<dyn Write + Send>, subject: &Subject, limits: &Limits, settings: &Settings) -> Self {
        let redactor = Redactor::new(settings.redaction.clone());
        let room = settings.limit.saturating_sub(FULL.len());
        let mut lines = Self { out: BufWriter::new(out), redactor, room };
        lines.write(&Header {
            transcript: FORMAT,
            portcullis: env!("CARGO_PKG_VERSION").to_owned(),
            name: subject.name.clone(),
            engine: subject.engine.clone(),
            abi: subject.abi.clone(),
            sha256: subject.sha256.clone(),
            limits: RecordedLimits::from(limits),
            redacted: settings.redaction.names().to_vec(),
        });
        lines
    }

    fn write(&mut self, line: &impl serde::Serialize) {
        let Ok(mut line) = serde_json::to_string(line) else { return self.overflow() };
        line.push('\n');
        match self.room.checked_sub(line.len()) {
            Some(rest) => {
                // Whoever gave the output says why it cannot be written to. A part of a transcript is of use.
                self.room = if self.out.write_all(line.as_bytes()).is_ok() { rest } else { 0 };
            }
            None => self.overflow(),
        }
    }
}

impl Sink for Lines {
    fn room(&self) -> usize {
        self.room
    }

    fn take(&mut self, mut event: Event) {
        if self.room == 0 {
            return;
        }
        if self.redactor.redact(&mut event) {
            self.write(&Line::from(event));
        } else {
            self.overflow();
        }
    }

    fn pause(&mut self) {
        if self.out.flush().is_err() {
            self.room = 0;
        }
    }

    fn overflow(&mut self) {
        if self.room > 0 {
            self.room = 0;
            let _ = self.out.write_all(FULL.as_bytes()).and_then(|()| self.out.flush());
        }
    }
}
