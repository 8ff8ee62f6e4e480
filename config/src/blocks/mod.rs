//! The blocks of a configuration that plugins have, for programs whose configuration has more than plugins: [`Section`]s with their keys,
//! and the code that reads them.
//!
//! [`Section`]: crate::reader::Section

pub mod any;
mod environment;
pub mod filter_entry;
pub mod library;
mod limits;
pub mod plugin;
mod preopen;
mod rights;
pub mod settings;
mod vm;

pub use environment::Environment;
pub use limits::{COMPILE_MEMORY_RANGE, CompileLimits, LoadLimits};
pub use rights::{Allowed, ArgumentRule, RightsConfig};
pub use vm::{Code, SnapshotRandomness, VmConfig};
