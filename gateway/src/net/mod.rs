//! Sockets and HTTP transport for one worker thread: everything between the operating system and the filter chain.
//!
//! A worker is one OS thread with a current-thread runtime and a `LocalSet`. These types are not `Send`: they never leave
//! their thread, so the request path takes no lock of ours.
//!
//! | module | what it holds |
//! |---|---|
//! | [`client_tls`] | the authorities that upstreams' certificates are checked by, and the gateway's certificate for them |
//! | [`exec`] | the hyper executor that spawns onto the worker's own thread |
//! | [`listen`] | listening sockets shared between workers, and accepting |
//! | [`passed`] | listening sockets that the process was started with |
//! | `sockets` | which worker has which sockets of a listener |
//! | [`tls`] | the server's certificate and protocol settings |
//! | [`io`] | one accepted connection, plain or TLS, with its addresses and TLS properties |
//! | [`quiet`] | log lines at a bounded rate |
//! | `transport` | the transports of TCP streams, plain or TLS |

pub mod client_tls;
pub mod exec;
pub mod io;
pub mod listen;
pub mod passed;
pub mod quiet;
pub(crate) mod sockets;
pub mod tls;
pub(crate) mod transport;
