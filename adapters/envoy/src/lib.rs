#![doc = include_str!("../README.md")]

mod abi;
mod attributes;
mod call;
mod callouts;
mod envoy;
mod handle;
mod hooks;
mod host;
mod http;
mod metrics;
mod own_log;
mod process;
mod sendable;
mod tcp;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod testing;
mod tracing_log;
