//! Compiling in a process of its own, because a thread can be neither ended nor bounded.
//!
//! A guest decides how much work its compiler has: 60 kB of nested loops take half a minute, a function of some megabytes
//! more than a GiB. So a program is started for each module (the command `portcullis` starts itself), gets the module by a pipe, and
//! writes machine code to another. The child bounds itself by `RLIMIT_AS` and `RLIMIT_CPU` before it has seen a byte of the module, and the
//! parent ends it when the time has passed. Memory that it took goes with it.
//!
//! | the child | the parent |
//! |---|---|
//! | exits 0, its output begins with `code` | restores the code |
//! | exits 0, its output begins with `refused` | validates the module itself, and reports why |
//! | exits 0, its output begins with `error` | fails with the engine's words |
//! | runs longer than `limits.compile.time`, or gets SIGXCPU | ends it and fails with the limit |
//! | reports that it cannot allocate, and aborts | fails with the limit |
//! | anything else | fails with how it ended |
//!
//! A program of an embedder can be its own compiler:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use portcullis_config::LoadOptions;
//! use portcullis_config::plan::compile;
//!
//! fn main() -> ExitCode {
//!     if std::env::args().nth(1).as_deref() == Some(compile::COMMAND) {
//!         return compile::run();
//!     }
//!     let options = LoadOptions::default().with_compiler("/proc/self/exe");
//!     // ... load plugins with these options ...
//!     # drop(options);
//!     ExitCode::SUCCESS
//! }
//! ```

mod child;
mod error;
mod order;
mod parent;

pub use child::run;
pub use error::CompileError;
pub use order::COMMAND;
pub use parent::CompilerProcess;
