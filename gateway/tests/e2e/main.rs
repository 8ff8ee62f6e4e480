//! The gateway from end to end: real sockets, clients, upstreams and plugins.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

mod admin;
mod admission;
mod bodies;
mod by_stream;
mod callouts;
mod chains;
mod cli;
mod counter;
mod disconnects;
mod dns;
mod failures;
mod files;
mod grpc;
mod harness;
mod http1;
mod http2;
mod inspect;
mod languages;
mod learn;
mod lifecycle;
mod limits;
mod local_responses;
mod log;
mod policies;
mod presets;
mod profile;
mod properties;
mod quickstart;
mod record;
mod rewrite;
mod rights;
mod routing;
mod shared;
mod tcp;
mod tier;
mod timeouts;
mod trailers;
