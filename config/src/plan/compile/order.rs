//! The protocol between the processes.

use std::time::Duration;

use portcullis::engine::EngineSettings;
use serde_json::{Value, json};

use crate::CompileLimits;

/// The argument that the child is started with.
pub const COMMAND: &str = "compile-module";

/// The order that precedes the module: one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) engine: String,
    pub(super) stack: usize,
    pub(super) limits: CompileLimits,
    pub(super) threads: usize,
    /// True if the child runs at a low priority.
    pub(super) gives_way: bool,
}

impl Order {
    pub(super) fn line(&self) -> String {
        let Self { engine, stack, limits, threads, gives_way } = self;
        let (milliseconds, memory) = (u64::try_from(limits.time.as_millis()).unwrap_or(u64::MAX), limits.memory);
        let order = json!({
            "engine": engine, "stack": stack, "milliseconds": milliseconds, "memory": memory, "threads": threads,
            "gives_way": gives_way,
        });
        format!("{order}\n")
    }

    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let order: Value = serde_json::from_slice(line).ok()?;
        let number = |key| order.get(key)?.as_u64();
        let time = Duration::from_millis(number("milliseconds")?);
        Some(Self {
            engine: order.get("engine")?.as_str()?.to_owned(),
            stack: usize::try_from(number("stack")?).ok()?,
            limits: CompileLimits { time, memory: number("memory")? },
            threads: usize::try_from(number("threads")?).ok()?,
            gives_way: order.get("gives_way")?.as_bool()?,
        })
    }

    /// Returns the settings of a child's engine, which has no guests and no observer.
    pub(super) fn settings(&self) -> EngineSettings {
        EngineSettings::default().with_stack(self.stack)
    }
}

/// The first byte of a child's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// The length of the engine's fingerprint in two bytes, that, and machine code.
    Code = b'c',
    /// The module is no plugin.
    Refused = b'r',
    /// The engine's words.
    Error = b'e',
}

impl Kind {
    pub(super) fn of(byte: u8) -> Option<Self> {
        [Self::Code, Self::Refused, Self::Error].into_iter().find(|kind| *kind as u8 == byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_reads_as_it_was_written() {
        let order = Order {
            engine: "wasmtime".to_owned(),
            stack: 512 << 10,
            limits: CompileLimits { time: Duration::from_millis(1500), memory: 1 << 31 },
            threads: 3,
            gives_way: true,
        };
        assert_eq!(Order::read(order.line().trim_end().as_bytes()), Some(order));
        assert_eq!(Order::read(b"{}"), None);
        assert_eq!(Order::read(b""), None);
    }
}
