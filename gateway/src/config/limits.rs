//! `limits`: what a VM may use.

use std::ops::RangeInclusive;

use portcullis::core::Limits;

use super::document::Read;
use super::duration;
use super::size;
use super::value::Value;

/// Reads `limits`; what is not there has its default.
pub(super) fn read(value: &Value<'_>) -> Read<Limits> {
    let mapping = value.mapping(KEYS)?;
    let default = Limits::default();
    let memory = mapping.or("memory", default.memory, |memory| size::between(memory, MEMORY));
    let stack = mapping.or("stack", default.stack, |stack| size::between(stack, STACK));
    let buffer = mapping.or("buffer", default.buffer, |buffer| size::between(buffer, 1..=GIB));
    let count = |key, default: usize, most| mapping.or(key, default as u64, |number| number.integer(0..=most));
    let table_elements = count("table_elements", default.table_elements, 10_000_000);
    let callouts = count("callouts", default.callouts, 1_000_000);
    let metrics = count("metrics", default.metrics, 1_000_000);
    let open_files = count("open_files", default.open_files, 1024);
    let deadline = mapping.or("deadline", default.deadline, duration::positive);
    let start_deadline = mapping.or("start_deadline", default.start_deadline, duration::positive);
    Ok(Limits {
        memory: memory?,
        table_elements: table_elements? as usize,
        stack: stack?,
        deadline: deadline?,
        start_deadline: start_deadline?,
        callouts: callouts? as usize,
        metrics: metrics? as usize,
        buffer: buffer?,
        open_files: open_files? as usize,
    })
}

const GIB: u64 = 1 << 30;

/// A page of memory to all that 32 bits address.
const MEMORY: RangeInclusive<u64> = (64 << 10)..=(4 * GIB);

/// A compiled plugin needs tens of KiB; a worker's thread has this stack and more.
const STACK: RangeInclusive<u64> = (64 << 10)..=(16 << 20);

const KEYS: &[&str] =
    &["memory", "table_elements", "stack", "deadline", "start_deadline", "callouts", "metrics", "buffer", "open_files"];
