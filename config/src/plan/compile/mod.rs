//! Compiling in a process of its own, because a thread can be neither ended nor bounded.
//!
//! A guest decides how much work its compiler has: 60 kB of nested loops take half a minute, a function of some megabytes
//! more than a GiB. So the command `portcullis` starts itself again, sends the module by a pipe, and takes machine code
//! from another. The child bounds itself by `RLIMIT_AS` and `RLIMIT_CPU` before it has seen a byte of the module, and the
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

mod child;
mod error;
mod order;
mod parent;

pub use child::run;
pub use error::CompileError;
pub use parent::CompilerProcess;
