#![doc = include_str!("../README.md")]

mod actions;
mod arena;
mod background;
mod chain;
mod dns;
mod effect;
mod flow;
mod grpc;
mod id;
mod reply;
mod sandboxes;
mod service;
mod sizes;
mod stage;
mod stream;
mod tcp;
mod tier;
mod vms;
mod worker;

pub use chain::{Backoff, Chain, Isolation, LoadError, Module, PluginSpec, Resting, Snapshot};
pub use effect::{Effect, StreamEffect};
pub use id::{CalloutId, ConnectionId, StreamId};
pub use portcullis_core as core;
pub use reply::local_response;
pub use sandboxes::{Health, LiveVms, PluginState};
pub use tcp::ConnectionEffect;
pub use tier::Tier;
pub use worker::Worker;
