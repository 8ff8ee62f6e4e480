//! The place that a request goes to, as far as a service tells.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::model::StreamInfo;

/// The place that a request goes to, for the properties `upstream`, `xds.cluster_name` and `xds.route_name` of plugins.
///
/// A service in front puts one into the request's extensions with all that is known before the request goes, as its route
/// and the name of its upstream. The inner service puts another one into those of the response, with the address of the
/// server that answers; it adds to the former, and plugins read it from the response's head on. Without one these
/// properties are not found.
///
/// ```
/// use portcullis_tower::UpstreamInfo;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(UpstreamInfo::default().with_route("all").with_cluster("backend"));
///
/// let mut response = http::Response::new(());
/// let (server, own) = (([192, 0, 2, 9], 80).into(), ([192, 0, 2, 1], 50_000).into());
/// response.extensions_mut().insert(UpstreamInfo::default().with_addresses(server, own));
/// ```
#[derive(Clone, Debug, Default)]
pub struct UpstreamInfo {
    route: Option<Arc<str>>,
    cluster: Option<Arc<str>>,
    endpoints: Option<u64>,
    addresses: Option<(SocketAddr, SocketAddr)>,
    ready: Option<Duration>,
}

impl UpstreamInfo {
    /// Sets the name of the route.
    #[must_use]
    pub fn with_route(mut self, name: impl Into<Arc<str>>) -> Self {
        self.route = Some(name.into());
        self
    }

    /// Sets the name of the upstream, which Envoy calls its cluster.
    #[must_use]
    pub fn with_cluster(mut self, name: impl Into<Arc<str>>) -> Self {
        self.cluster = Some(name.into());
        self
    }

    /// Sets how many servers the upstream has.
    #[must_use]
    pub fn with_endpoints(mut self, count: u64) -> Self {
        self.endpoints = Some(count);
        self
    }

    /// Sets the address of the server, and the proxy's own on the connection to it.
    #[must_use]
    pub fn with_addresses(mut self, server: SocketAddr, own: SocketAddr) -> Self {
        self.addresses = Some((server, own));
        self
    }

    /// Sets how long the connection to the server took to be had.
    #[must_use]
    pub fn with_ready_after(mut self, time: Duration) -> Self {
        self.ready = Some(time);
        self
    }

    /// Writes what is known into what plugins read.
    pub(crate) fn describe(&self, info: &mut StreamInfo) {
        if let Some(route) = &self.route {
            info.route_name = Some(route.as_ref().to_owned());
        }
        if let Some(cluster) = &self.cluster {
            info.cluster_name = Some(cluster.as_ref().to_owned());
        }
        info.upstream_endpoints = self.endpoints.or(info.upstream_endpoints);
        if let Some((server, own)) = self.addresses {
            (info.upstream, info.upstream_local) = (Some(server), Some(own));
        }
        if let Some(ready) = self.ready {
            info.upstream_ready = u64::try_from(ready.as_nanos()).ok();
        }
    }
}
