//! Changes of plugins to where a TCP stream goes and how long it may be idle (host: filter state `envoy.tcp_proxy.*`).

use std::time::Duration;

/// The choices of a TCP stream's plugins in place of what is configured. An embedder that obeys it puts it into
/// [`StreamInfo::steering`](crate::model::StreamInfo::steering); without it, plugins that try to steer are told that they cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Steering {
    /// The cluster. There may be none of that name; then the stream goes nowhere.
    pub cluster: Option<String>,
    /// How long the stream may be without a byte either way; zero ends it at once.
    pub idle_timeout: Option<Duration>,
    /// The embedder has looked at `cluster`: it is not changed any more.
    pub is_settled: bool,
}

/// One thing to steer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Steer<'a> {
    /// Sends the stream to the cluster of this name.
    Cluster(&'a str),
    /// Limits how long the stream may be idle; zero ends it at once.
    IdleTimeout(Duration),
    /// Asks for what is so anyway.
    Nothing,
}
