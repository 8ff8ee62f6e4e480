//! Compiling in a process of its own, because a thread can be neither ended nor bounded.
//!
//! A guest decides how much work its compiler has: 60 kB of nested loops take half a minute, a function of some megabytes
//! more than a GiB. So the command `portcullis` starts itself again, hands the module over by a pipe, and takes machine code
//! from another. The child bounds itself by `RLIMIT_AS` and `RLIMIT_CPU` before it has seen a byte of the module, and the
//! parent ends it when the time has passed. Memory that it took goes with it.
//!
//! | the child | the parent |
//! |---|---|
//! | exits 0, its output begins with `code` | restores the code |
//! | exits 0, its output begins with `refused` | judges the module itself, and says why |
//! | exits 0, its output begins with `error` | fails with the engine's words |
//! | runs longer than `limits.compile.time`, or gets SIGXCPU | ends it and fails with the limit |
//! | says that it cannot allocate, and aborts | fails with the limit |
//! | anything else | fails with how it ended |

mod child;
mod parent;

use std::time::Duration;

use portcullis::core::EngineSettings;
use serde_json::{Value, json};

use crate::config::CompileLimits;
pub use child::run;
pub(crate) use parent::Process;

/// The hidden command that the child is started with.
pub const COMMAND: &str = "compile-module";

/// Why a module was not compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CompileError {
    #[error("compiling takes longer than {0:?} (limits.compile.time)")]
    Time(Duration),
    #[error("compiling takes more than {0} bytes of memory (limits.compile.memory)")]
    Memory(u64),
    /// In the engine's words.
    #[error("{0}")]
    Engine(String),
    #[error("the process that compiles cannot be started: {0}")]
    Start(String),
    #[error("the process that compiles ended: {0}")]
    Ended(String),
}

impl CompileError {
    /// The remedy where an option of a command sets the limits.
    pub(crate) fn option_help(&self) -> &'static str {
        match self {
            Self::Time(_) => "raise --compile-time if you trust the plugin, or build it with smaller functions",
            Self::Memory(_) => "raise --compile-memory if you trust the plugin, or build it with smaller functions",
            _ => self.help(),
        }
    }

    /// What an operator can do.
    pub(crate) fn help(&self) -> &'static str {
        match self {
            Self::Time(_) | Self::Memory(_) => {
                "raise the limit if you trust the plugin, build it with smaller functions, or run it on wasmi, which does not compile"
            }
            Self::Engine(_) => "build the module again, or run it on another engine",
            Self::Start(_) => "let this user start processes",
            Self::Ended(_) => "build the module again, or run it on another engine",
        }
    }
}

/// What the child is told before it gets the module: one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Order {
    engine: String,
    stack: usize,
    limits: CompileLimits,
    threads: usize,
    /// It is to run when nobody else wants to.
    gives_way: bool,
}

impl Order {
    fn line(&self) -> String {
        let Self { engine, stack, limits, threads, gives_way } = self;
        let (milliseconds, memory) = (u64::try_from(limits.time.as_millis()).unwrap_or(u64::MAX), limits.memory);
        let order = json!({
            "engine": engine, "stack": stack, "milliseconds": milliseconds, "memory": memory, "threads": threads,
            "gives_way": gives_way,
        });
        format!("{order}\n")
    }

    fn read(line: &[u8]) -> Option<Self> {
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

    /// The engine of a child has no guests, so nothing is set aside for them, and nobody looks on.
    fn settings(&self) -> EngineSettings {
        EngineSettings { stack: self.stack, ..EngineSettings::default() }
    }
}

/// What the output of a child begins with, one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// The length of the engine's fingerprint in two bytes, that, and machine code.
    Code = b'c',
    /// The module is no plugin.
    Refused = b'r',
    /// The engine's words.
    Error = b'e',
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
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
