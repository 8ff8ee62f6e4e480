//! Properties by path, and where Envoy has them.

use std::collections::HashMap;

/// The attribute with the number of the client's connection.
pub(crate) const CONNECTION_ID: u32 = 28;

/// Something to ask Envoy for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What<'a> {
    /// An attribute that is text, by its number.
    Text(u32),
    /// An attribute that is a whole number.
    Number(u32),
    /// An attribute that is a truth value.
    Truth(u32),
    /// A value of metadata.
    Metadata {
        /// The metadata's owner, by its number.
        source: u32,
        /// Its namespace.
        namespace: &'a [u8],
        /// The key within.
        key: &'a [u8],
    },
    /// An object of the filter state.
    FilterState(&'a [u8]),
    /// Why there is no connection with the upstream; empty once there is one.
    UpstreamFailure,
    /// The number of hosts of the cluster.
    Endpoints,
    /// The time from the request's first byte to the upstream until the response's last from there.
    BackendLatency,
}

/// Attributes that others are made of, by their numbers.
pub(crate) mod number {
    /// The address of the upstream.
    pub(crate) const UPSTREAM_ADDRESS: u32 = 41;
    /// Why there is no connection with it.
    pub(crate) const UPSTREAM_FAILURE: u32 = 52;
    /// The name of the cluster.
    pub(crate) const CLUSTER: u32 = 57;
}

