//! The blocks of a configuration that plugins have, for programs whose configuration has more than plugins: [`Section`]s with their keys,
//! and the code that reads them.
//!
//! [`Section`]: crate::reader::Section

pub mod any;
pub(crate) mod environment;
pub mod filter_entry;
pub mod library;
pub(crate) mod limits;
pub mod plugin;
mod preopen;
mod recycle;
pub(crate) mod rights;
pub(crate) mod secrets;
pub mod settings;
pub(crate) mod verify;
pub(crate) mod vm;

pub use limits::COMPILE_MEMORY_RANGE;
