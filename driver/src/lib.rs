#![doc = include_str!("../README.md")]

pub mod body;
mod callout;
mod dns;
mod driver;
mod effects;
#[cfg(fuzzing)]
pub mod fuzzing;
mod grpc;
mod in_flight;
mod plugins;
mod tasks;
mod threads;
mod turns;
mod upstreams;

pub use dns::{RESOLVE_LIMIT, SystemResolver};
pub use driver::{Builder, Driver, QueueWake};
pub use plugins::{NoShards, Plugins, Shard};
pub use threads::{ManyThreads, OneThread, Threads};
pub use upstreams::{CalledFor, SendError, Upstreams, before_headers};
