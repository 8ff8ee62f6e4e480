//! The engine wasmer.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod engine;
