//! Facts that a proxy tells plugins of a stream besides its bytes, and when.

use std::time::{SystemTime, UNIX_EPOCH};

use portcullis::model::{SharedStreamInfo, StreamInfo};

/// How long everything takes here, in nanoseconds.
const MOMENT: u64 = 5_000;

/// Returns the facts of a client that has connected.
fn connected(cluster: &str) -> StreamInfo {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    StreamInfo {
        source: "127.0.0.1:40001".parse().ok(),
        destination: "127.0.0.1:10000".parse().ok(),
        connection_id: 1,
        start_time: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
        cluster_name: Some(cluster.to_owned()),
        upstream_endpoints: Some(1),
        ..StreamInfo::default()
    }
}

/// Returns the facts of a request that has come.
pub(super) fn request() -> SharedStreamInfo {
    StreamInfo { protocol: "HTTP/1.1", route_name: Some("every".to_owned()), ..connected("auth") }.into_shared()
}

/// Returns the facts of a TCP stream whose client has connected.
pub(super) fn connection() -> SharedStreamInfo {
    connected("tcp").into_shared()
}

/// Notes that the request goes to its upstream, or that a TCP stream has one.
pub(super) fn forwarded(info: &SharedStreamInfo) {
    info.with(|info| {
        info.upstream = "127.0.0.1:10004".parse().ok();
        info.upstream_local = "127.0.0.1:40002".parse().ok();
        info.upstream_attempts = 1;
        info.upstream_ready = Some(MOMENT);
    });
}

/// Notes that the response's head has come.
pub(super) fn answered(info: &SharedStreamInfo, code: Option<u16>) {
    info.with(|info| {
        info.response_code = code;
        info.response_details = Some("via_upstream".to_owned());
    });
}

/// Notes that the upstream has nothing more to say.
pub(super) fn complete(info: &SharedStreamInfo) {
    info.with(|info| info.backend_latency = Some(MOMENT));
}

/// Counts bytes that have come from the client.
pub(super) fn came(info: &SharedStreamInfo, bytes: usize) {
    info.with(|info| info.request_size += bytes as u64);
}

/// Counts bytes that were sent to the client.
pub(super) fn sent(info: &SharedStreamInfo, bytes: usize) {
    info.with(|info| info.response_size += bytes as u64);
}

/// Notes that the stream is over.
pub(super) fn over(info: &SharedStreamInfo) {
    info.with(|info| info.duration = Some(MOMENT));
}
