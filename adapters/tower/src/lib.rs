#![doc = include_str!("../README.md")]
#![warn(missing_debug_implementations)]

mod body;
mod connection;
mod cut;
pub mod exchange;
mod future;
mod http_service;
mod inner;
mod layer;
mod quiet;
mod target;
mod upgrade;
mod upstream_info;
mod upstreams;
mod workers;

pub use body::ResponseBody;
pub use connection::ConnectionInfo;
pub use cut::Cut;
pub use future::ResponseFuture;
pub use http_service::{HttpBody, HttpService};
pub use layer::{PluginLayer, PluginService};
pub use portcullis_driver::body::QueueBody;
pub use portcullis_driver::{ManyThreads, OneThread, Plugins, Shard};
pub use upstream_info::UpstreamInfo;
pub use upstreams::{ServiceUpstreams, UpstreamBody};
pub use workers::{StartError, Workers};

/// The error of a message's body, or of a service.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
