//! The core without an engine: guests are Rust closures.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod buffers;
mod capabilities;
mod common;
mod expected;
mod files;
mod foreign;
mod grpc;
mod headers;
mod http_call;
mod lifecycle;
mod log_time;
mod memory;
mod metadata;
mod metrics;
mod phases;
mod profile;
mod properties;
mod rules;
mod shared;
mod streams;
mod table;
mod transcript;
mod wasi;
