//! `limits`: what a VM may use, and what its module may take when it is loaded.

use std::ops::RangeInclusive;
use std::time::Duration;

use portcullis::core::Limits;

use super::document::Read;
use super::duration;
use super::percent;
use super::size;
use super::value::Value;

/// What a module may take when it is loaded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LoadLimits {
    /// Bytes of what it carries for debuggers. What has more is loaded without.
    pub debug_info: u64,
    /// What compiling it may take.
    pub compile: CompileLimits,
}

/// What compiling a module may take.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CompileLimits {
    /// How long.
    pub time: Duration,
    /// Bytes of memory.
    pub memory: u64,
}

impl Default for LoadLimits {
    fn default() -> Self {
        Self { debug_info: 32 << 20, compile: CompileLimits::default() }
    }
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { time: Duration::from_secs(60), memory: 2 << 30 }
    }
}

/// Reads `limits`; what is not there has its default.
pub(super) fn read(value: &Value<'_>) -> Read<(Limits, LoadLimits)> {
    let mapping = value.mapping(KEYS)?;
    let default = Limits::default();
    let memory = mapping.or("memory", default.memory, |memory| size::between(memory, MEMORY));
    let stack = mapping.or("stack", default.stack, |stack| size::between(stack, STACK));
    let buffer = mapping.or("buffer", default.buffer, |buffer| size::between(buffer, 1..=GIB));
    let shared = mapping.or("shared", default.shared, |shared| size::between(shared, 0..=64 * GIB));
    let buffers = mapping.or("buffers", default.buffers, |buffers| size::between(buffers, 0..=64 * GIB));
    let count = |key, default: usize, most| mapping.or(key, default as u64, |number| number.integer(0..=most));
    let table_elements = count("table_elements", default.table_elements, 10_000_000);
    let callouts = count("callouts", default.callouts, 1_000_000);
    let metrics = count("metrics", default.metrics, 1_000_000);
    let open_files = count("open_files", default.open_files, 1024);
    let deadline = mapping.or("deadline", default.deadline, duration::positive);
    let start_deadline = mapping.or("start_deadline", default.start_deadline, duration::positive);
    let cpu = mapping.optional("cpu", percent::read);
    let load = LoadLimits::default();
    let debug_info = mapping.or("debug_info", load.debug_info, |size| Ok(size::between(size, 0..=GIB)? as u64));
    let compile = mapping.or("compile", load.compile, compile);
    let limits = Limits {
        memory: memory?,
        table_elements: table_elements? as usize,
        stack: stack?,
        deadline: deadline?,
        start_deadline: start_deadline?,
        callouts: callouts? as usize,
        metrics: metrics? as usize,
        buffer: buffer?,
        open_files: open_files? as usize,
        cpu: cpu?,
        shared: shared?,
        buffers: buffers?,
    };
    Ok((limits, LoadLimits { debug_info: debug_info?, compile: compile? }))
}

fn compile(value: &Value<'_>) -> Read<CompileLimits> {
    let mapping = value.mapping(&["time", "memory"])?;
    let default = CompileLimits::default();
    let time = mapping.or("time", default.time, duration::positive);
    let memory = mapping.or("memory", default.memory, |size| Ok(size::between(size, COMPILE_MEMORY)? as u64));
    Ok(CompileLimits { time: time?, memory: memory? })
}

const GIB: u64 = 1 << 30;

/// A page of memory to all that 32 bits address.
const MEMORY: RangeInclusive<u64> = (64 << 10)..=(4 * GIB);

/// A compiled plugin needs tens of KiB; a worker's thread has this stack and more.
const STACK: RangeInclusive<u64> = (64 << 10)..=(16 << 20);

/// A compiler needs some tens of MiB for a small plugin.
pub(crate) const COMPILE_MEMORY: RangeInclusive<u64> = (32 << 20)..=(64 * GIB);

const KEYS: &[&str] = &[
    "memory",
    "table_elements",
    "stack",
    "deadline",
    "start_deadline",
    "callouts",
    "metrics",
    "buffer",
    "open_files",
    "debug_info",
    "compile",
    "shared",
    "buffers",
    "cpu",
];
