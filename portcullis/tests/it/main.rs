//! Tests of engines, files and formats together, on every engine that is built in.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod code_cache;
mod common;
mod files;
mod foreign;
mod moves;
mod snapshot;
mod transcript;
