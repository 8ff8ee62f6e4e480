//! `limits`: what a VM may use, and what its module may take when it is loaded.

use std::ops::RangeInclusive;
use std::time::Duration;

use portcullis::model::Limits;

use crate::reader::{Key, Read, Section, Type, Value, duration, percent, size};

/// Limits of loading a module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LoadLimits {
    /// Bytes of what it carries for debuggers. What has more is loaded without.
    pub debug_info: u64,
    /// Limits of compiling it.
    pub compile: CompileLimits,
}

/// Limits of compiling a module.
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
    let mapping = value.mapping(&LIMITS)?;
    let default = Limits::default();
    let memory = mapping.or(MEMORY, default.memory, |size| size::between(size, MEMORY.range()));
    let stack = mapping.or(STACK, default.stack, |size| size::between(size, STACK.range()));
    let buffer = mapping.or(BUFFER, default.buffer, |size| size::between(size, BUFFER.range()));
    let shared = mapping.or(SHARED, default.shared, |size| size::between(size, SHARED.range()));
    let buffers = mapping.or(BUFFERS, default.buffers, |size| size::between(size, BUFFERS.range()));
    let count = |key: Key, default: usize| mapping.or(key, default as u64, |number| number.integer(key.range()));
    let table_elements = count(TABLE_ELEMENTS, default.table_elements);
    let callouts = count(CALLOUTS, default.callouts);
    let metrics = count(METRICS, default.metrics);
    let open_files = count(OPEN_FILES, default.open_files);
    let deadline = mapping.or(DEADLINE, default.deadline, duration::positive);
    let start_deadline = mapping.or(START_DEADLINE, default.start_deadline, duration::positive);
    let cpu = mapping.optional(CPU, percent::read);
    let load = LoadLimits::default();
    let debug_info =
        mapping.or(DEBUG_INFO, load.debug_info, |size| Ok(size::between(size, DEBUG_INFO.range())? as u64));
    let compile = mapping.or(COMPILE, load.compile, compile);
    let limits = Limits::default()
        .with_memory(memory?)
        .with_table_elements(table_elements? as usize)
        .with_stack(stack?)
        .with_deadline(deadline?)
        .with_start_deadline(start_deadline?)
        .with_callouts(callouts? as usize)
        .with_metrics(metrics? as usize)
        .with_buffer(buffer?)
        .with_open_files(open_files? as usize)
        .with_cpu(cpu?)
        .with_shared(shared?)
        .with_buffers(buffers?);
    Ok((limits, LoadLimits { debug_info: debug_info?, compile: compile? }))
}

fn compile(value: &Value<'_>) -> Read<CompileLimits> {
    let mapping = value.mapping(&COMPILING)?;
    let default = CompileLimits::default();
    let time = mapping.or(COMPILE_TIME, default.time, duration::positive);
    let memory =
        mapping.or(COMPILE_MEMORY, default.memory, |size| Ok(size::between(size, COMPILE_MEMORY.range())? as u64));
    Ok(CompileLimits { time: time?, memory: memory? })
}

const GIB: u64 = 1 << 30;

// A page of memory to all that 32 bits address.
const MEMORY: Key =
    Key::new("memory", Type::Size(64 << 10, 4 * GIB), "Linear memory of a VM in bytes; beyond it `memory.grow` fails.")
        .default("1GiB");
const TABLE_ELEMENTS: Key = Key::new(
    "table_elements",
    Type::Integer(0, 10_000_000),
    "Elements of all tables of a VM together; beyond them `table.grow` fails.",
)
.default("100000");
// A compiled plugin needs tens of KiB; a worker's thread has this stack and more.
const STACK: Key =
    Key::new("stack", Type::Size(64 << 10, 16 << 20), "The stack of guest code in bytes.").default("512KiB");
const DEADLINE: Key = Key::new("deadline", Type::Positive, "The longest that a callback may run.").default("1s");
const START_DEADLINE: Key = Key::new(
    "start_deadline",
    Type::Positive,
    "The longest that a start function, `proxy_on_vm_start` or `proxy_on_configure` may run.",
)
.default("30s");
const CALLOUTS: Key = Key::new(
    "callouts",
    Type::Integer(0, 1_000_000),
    "HTTP callouts of a VM in flight, gRPC calls and streams, and lookups of names; of each this many.",
)
.default("1024");
const METRICS: Key =
    Key::new("metrics", Type::Integer(0, 1_000_000), "Metrics that each plugin of the VM may define.").default("1000");
const BUFFER: Key =
    Key::new("buffer", Type::Size(1, GIB), "Bytes that a plugin may put into one body buffer.").default("64MiB");
const OPEN_FILES: Key =
    Key::new("open_files", Type::Integer(0, 1024), "Files and directories that a VM may have open.").default("64");
const DEBUG_INFO: Key = Key::new(
    "debug_info",
    Type::Size(0, GIB),
    "Bytes of what a module carries for debuggers; one with more is loaded without, and its traps name no lines.",
)
.default("32MiB");
const COMPILE: Key = Key::new("compile", Type::Section(&COMPILING), "Limits of compiling the module.");
const SHARED: Key = Key::new(
    "shared",
    Type::Size(0, 64 * GIB),
    "Bytes of shared data, queues and names of metrics that are kept for a sandbox, all of its VMs together.",
)
.default("64MiB");
const BUFFERS: Key = Key::new(
    "buffers",
    Type::Size(0, 64 * GIB),
    "Bytes that plugins of a sandbox have put into bodies, local responses, callouts and properties, all of its VMs together.",
)
.default("1GiB");
const CPU: Key = Key::new("cpu", Type::Percent, "The part of a CPU that callbacks of a VM may use in each second.")
    .computed("all of it");

pub(super) static LIMITS: Section = Section::new(
    "vm_limits",
    "vm_config.limits",
    "Limits of a VM, and of loading its module. A plugin that exceeds one fails alone.",
    &[
        MEMORY,
        TABLE_ELEMENTS,
        STACK,
        DEADLINE,
        START_DEADLINE,
        CALLOUTS,
        METRICS,
        BUFFER,
        OPEN_FILES,
        DEBUG_INFO,
        COMPILE,
        SHARED,
        BUFFERS,
        CPU,
    ],
)
.page("memory.md");

/// Bytes that `limits.compile.memory` may be.
pub const COMPILE_MEMORY_RANGE: RangeInclusive<u64> = COMPILE_MEMORY.range();

const COMPILE_TIME: Key = Key::new("time", Type::Positive, "The longest that it may take.").default("60s");
// A compiler needs some tens of MiB for a small plugin.
const COMPILE_MEMORY: Key =
    Key::new("memory", Type::Size(32 << 20, 64 * GIB), "Bytes of memory that it may take.").default("2GiB");

static COMPILING: Section = Section::new(
    "compile_limits",
    "vm_config.limits.compile",
    "Limits of compiling a module: the module decides how much work its compiler has.",
    &[COMPILE_TIME, COMPILE_MEMORY],
);
