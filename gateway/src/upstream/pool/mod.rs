//! Connections to upstream clusters, one pool for each worker.
//!
//! Built directly on hyper's connections and not on hyper-util's client, because a proxy sends the authority that the
//! *client* asked for while it connects to the *endpoint* that the configuration names; the client would pick its
//! connection by the authority.

mod account;
mod body;
mod cluster;
mod config;
mod endpoint;
mod error;
mod failures;
mod framing;
mod h1;
mod h2;
mod link;
mod links;
mod request;
mod server;
mod source;
mod stream;
mod tls;
mod tls_fault;

pub use self::account::{Account, Share};
pub use self::body::UpstreamBody;
pub use self::cluster::Cluster;
pub use self::config::{ClusterConfig, TlsConfig, UpstreamProtocol};
pub use self::error::UpstreamError;
pub(crate) use self::request::NeedsHttp2;
#[cfg(any(test, fuzzing))]
pub(crate) use self::request::prepare;
pub use self::server::{Addresses, Dialed, Reached};
pub use self::stream::UpstreamStream;
pub use self::tls::PeerTls;
pub(crate) use self::tls::can_be_named;
pub use self::tls_fault::TlsFault;
