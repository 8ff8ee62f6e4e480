//! The place that a request goes to, as far as the proxy tells.

use std::sync::Arc;

use portcullis_core::model::StreamInfo;

/// The place that a request goes to, for the properties `xds.route_name`, `xds.cluster_name` and `upstream.num_endpoints` of plugins
/// ([`Plugged::with_routes`](crate::Plugged::with_routes)). Those that are not set are not found.
///
/// ```
/// use portcullis_pingora::RouteInfo;
///
/// let info = RouteInfo::default().with_route("all").with_cluster("backend").with_endpoints(3);
/// # assert_eq!(info, info.clone());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteInfo {
    route: Option<Arc<str>>,
    cluster: Option<Arc<str>>,
    endpoints: Option<u64>,
}

impl RouteInfo {
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

    /// Writes what is known into what plugins read.
    pub(crate) fn describe(&self, info: &mut StreamInfo) {
        info.route_name = self.route.as_deref().map(str::to_owned);
        info.cluster_name = self.cluster.as_deref().map(str::to_owned);
        info.upstream_endpoints = self.endpoints;
    }
}
