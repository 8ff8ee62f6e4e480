//! The settings of a listener that requests need.

use std::rc::Rc;
use std::sync::Arc;

use portcullis::Chain;
use rustls::ServerConfig;

use crate::config::{Route, TcpProxy, Timeouts};
use crate::plan::planned::PlannedListener;
use crate::serve::generation::Member;
use crate::serve::seats::Seats;
use crate::serve::worker::common::Common;
use crate::upstream::clusters::Table;

/// A listener of one generation as requests meet it.
pub(crate) struct ListenerState {
    pub(crate) generation: Rc<Common>,
    pub(crate) buffer_limit: usize,
    /// True if its clients are no proxies, so that their `x-request-id` and `x-forwarded-proto` are replaced.
    pub(crate) use_remote_address: bool,
    /// Time limits for its clients.
    pub(crate) timeouts: Timeouts,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) chain: Chain,
    pub(crate) routes: Vec<(Route, Option<Chain>)>,
    pub(crate) requests: [metrics::Counter; 5],
    /// The destination of TCP streams, if it takes these and no requests.
    pub(crate) tcp_proxy: Option<TcpProxy>,
    pub(crate) tcp: TcpMetrics,
    /// The places of its connections, which all workers share.
    pub(crate) seats: Seats,
}

/// The chains of a listener: its own, and those of its routes that have some.
pub(crate) type ListenerChains = (Chain, Vec<Option<Chain>>);

/// Metrics of TCP streams.
pub(crate) struct TcpMetrics {
    pub(crate) opened: metrics::Counter,
    pub(crate) active: metrics::Gauge,
}

impl ListenerState {
    /// Makes the state of a listener whose plugins run.
    pub(super) fn new(
        planned: &PlannedListener,
        (chain, of_routes): ListenerChains,
        seats: Seats,
        generation: Rc<Common>,
    ) -> Self {
        let name = &planned.config.name;
        let requests = ["1xx", "2xx", "3xx", "4xx", "5xx"]
            .map(|class| metrics::counter!("portcullis_requests_total", "listener" => name.clone(), "class" => class));
        let tcp = TcpMetrics {
            opened: metrics::counter!("portcullis_tcp_connections_total", "listener" => name.clone()),
            active: metrics::gauge!("portcullis_tcp_connections_active", "listener" => name.clone()),
        };
        Self {
            generation,
            buffer_limit: planned.config.buffer_limit,
            use_remote_address: planned.config.use_remote_address,
            timeouts: planned.config.timeouts,
            tls: planned.tls.clone(),
            chain,
            routes: planned.config.routes.iter().cloned().zip(of_routes).collect(),
            requests,
            tcp_proxy: planned.config.tcp_proxy.clone(),
            tcp,
            seats,
        }
    }

    /// Returns the clusters of its generation.
    #[inline]
    pub(crate) fn clusters(&self) -> &Table {
        self.generation.clusters()
    }

    /// Returns what its clients are to a generation.
    #[inline]
    pub(super) fn member(&self) -> Member {
        if self.tcp_proxy.is_some() { Member::Connection } else { Member::Request }
    }

    /// Returns whether connections of another generation's listener may go on here: both take requests or both TCP streams, with TLS or
    /// without.
    pub(super) fn takes_over(&self, before: &Self) -> bool {
        let kind = |listener: &Self| (listener.tcp_proxy.is_some(), listener.tls.is_some());
        kind(self) == kind(before)
    }

    /// Returns all its chains.
    pub(super) fn chains(&self) -> impl Iterator<Item = &Chain> {
        std::iter::once(&self.chain).chain(self.routes.iter().filter_map(|(_, chain)| chain.as_ref()))
    }
}
