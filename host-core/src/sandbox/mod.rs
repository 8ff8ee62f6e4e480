//! Who shares a VM.

mod difference;
mod key;
mod schedule;

pub use difference::Difference;
pub use key::{SandboxKey, SandboxSpec};
pub use schedule::{Conflict, Placed, Placement, Sharing, schedule};
