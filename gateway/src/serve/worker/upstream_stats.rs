//! The course of a request at its upstream, as plugins read it (host: attributes `upstream.*`, `response.*`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::model::{SharedStreamInfo, StreamInfo, response_flag};

use super::attributes;
use super::route::Lot;
use crate::config::Route;
use crate::upstream::clusters::Table;
use crate::upstream::connector::Upstream;
use crate::upstream::pool::{Addresses, Reached, UpstreamError};

/// Returns what is known of a request when its route is: names and metadata of the route and its cluster.
pub(super) fn routed(clusters: &Table, route: Option<&Route>, lot: &Lot) -> StreamInfo {
    let cluster = route.and_then(|route| route.cluster(|| lot.draw()));
    let upstream = cluster.and_then(|cluster| clusters.get(cluster));
    StreamInfo {
        upstream_endpoints: upstream.and_then(Upstream::endpoints),
        cluster_name: cluster.map(str::to_owned),
        cluster_metadata: upstream.map(|upstream| Arc::clone(upstream.metadata())),
        route_name: route.map(|route| route.name.clone()),
        route_metadata: route.map(|route| Arc::clone(&route.metadata)),
        ..StreamInfo::default()
    }
}

/// Notes that a request is sent. Returns the time.
pub(super) fn sent(info: &SharedStreamInfo, route: &Route, cluster: &str, upstream: &Upstream) -> Instant {
    info.with(|info| {
        (info.cluster_name, info.cluster_metadata) = (Some(cluster.to_owned()), Some(Arc::clone(upstream.metadata())));
        (info.route_name, info.route_metadata) = (Some(route.name.clone()), Some(Arc::clone(&route.metadata)));
        info.upstream_endpoints = upstream.endpoints();
        info.upstream_attempts += 1;
    });
    Instant::now()
}

/// Returns what notes the connection on which a request goes out, which was wanted since a time.
pub(super) fn connected(info: &SharedStreamInfo, since: Instant) -> impl Fn(&Reached<'_>) + 'static {
    let info = SharedStreamInfo::clone(info);
    // Before the first connection they are the client's alone.
    let of_client = info.with(|info| info.attributes.clone());
    move |Reached { addresses: Addresses { local, remote }, metadata, tls }| {
        let (local, remote) = (*local, *remote);
        let attributes = attributes::with_upstream(of_client.as_ref(), *tls);
        info.with(|info| {
            info.attributes = attributes;
            info.upstream_metadata = metadata.cloned();
            (info.upstream, info.upstream_local) = (Some(remote), Some(local));
            info.upstream_ready = u64::try_from(since.elapsed().as_nanos()).ok();
        });
    }
}

/// Notes that the request is answered.
pub(super) fn answered(info: &SharedStreamInfo) {
    info.with(|info| info.response_details = Some("via_upstream".to_owned()));
}

/// Notes that the answer is complete. `sent` is the time at which the request was sent.
pub(super) fn complete(info: &SharedStreamInfo, sent: Option<Instant>) {
    info.with(|info| info.backend_latency = sent.and_then(|sent| u64::try_from(sent.elapsed().as_nanos()).ok()));
}

/// Notes that the answer did not come within a limit.
pub(super) fn timed_out(info: &SharedStreamInfo, clusters: &Table, limit: Duration) {
    let upstream = info.with(|info| {
        info.response_flags |= response_flag::UPSTREAM_REQUEST_TIMEOUT;
        info.cluster_name.as_ref().and_then(|name| clusters.get(name))
    });
    upstream.into_iter().for_each(|upstream| upstream.timed_out(limit));
}

/// Notes a failure before the head. Returns the details, as Envoy words them.
pub(super) fn failed(info: &SharedStreamInfo, error: &UpstreamError) -> String {
    info.with(|info| {
        info.response_flags |= match error {
            UpstreamError::Connect { .. } | UpstreamError::ConnectTimeout { .. } | UpstreamError::Tls { .. } => {
                info.upstream_failure = Some(error.to_string());
                response_flag::UPSTREAM_CONNECTION_FAILURE
            }
            UpstreamError::Overflow { .. } => response_flag::UPSTREAM_OVERFLOW,
            error if error.is_invalid() => response_flag::UPSTREAM_PROTOCOL_ERROR,
            error if error.reset_reason().is_some() => response_flag::UPSTREAM_REMOTE_RESET,
            _ => response_flag::UPSTREAM_CONNECTION_TERMINATION,
        };
    });
    match error {
        UpstreamError::NoEndpoints { .. } => "no_healthy_upstream".to_owned(),
        _ => format!("upstream_reset_before_response_started{{{}}}", error.words().replace(' ', "_")),
    }
}

/// Notes that a TCP stream dials its upstream. Returns the time.
pub(super) fn dialled(info: &SharedStreamInfo) -> Instant {
    info.with(|info| info.upstream_attempts += 1);
    Instant::now()
}

/// Notes that a TCP stream is connected to its upstream, which it dialled at the time `since`; the echo has no addresses.
pub(super) fn established(info: &SharedStreamInfo, reached: Option<&Reached<'_>>, since: Option<Instant>) {
    if let Some((reached, since)) = reached.zip(since) {
        connected(info, since)(reached);
    }
}

/// Notes that the upstream of a TCP stream cannot be reached.
pub(super) fn unreachable(info: &SharedStreamInfo, error: &std::io::Error) {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<UpstreamError>());
    let flag = match cause {
        Some(UpstreamError::Overflow { .. }) => response_flag::UPSTREAM_OVERFLOW,
        _ => response_flag::UPSTREAM_CONNECTION_FAILURE,
    };
    info.with(|info| {
        info.upstream_failure = Some(error.to_string());
        info.response_flags |= flag;
    });
}

/// Notes that it broke off behind the response's head. Returns the details, as Envoy words them.
///
/// Whatever ends an HTTP/1.1 response before its end breaks the protocol, in Envoy as well (RFC 9112, section 8).
pub(super) fn broken(info: &SharedStreamInfo, error: &UpstreamError) -> String {
    let (flag, reason) = match (error.reset_reason(), error) {
        (Some(_), _) if !error.is_invalid() => (response_flag::UPSTREAM_REMOTE_RESET, "remote_reset"),
        (None, UpstreamError::Reset { .. } | UpstreamError::RequestAborted { .. }) if error.is_h2() => {
            (response_flag::UPSTREAM_CONNECTION_TERMINATION, "connection_termination")
        }
        _ => (response_flag::UPSTREAM_PROTOCOL_ERROR, "protocol_error"),
    };
    info.with(|info| info.response_flags |= flag);
    format!("upstream_reset_after_response_started{{{reason}}}")
}

/// Notes that the client left before the response was sent.
pub(super) fn abandoned(info: &mut StreamInfo) {
    info.response_details = Some("downstream_remote_disconnect".to_owned());
    info.response_flags |= response_flag::DOWNSTREAM_CONNECTION_TERMINATION;
}