/// Gives properties.
pub(crate) trait Source {
    /// Adds a property to `out`, in the encoding that plugins read; returns whether there is one.
    fn get(&self, what: What<'_>, out: &mut Vec<u8>) -> bool;
}

/// The properties with a path of their own. Those of messages are made from headers by the core.
const PATHS: &[(&str, What<'static>)] = &[
    ("request\0protocol", What::Text(10)),
    ("response\0code_details", What::Text(16)),
    ("response\0flags", What::Number(17)),
    ("response\0backend_latency", What::BackendLatency),
    ("source\0address", What::Text(24)),
    ("source\0port", What::Number(25)),
    ("destination\0address", What::Text(26)),
    ("destination\0port", What::Number(27)),
    ("connection\0id", What::Number(CONNECTION_ID)),
    ("connection\0mtls", What::Truth(29)),
    ("connection\0requested_server_name", What::Text(30)),
    ("connection\0tls_version", What::Text(31)),
    ("connection\0subject_local_certificate", What::Text(32)),
    ("connection\0subject_peer_certificate", What::Text(33)),
    ("connection\0dns_san_local_certificate", What::Text(34)),
    ("connection\0dns_san_peer_certificate", What::Text(35)),
    ("connection\0uri_san_local_certificate", What::Text(36)),
    ("connection\0uri_san_peer_certificate", What::Text(37)),
    ("connection\0sha256_peer_certificate_digest", What::Text(38)),
    ("connection\0transport_failure_reason", What::Text(39)),
    ("connection\0termination_details", What::Text(40)),
    ("upstream\0address", What::Text(41)),
    ("upstream\0port", What::Number(42)),
    ("upstream\0tls_version", What::Text(43)),
    ("upstream\0subject_local_certificate", What::Text(44)),
    ("upstream\0subject_peer_certificate", What::Text(45)),
    ("upstream\0dns_san_local_certificate", What::Text(46)),
    ("upstream\0dns_san_peer_certificate", What::Text(47)),
    ("upstream\0uri_san_local_certificate", What::Text(48)),
    ("upstream\0uri_san_peer_certificate", What::Text(49)),
    ("upstream\0sha256_peer_certificate_digest", What::Text(50)),
    ("upstream\0local_address", What::Text(51)),
    ("upstream\0transport_failure_reason", What::UpstreamFailure),
    ("upstream\0num_endpoints", What::Endpoints),
    ("upstream\0request_attempt_count", What::Number(53)),
    ("upstream\0protocol", What::Text(70)),
    ("xds\0cluster_name", What::Text(57)),
    ("xds\0listener_direction", What::Number(59)),
    ("xds\0route_name", What::Text(61)),
    ("xds\0virtual_host_name", What::Text(63)),
    ("xds\0filter_chain_name", What::Text(66)),
    ("cluster_name", What::Text(57)),
    ("listener_direction", What::Number(59)),
    ("route_name", What::Text(61)),
    ("connection_id", What::Number(CONNECTION_ID)),
];

/// The metadata of each owner, by the path before `filter_metadata`, its namespace and its key.
const METADATA: &[(&[u8], u32)] = &[
    (b"metadata", 0),
    (b"xds\0route_metadata", 1),
    (b"route_metadata", 1),
    (b"xds\0cluster_metadata", 2),
    (b"cluster_metadata", 2),
    (b"xds\0upstream_host_metadata", 3),
    (b"upstream_host_metadata", 3),
];

/// Writes a property by its path, in which a zero byte stands between segments; returns whether there is one.
pub(crate) fn read(source: &dyn Source, path: &[u8], out: &mut Vec<u8>) -> bool {
    find(path).is_some_and(|what| source.get(what, out))
}

/// Returns what a path means.
fn find(path: &[u8]) -> Option<What<'_>> {
    if let Some((_, what)) = PATHS.iter().find(|(known, _)| known.as_bytes() == path) {
        return Some(*what);
    }
    if let Some(key) = path.strip_prefix(b"filter_state\0") {
        return (!key.contains(&0)).then_some(What::FilterState(key));
    }
    let (source, rest) = METADATA.iter().find_map(|(owner, source)| {
        let rest = path.strip_prefix(*owner)?.strip_prefix(b"\0filter_metadata\0")?;
        Some((*source, rest))
    })?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let (namespace, key) = (rest.get(..end)?, rest.get(end + 1..)?);
    // A value within another has no function in the ABI.
    (!key.contains(&0)).then_some(What::Metadata { source, namespace, key })
}

/// Copies of all properties that have a path of their own.
#[derive(Debug, Default)]
pub(crate) struct Kept(HashMap<&'static str, Vec<u8>>);

impl Kept {
    /// Copies the properties that there are now.
    pub(crate) fn of(source: &dyn Source) -> Self {
        let copy = |(path, what): &(&'static str, What<'static>)| {
            let mut value = Vec::new();
            source.get(*what, &mut value).then_some((*path, value))
        };
        Self(PATHS.iter().filter_map(copy).collect())
    }

    /// Writes a property; returns whether there is one.
    pub(crate) fn get(&self, path: &[u8], out: &mut Vec<u8>) -> bool {
        let value = std::str::from_utf8(path).ok().and_then(|path| self.0.get(path));
        value.inspect(|value| out.extend_from_slice(value)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says of everything what it is.
    struct Echo;

    impl Source for Echo {
        fn get(&self, what: What<'_>, out: &mut Vec<u8>) -> bool {
            out.extend_from_slice(format!("{what:?}").as_bytes());
            !matches!(what, What::Number(_))
        }
    }

    #[test]
    fn a_path_means_one_thing() {
        for (path, expected) in [
            ("source\0address", Some(What::Text(24))),
            ("route_name", Some(What::Text(61))),
            ("connection\0mtls", Some(What::Truth(29))),
            ("metadata\0filter_metadata\0ns\0key", Some(What::Metadata { source: 0, namespace: b"ns", key: b"key" })),
            (
                "xds\0route_metadata\0filter_metadata\0ns\0key",
                Some(What::Metadata { source: 1, namespace: b"ns", key: b"key" }),
            ),
            ("metadata\0filter_metadata\0ns\0key\0within", None),
            ("metadata\0filter_metadata\0ns", None),
            ("filter_state\0wasm.x", Some(What::FilterState(b"wasm.x"))),
            ("filter_state\0a\0b", None),
            ("source", None),
            ("node\0id", None),
            ("", None),
        ] {
            assert_eq!(find(path.as_bytes()), expected, "{path:?}");
        }
    }

    #[test]
    fn copies_are_of_what_there_was() {
        let (kept, mut out) = (Kept::of(&Echo), Vec::new());
        assert!(kept.get(b"source\0address", &mut out));
        assert_eq!(out, b"Text(24)");
        assert!(!kept.get(b"source\0port", &mut out), "there was none");
        assert!(!kept.get(b"source\0other", &mut out));
    }
}
