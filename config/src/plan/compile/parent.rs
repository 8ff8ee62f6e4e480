//! The side that has modules compiled.

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{Builder, Scope};

use portcullis::engine::AnyEngine;

use super::error::CompileError;
use super::order::{COMMAND, Kind, Order};
use crate::CompileLimits;

/// Compiles modules by another program, which is started again for each. Its command `compile-module` calls [`run`](super::run).
#[derive(Clone, Debug)]
pub struct CompilerProcess {
    program: PathBuf,
    log: Vec<String>,
}

/// The most bytes of machine code.
const LARGEST_CODE: u64 = 1 << 30;

/// The most bytes of the child's messages that are read.
const LONGEST_WORDS: u64 = 16 << 10;

/// Memory that mimalloc reserves at a time, in KiB. What it has reserved before the child bounds itself is not counted.
const RESERVED: &str = "16384";

/// The signal of a process that has used up its CPU time.
const SIGXCPU: i32 = 24;

/// Texts that report missing memory: Rust's before it aborts, and the standard library's errors.
const NO_MEMORY: [&str; 3] = ["memory allocation of", "(os error 12)", "out of memory"];

impl CompilerProcess {
    /// Names the program.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), log: Vec::new() }
    }

    /// Gives the program arguments that make it log. What it writes to standard error then goes where this process writes, and is not
    /// read for the reason of a failure.
    pub fn with_log(self, arguments: Vec<String>) -> Self {
        Self { log: arguments, ..self }
    }

    /// Compiles a module for an engine; None if the module is no plugin. `gives_way`: on one thread, when workers have
    /// nothing to do.
    ///
    /// # Errors
    /// The module is not compiled within the limits, or at all.
    pub(crate) fn compile(
        &self,
        engine: &dyn AnyEngine,
        limits: &CompileLimits,
        wasm: &[u8],
        gives_way: bool,
    ) -> Result<Option<Vec<u8>>, CompileError> {
        let threads = if gives_way { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) };
        let (limits, stack) = (limits.clone(), engine.settings().stack);
        let order = Order { engine: engine.name().to_owned(), stack, limits, threads, gives_way };
        let (status, output, words) = self.run(&order, wasm)?;
        if !status.success() {
            return Err(ended(status, &words, &order.limits));
        }
        let (kind, answer) = output.split_first().ok_or_else(|| CompileError::Ended("without an answer".to_owned()))?;
        match Kind::of(*kind) {
            Some(Kind::Refused) => Ok(None),
            Some(Kind::Error) => Err(failed(&String::from_utf8_lossy(answer), &order.limits)),
            Some(Kind::Code) => code(engine, answer).map(Some),
            None => Err(CompileError::Ended("with an answer that is none".to_owned())),
        }
    }

    /// Starts the child, feeds it, and gives how it ended, what it wrote and what it said.
    fn run(&self, order: &Order, wasm: &[u8]) -> Result<(ExitStatus, Vec<u8>, String), CompileError> {
        let mut command = Command::new(&self.program);
        // It needs nothing of the environment, which may have secrets.
        // Where the compiler logs, its words are lines of the log and not the reason of a failure.
        let words = if self.log.is_empty() { Stdio::piped() } else { Stdio::inherit() };
        command.args(&self.log).arg(COMMAND).env_clear().env("MIMALLOC_ARENA_RESERVE", RESERVED);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(words);
        let mut child = command.spawn().map_err(cannot_start)?;
        let ran = std::thread::scope(|scope| converse(scope, &mut child, order, wasm));
        if ran.is_err() {
            let _ = child.kill();
        }
        // Not before it has ended, so that none is left behind.
        let status = child.wait().map_err(cannot_start)?;
        let (output, words) = ran?;
        Ok((status, output, words))
    }
}

