//! Fuzz targets. They stand here because they reach what is private; without the cfg `fuzzing` there is no such module.
#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a panic is a finding")]

mod bytecode;
mod hostcalls;
mod input;
mod messages;
mod names;
mod properties;

pub use bytecode::bytecode;
pub use hostcalls::{hostcalls, hostcalls_with};
pub use input::Input;
pub use messages::messages;
pub use names::names;
pub use properties::properties;
