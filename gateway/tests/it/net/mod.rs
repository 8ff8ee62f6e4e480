//! The transport over real sockets: pooling, retrying, trailers and TLS.

mod failing;
mod harness;
mod messages;
mod pooling;
mod tls;
