//! A Pingora proxy with plugins, between a client and an upstream over real sockets.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bodies;
mod callouts;
mod failures;
mod headers;
mod hooks;
mod http1;
mod http2;
mod lengths;
mod pauses;
mod plugins;
mod proxy;
mod upgrades;
mod upstream;
