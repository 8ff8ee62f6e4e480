//! Streams in a chain.

pub(crate) mod http;
pub(crate) mod tcp;
