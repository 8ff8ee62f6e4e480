//! Chains of plugins that are Rust closures.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod absence;
mod any_chain;
mod background;
mod body;
mod budget;
mod callouts;
mod common;
#[cfg(feature = "http")]
mod convert;
mod decisions;
mod end_pause;
mod failure;
mod gate_model;
mod headers;
mod health;
mod kept_data;
mod lifecycle;
mod local_reply;
mod parts;
mod per_stream;
mod places;
mod recycle;
mod reload;
mod response_alone;
mod resume;
mod sizes;
mod stale_ids;
mod tcp;
mod ticks;
mod tier;
mod trailers;
mod unload;
