//! The settings of a listener that requests need.

use portcullis::Chain;

use crate::config::{Route, TcpProxy, Timeouts};
use crate::serve::seats::Seats;

/// A listener as requests meet it.
pub(crate) struct ListenerState {
    pub(crate) buffer_limit: usize,
    /// True if its clients are no proxies, so that their `x-request-id` and `x-forwarded-proto` are replaced.
    pub(crate) use_remote_address: bool,
    /// Time limits for its clients.
    pub(crate) timeouts: Timeouts,
    pub(crate) chain: Chain,
    pub(crate) routes: Vec<(Route, Option<Chain>)>,
    pub(crate) requests: [metrics::Counter; 5],
    /// The destination of TCP streams, if it takes these and no requests.
    pub(crate) tcp_proxy: Option<TcpProxy>,
    pub(crate) tcp: TcpMetrics,
    /// The places of its connections, which all workers share.
    pub(crate) seats: Seats,
}

/// Metrics of TCP streams.
pub(crate) struct TcpMetrics {
    pub(crate) opened: metrics::Counter,
    pub(crate) active: metrics::Gauge,
}
