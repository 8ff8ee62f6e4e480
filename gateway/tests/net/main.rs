//! The transport over real sockets: pooling, retrying, trailers and TLS.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod failing;
mod harness;
mod messages;
mod pooling;
mod tls;
