//! What a plugin may do.

mod set;

pub use set::{Capabilities, UnknownCapability};
