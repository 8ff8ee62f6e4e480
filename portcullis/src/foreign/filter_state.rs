//! The objects of Envoy's filter state that plugins can make, by key, and what becomes of each.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::abi::Status;
use portcullis_core::model::Steer;
use portcullis_core::resources::ForeignCall;

/// The use of a key.
enum Use {
    /// Read by plugins alone; the function says whether a value is one.
    Kept(fn(&str) -> bool),
    /// The cluster of a TCP stream.
    Cluster,
    /// How long a TCP stream may be idle.
    IdleTimeout,
    /// Whether a TCP stream goes through no tunnel, as it does here anyway.
    NoTunnel,
    /// Asks for something that there is not.
    Absent(&'static str),
}

const NO_TLS: &str = "upstreams are reached without TLS";
const NO_LISTENER: &str = "listeners have no address but their own";
const NO_FORWARD: &str = "there are no clusters whose address is taken from a stream";

/// The keys of Envoy 1.40, as its log lists them.
const KEYS: &[(&str, Use)] = &[
    ("envoy.ai.llm_protocol.request", Use::Absent("there are no AI filters")),
    ("envoy.ai.model.request", Use::Absent("there are no AI filters")),
    ("envoy.bool", Use::Kept(is_bool)),
    ("envoy.filters.listener.original_dst.local_ip", Use::Absent(NO_LISTENER)),
    ("envoy.filters.listener.original_dst.remote_ip", Use::Absent(NO_LISTENER)),
    ("envoy.hashable_string", Use::Kept(|_| true)),
    ("envoy.network.application_protocols", Use::Absent(NO_TLS)),
    ("envoy.network.ip", Use::Kept(|text| text.parse::<IpAddr>().is_ok())),
    ("envoy.network.network_namespace", Use::Absent("namespaces of networks are not read")),
    ("envoy.network.transport_socket.http_11_proxy.info", Use::Absent("upstreams are not reached through proxies")),
    ("envoy.network.transport_socket.original_dst_address", Use::Absent(NO_FORWARD)),
    ("envoy.network.upstream_server_name", Use::Absent(NO_TLS)),
    ("envoy.network.upstream_subject_alt_names", Use::Absent(NO_TLS)),
    ("envoy.ratelimit.hits_addend", Use::Absent("there is no rate limit service")),
    ("envoy.router.debug_config", Use::Absent("requests have no debug headers")),
    ("envoy.string", Use::Kept(|_| true)),
    ("envoy.tcp_proxy.cluster", Use::Cluster),
    ("envoy.tcp_proxy.disable_tunneling", Use::NoTunnel),
    ("envoy.tcp_proxy.per_connection_idle_timeout_ms", Use::IdleTimeout),
    ("envoy.upstream.dynamic_host", Use::Absent(NO_FORWARD)),
    ("envoy.upstream.dynamic_port", Use::Absent(NO_FORWARD)),
];

/// Returns whether Envoy reads a text as true or false.
fn is_bool(text: &str) -> bool {
    ["true", "t", "yes", "y", "1", "false", "f", "no", "n", "0"].iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Sets an object of filter state.
///
/// `NotFound`: there is no stream; Envoy has no such key either; what the key asks for is not here, or not for such a
/// stream. The operator is told of the latter two. `BadArgument`: no value of that key; there is no room; the stream
/// has its upstream already. `InternalFailure`: the plugin may not steer.
///
/// differs: Envoy answers Ok to keys that change nothing, such as those for TLS if the cluster has none.
pub(super) fn set(call: &mut ForeignCall<'_>, key: &str, value: &str) -> Result<(), Status> {
    let Some((key, what)) = KEYS.iter().find(|(known, _)| *known == key) else { return Err(Status::NotFound) };
    let steer = match what {
        Use::Kept(is_valid) => {
            if !is_valid(value) {
                return Err(Status::BadArgument);
            }
            let path = [b"filter_state\0", key.as_bytes()].concat();
            let kept = call.set_filter_state(&path, value.as_bytes());
            return kept.ok_or(Status::NotFound)?.then_some(()).ok_or(Status::BadArgument);
        }
        Use::Absent(why) => {
            call.note_once(key, &format!("set_envoy_filter_state: {key} is not supported: {why}"));
            return Err(Status::NotFound);
        }
        Use::Cluster => Steer::Cluster(value),
        Use::IdleTimeout => {
            // Envoy's numbers may have blanks around them.
            let milliseconds = value.trim_ascii().parse().map_err(|_| Status::BadArgument)?;
            Steer::IdleTimeout(Duration::from_millis(milliseconds))
        }
        Use::NoTunnel => Steer::Nothing,
    };
    call.steer(key, value, steer)
}
