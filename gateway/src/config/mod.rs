//! The gateway's configuration: a YAML file read into plain data.
//!
//! The names are those that Envoy users know, and a Wasm plugin from an Envoy file can be pasted as it is. All mistakes
//! in a file are found in one pass, and each finding names the file, the line, the key and the remedy:
//!
//! ```text
//! gateway.yaml:12:7: listeners[0].plugins[0].vm_config: unknown key "cod"; did you mean "code"?
//! ```
//!
//! `yaml` is the tree with places, `document` collects findings, `value` and `mapping` read typed data, `key` describes
//! keys, and each block of the configuration has a file with its keys and the code that reads them. `reference` makes the
//! schema and docs/configuration.md of the same descriptions. Names of engines and of capabilities are checked later, by the
//! code that knows them; they carry their [`Origin`] for its findings.

mod address;
mod admin;
mod any;
mod base64;
mod changed;
mod cluster;
mod depth;
mod document;
mod duration;
mod environment;
mod envoy_keys;
mod error;
mod file;
mod files;
mod filter_entry;
mod foreign;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod host_match;
mod indentation;
mod json;
mod key;
mod library;
mod limits;
mod lines;
mod listener;
mod mapping;
mod metadata;
mod nearest;
mod pattern;
mod percent;
mod plugin;
mod preopen;
pub mod reference;
mod rights;
mod route;
mod route_action;
mod route_match;
mod service;
mod service_entry;
mod settings;
mod size;
mod stats;
mod string_match;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
mod text;
mod timeouts;
mod unique;
mod value;
mod vm;
mod yaml;

pub use address::Endpoint;
pub use admin::AdminPath;
pub use cluster::{Cluster, ClusterKind, Endpoints, Protocol, Server};
pub(crate) use duration::parse_duration;
pub use environment::Environment;
pub use error::{ConfigError, Diagnostic, Located, Origin};
pub use file::Config;
pub(crate) use limits::COMPILE_MEMORY_RANGE;
pub use limits::{CompileLimits, LoadLimits};
pub use listener::{Listener, TcpProxy, Tls};
pub(crate) use nearest::suggest_several;
pub use pattern::Pattern;
pub use plugin::{Backoff, FailurePolicy, Plugin};
pub use rights::{Allowed, ArgumentRule, RightsConfig};
pub use route::{Route, RouteOrder};
pub use route_action::{DirectResponse, Forward, Redirect, RedirectPath, RouteAction};
pub use route_match::{HeaderMatch, HeaderRule, HostMatch, PathMatch, RouteMatch};
pub use service::Service;
pub(crate) use size::parse_size;
pub use stats::{StatsTag, TagRegex, TagValue};
pub use timeouts::{Keepalive, Timeouts};
pub use vm::{Code, SnapshotRandomness, VmConfig};
