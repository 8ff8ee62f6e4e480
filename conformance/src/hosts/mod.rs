//! The hosts that the kit brings along.

mod engine;

pub use engine::{EngineHost, Probes};