/// Hands the module over and takes what the child writes, until it has written all or its time has passed; it is ended then.
fn converse<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    child: &mut Child,
    order: &'env Order,
    wasm: &'env [u8],
) -> Result<(Vec<u8>, String), CompileError> {
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(cannot_start("it has no pipes"));
    };
    let words = child.stderr.take();
    let start = |name: &str| Builder::new().name(format!("compiling: {name}"));
    let (has_ended, hears) = mpsc::channel();
    let spawned = (|| -> io::Result<_> {
        start("module").spawn_scoped(scope, move || {
            // A child that has ended says why in another way.
            let _ = input.write_all(order.line().as_bytes()).and_then(|()| input.write_all(wasm));
        })?;
        let words = start("words").spawn_scoped(scope, move || {
            let mut said = Vec::new();
            if let Some(mut words) = words {
                let _ = words.by_ref().take(LONGEST_WORDS).read_to_end(&mut said);
                let _ = io::copy(&mut words, &mut io::sink());
            }
            String::from_utf8_lossy(&said).into_owned()
        })?;
        let output = start("code").spawn_scoped(scope, move || {
            let mut code = Vec::new();
            let read = portcullis::input::read_at_most(output, LARGEST_CODE, &mut code);
            let _ = has_ended.send(());
            read.map(|()| code)
        })?;
        Ok((words, output))
    })();
    let (words, output) = match spawned {
        Ok(spawned) => spawned,
        Err(error) => {
            let _ = child.kill();
            return Err(cannot_start(error));
        }
    };
    let is_late = matches!(hears.recv_timeout(order.limits.time), Err(RecvTimeoutError::Timeout));
    if is_late {
        let _ = child.kill();
    }
    let output = output.join();
    if !matches!(output, Ok(Ok(_))) {
        let _ = child.kill();
    }
    let words = words.join().unwrap_or_default();
    match output {
        _ if is_late => Err(CompileError::Time(order.limits.time)),
        Ok(Ok(output)) => Ok((output, words)),
        Ok(Err(error)) => Err(CompileError::Ended(error.to_string())),
        Err(_) => Err(CompileError::Ended("its answer was not read".to_owned())),
    }
}

/// Returns the code of an answer, if it is of the engine that is to run it.
fn code(engine: &dyn AnyEngine, answer: &[u8]) -> Result<Vec<u8>, CompileError> {
    let split = answer.split_first_chunk::<2>();
    let split = split.and_then(|(length, rest)| rest.split_at_checked(u16::from_le_bytes(*length).into()));
    match split {
        Some((fingerprint, code)) if fingerprint == engine.fingerprint().as_bytes() => Ok(code.to_vec()),
        _ => {
            Err(CompileError::Ended("its engine is another than this one's; is the program still the same?".to_owned()))
        }
    }
}

/// Interprets the error of a child. Where an allocation may fail, the child reports the failure and continues.
fn failed(words: &str, limits: &CompileLimits) -> CompileError {
    if lacks_memory(words) {
        return CompileError::Memory(limits.memory);
    }
    CompileError::Engine(words.to_owned())
}

fn ended(status: ExitStatus, words: &str, limits: &CompileLimits) -> CompileError {
    if status.signal() == Some(SIGXCPU) {
        return CompileError::Time(limits.time);
    }
    if lacks_memory(words) {
        return CompileError::Memory(limits.memory);
    }
    let last = words.lines().rev().map(str::trim).find(|line| !line.is_empty());
    CompileError::Ended(last.map_or_else(|| status.to_string(), |last| format!("{status}: {}", last.escape_debug())))
}

fn lacks_memory(words: &str) -> bool {
    NO_MEMORY.iter().any(|said| words.contains(said))
}

fn cannot_start(error: impl Display) -> CompileError {
    CompileError::Start(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_is_refused_memory_names_the_limit() {
        let limits = CompileLimits::default();
        for refused in ["mmap failed to allocate 0x4000 bytes: Cannot allocate memory (os error 12)", "out of memory"] {
            assert!(matches!(failed(refused, &limits), CompileError::Memory(memory) if memory == limits.memory));
        }
        let invalid = "Invalid input WebAssembly code at offset 12";
        assert!(matches!(failed(invalid, &limits), CompileError::Engine(words) if words == invalid));
    }
}
