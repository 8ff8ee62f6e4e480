//! What a plugin may do.

mod presets;
mod set;

pub use presets::Preset;
pub use set::{Capabilities, UnknownCapability};
