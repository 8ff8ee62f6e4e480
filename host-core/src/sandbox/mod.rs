//! Who shares a VM.

mod key;

pub use key::{SandboxKey, SandboxSpec};
