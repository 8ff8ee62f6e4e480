//! The gateway's configuration: a YAML file read into plain data.
//!
//! The names are those that Envoy users know, and a Wasm plugin from an Envoy file can be pasted as it is. All mistakes
//! in a file are found in one pass, and each finding names the file, the line, the key and the remedy:
//!
//! ```text
//! gateway.yaml:12:7: listeners[0].plugins[0].vm_config: unknown key "cod"; did you mean "code"?
//! ```
//!
//! Each block has a file with its keys and the code that reads them; the reader itself, and the blocks of plugins, are those of the crate
//! `portcullis-config`. `reference` makes the schema and docs/configuration.md of the descriptions of keys. Names of engines and of
//! capabilities are checked later, by the code that knows them; they carry their [`Origin`] for its findings.

mod address;
mod admin;
mod changed;
mod cluster;
mod cluster_tls;
mod envoy_keys;
mod file;
mod foreign;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod host_match;
mod json;
mod listener;
mod metadata;
mod pattern;
pub mod reference;
mod reload;
mod route;
mod route_action;
mod route_match;
mod service;
mod service_entry;
mod stats;
mod string_match;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
mod timeouts;

pub use address::Endpoint;
#[cfg(test)]
pub(crate) use admin::Reference;
pub use admin::{AdminPath, AdminToken};
pub use cluster::{Cluster, ClusterKind, Endpoints, Protocol, Server};
pub use cluster_tls::{ClientIdentity, Roots, ServerNames, UpstreamTls};
pub use file::{Config, Noted};
pub(crate) use json::{cluster_to_json, route_to_json};
pub use listener::{Listener, TcpProxy, Tls};
pub use pattern::Pattern;
pub use portcullis_config::{
    Allowed, ArgumentRule, Backoff, Code, CompileLimits, ConfigError, Diagnostic, Environment, FailurePolicy,
    LoadLimits, Located, Origin, Plugin, RightsConfig, SnapshotRandomness, VmConfig,
};
pub use reload::ReloadLimits;
pub use route::{Route, RouteOrder};
pub use route_action::{DirectResponse, Forward, Redirect, RedirectPath, RouteAction};
pub use route_match::{HeaderMatch, HeaderRule, HostMatch, PathMatch, RouteMatch};
pub(crate) use route_match::{Mismatch, joined};
pub use service::Service;
pub use stats::{StatsTag, TagRegex, TagValue};
pub use timeouts::{Keepalive, Timeouts};
