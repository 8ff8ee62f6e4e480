//! A layer of plugins, driven as a server would, without sockets; [`axum`] has one end to end.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod axum;
mod bodies;
mod common;
mod connection;
mod ends;
mod examples;
mod failures;
mod flow;
mod lengths;
mod local;
mod threads;
mod tunnels;
mod upstreams;
