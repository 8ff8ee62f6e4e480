//! A chain of Proxy-Wasm plugins over HTTP and TCP streams: events in, effects out, no IO.
//!
//! A [`Worker`] owns the VMs of one thread and the streams that pass through them. Whoever drives
//! it (a proxy, a test) feeds it what arrives and carries out what it answers:
//!
//! 1. [`Worker::load`] starts the VMs of a chain; [`Worker::open`] begins a stream over it.
//! 2. Feed each direction in order: [`Worker::headers`], [`Worker::body`] (while
//!    [`Worker::wants_body`]), [`Worker::trailers`].
//! 3. After each event take [`Worker::stream_effect`] until there is none, then [`Worker::effect`]
//!    until there is none: callouts to make, and other streams that have effects now.
//! 4. Tell [`Worker::callout_done`] how a callout ended and [`Worker::grpc_event`] what comes of a gRPC
//!    callout, and call [`Worker::tick`] at [`Worker::next_tick`], with IO polled before each call.
//! 5. TCP streams go the same way with [`Worker::connect`], [`Worker::data`], [`Worker::connection_closed`],
//!    [`Worker::connection_effect`] and [`Worker::finish_connection`].
//! 6. When a stream is over, in whatever way, call [`Worker::finish`] once; plugins log then.

mod actions;
mod background;
mod chain;
mod dns;
mod effect;
mod flow;
mod grpc;
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
pub use effect::{CalloutId, Effect, StreamEffect, StreamId};
pub use portcullis_core as core;
pub use reply::local_response;
pub use sandboxes::{Health, LiveVms, PluginState};
pub use tcp::{ConnectionEffect, ConnectionId};
pub use tier::Tier;
pub use worker::Worker;
