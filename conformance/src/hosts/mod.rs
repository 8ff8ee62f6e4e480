//! The hosts that the kit brings along.

mod engine;
mod http;

pub use self::http::{HttpHost, upstream};
pub use engine::{EngineHost, Probes};
