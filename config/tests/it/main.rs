//! Files of plugins and filters of Envoy: what is read, what is found wrong, and what runs.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod envoy;
mod file;
mod folder;
mod load;
mod requested;
mod secrets;
#[cfg(target_os = "linux")]
mod threads;
mod verify;

/// The smallest VM.
const VM: &str = "vm_config: {code: {local: {inline_string: (module)}}}";
