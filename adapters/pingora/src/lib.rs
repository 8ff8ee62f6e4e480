#![doc = include_str!("../README.md")]
#![warn(missing_debug_implementations)]

mod attributes;
mod context;
mod heads;
mod held;
mod limits;
mod measured;
mod options;
mod plugged;
mod request;
mod response;
mod route_info;
mod service;
mod start;
mod stream;
mod upstreams;

pub use context::Context;
pub use limits::{Limit, Warning, limits_of};
pub use options::{BodyMode, Options};
pub use plugged::Plugged;
pub use route_info::RouteInfo;
pub use service::PluginService;
pub use start::{StartError, start};
pub use upstreams::{CalloutBody, Cluster, Clusters};
