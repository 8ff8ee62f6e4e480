#![doc = include_str!("../README.md")]

mod arena;
mod background;
mod callouts;
#[cfg(feature = "http")]
pub mod convert;
mod effect;
mod id;
mod inner;
mod spec;
mod stream;
mod vms;
mod worker;

pub use effect::{ConnectionEffect, Effect, StreamEffect};
pub use id::{AnyStreamId, CalloutId, ConnectionId, StreamId};
pub use spec::{Backoff, Chain, ChainError, Isolation, LoadError, Module, PluginSpec, Resting, Snapshot, Tier};
pub use stream::http::local_response;
pub use vms::{Health, LiveVms, PluginState};
pub use worker::Worker;
