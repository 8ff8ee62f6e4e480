//! Steering of TCP streams by plugins: the upstream, and the idle timeout.

use std::sync::Arc;
use std::time::Duration;

use portcullis::model::{SharedStreamInfo, StreamInfo};

use crate::plan::host::GatewayHost;
use crate::upstream::clusters::Table;
use crate::upstream::connector::Upstream;

/// Settles which upstream a stream goes to: the one of the cluster that a plugin has chosen, else the configured one. None
/// if a plugin has chosen one that is not there: what it wanted somewhere else must not go to the configured one.
pub(super) fn upstream<'c>(
    info: &SharedStreamInfo,
    clusters: &'c Table,
    host: &GatewayHost,
    configured: &str,
) -> Option<&'c Upstream> {
    info.with(|info| choose(info, clusters, host, configured))
}

fn choose<'c>(
    info: &mut StreamInfo,
    clusters: &'c Table,
    host: &GatewayHost,
    configured: &str,
) -> Option<&'c Upstream> {
    let chosen = info.steering.as_mut().and_then(|steering| {
        steering.is_settled = true;
        steering.cluster.clone()
    });
    let Some(chosen) = chosen else { return clusters.get(configured) };
    let upstream = clusters.get(&chosen);
    if upstream.is_none() {
        host.tell_missing(None, "a plugin sends TCP streams", &chosen);
    }
    info.upstream_endpoints = upstream.and_then(Upstream::endpoints);
    info.cluster_metadata = upstream.map(|upstream| Arc::clone(upstream.metadata()));
    info.cluster_name = Some(chosen);
    upstream
}

/// Returns how long a stream may be idle, if there is a limit. Only in the configuration zero is none.
pub(super) fn idle(info: &SharedStreamInfo, configured: Duration) -> Option<Duration> {
    let steered = info.with(|info| info.steering.as_ref().and_then(|steering| steering.idle_timeout));
    steered.or_else(|| Some(configured).filter(|limit| !limit.is_zero()))
}
