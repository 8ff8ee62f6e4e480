//! Sockets and HTTP transport for one worker thread: everything between the operating system and the filter chain.
//!
//! A worker is one OS thread with a current-thread runtime and a `LocalSet`. Nothing here is `Send`, because nothing
//! ever leaves its thread, and so nothing on the request path takes a lock of ours.
//!
//! | module | what it holds |
//! |---|---|
//! | [`exec`] | the hyper executor that spawns onto the worker's own thread |
//! | [`listen`] | listening sockets shared between workers, and accepting |
//! | [`tls`] | the server's certificate and protocol settings |
//! | [`io`] | one accepted connection, plain or TLS, and what is known about it |
//! | [`quiet`] | log lines that come once in a while |
//! | `transport` | what bytes of a TCP stream go through |

pub mod exec;
pub mod io;
pub mod listen;
pub mod quiet;
pub mod tls;
pub(crate) mod transport;
