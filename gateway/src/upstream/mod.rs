//! Upstreams of requests, callouts and TCP streams.
//!
//! | module | what it holds |
//! |---|---|
//! | `clusters` | the upstreams of a worker, as its driver sees them |
//! | `connector` | one upstream of a worker: a cluster's servers, or the echo |
//! | [`pool`] | connections to the servers of a cluster |
//! | [`echo`] | a built-in upstream that answers with what it was sent |

pub(crate) mod clusters;
pub(crate) mod connector;
pub mod echo;
pub mod pool;
