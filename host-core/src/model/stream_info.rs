//! Facts about a stream besides its bytes; properties are read from them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::model::attributes::Attributes;
use crate::model::headers::Headers;
use crate::model::limits::Limits;
use crate::model::resource_metadata::ResourceMetadata;
use crate::model::shared_stream_info::SharedStreamInfo;
use crate::model::steering::Steering;
use crate::sandbox::byte_budget::{ByteBudget, Change, Charge};

/// Facts about a stream: connection, route, sizes, and the maps that no plugin holds now.
///
/// All plugins of a stream share one; properties are read from it and written to it.
#[derive(Clone, Debug, Default)]
pub struct StreamInfo {
    /// The client's address.
    pub source: Option<SocketAddr>,
    /// The address that the client connected to.
    pub destination: Option<SocketAddr>,
    /// A number that no other stream of the process has, which its log lines carry; 0 if the host gives none.
    pub id: u64,
    /// A number of the client's connection, which no other one of the worker has; 0 if the host gives none. Streams of one number are
    /// taken for one client's where clients share what a plugin has; a stream of number 0 is taken for a client by itself.
    pub connection_id: u64,
    /// Properties that are looked up when a plugin asks for what none of the other fields says; none if the host has none.
    pub attributes: Option<Arc<dyn Attributes>>,
    /// TLS version of the client's connection, such as `TLSv1.3`.
    pub tls_version: Option<String>,
    /// The name that the client asked for in TLS.
    pub server_name: Option<String>,
    /// The request's protocol, such as `HTTP/1.1`; empty for a TCP stream.
    pub protocol: &'static str,
    /// When the request began, in nanoseconds since the Unix epoch.
    pub start_time: u64,
    /// How long the stream took in nanoseconds, once it is complete.
    pub duration: Option<u64>,
    /// Body bytes of the request that have come so far.
    pub request_size: u64,
    /// Body bytes of the response that have passed the chain so far.
    pub response_size: u64,
    /// The response's status, once there is one.
    pub response_code: Option<u16>,
    /// Why the response is what it is, such as `via_upstream`.
    pub response_details: Option<String>,
    /// The address of the upstream that was chosen.
    pub upstream: Option<SocketAddr>,
    /// Our own address on the connection to it.
    pub upstream_local: Option<SocketAddr>,
    /// How many servers its cluster has.
    pub upstream_endpoints: Option<u64>,
    /// How long a connection with the upstream took to be had, in nanoseconds, once there is one.
    pub upstream_ready: Option<u64>,
    /// How often the request was sent to an upstream, or a TCP stream dialled one.
    pub upstream_attempts: u64,
    /// Why no connection with an upstream came about.
    pub upstream_failure: Option<String>,
    /// From the request's first byte to the upstream until the response's last from there, in nanoseconds, once
    /// that is known.
    pub backend_latency: Option<u64>,
    /// The failure, as Envoy's response flags: one of [`response_flag`]. 0 for nothing.
    pub response_flags: u64,
    /// The cluster that the route names.
    pub cluster_name: Option<String>,
    /// The route that was chosen.
    pub route_name: Option<String>,
    /// The metadata of the route; none before there is a route.
    pub route_metadata: Option<Arc<ResourceMetadata>>,
    /// The metadata of the cluster; none before there is a cluster.
    pub cluster_metadata: Option<Arc<ResourceMetadata>>,
    /// The metadata of the upstream that was chosen, if it has some.
    pub upstream_metadata: Option<Arc<ResourceMetadata>>,
    /// The request's headers, when no plugin holds them.
    pub request_headers: Option<Headers>,
    /// The request's trailers, when no plugin holds them.
    pub request_trailers: Option<Headers>,
    /// The response's headers, when no plugin holds them.
    pub response_headers: Option<Headers>,
    /// The response's trailers, when no plugin holds them.
    pub response_trailers: Option<Headers>,
    /// The choices of plugins for where the stream goes; none if they have none.
    pub steering: Option<Steering>,
    /// Properties that plugins have set.
    pub filter_state: FilterState,
}

/// Bits of `response.flags`, as Envoy numbers them.
pub mod response_flag {
    /// The upstream took too long (UT).
    pub const UPSTREAM_REQUEST_TIMEOUT: u64 = 1 << 2;
    /// The upstream reset the stream (UR).
    pub const UPSTREAM_REMOTE_RESET: u64 = 1 << 4;
    /// No connection with the upstream came about (UF).
    pub const UPSTREAM_CONNECTION_FAILURE: u64 = 1 << 5;
    /// The connection with the upstream broke (UC).
    pub const UPSTREAM_CONNECTION_TERMINATION: u64 = 1 << 6;
    /// No further connection with an upstream was allowed (UO).
    pub const UPSTREAM_OVERFLOW: u64 = 1 << 7;
    /// No route takes the request (NR).
    pub const NO_ROUTE_FOUND: u64 = 1 << 8;
    /// The request may not go where it would (UAEX).
    pub const UNAUTHORIZED: u64 = 1 << 12;
    /// The client went away (DC).
    pub const DOWNSTREAM_CONNECTION_TERMINATION: u64 = 1 << 14;
    /// Nothing of the stream moved for too long (SI).
    pub const STREAM_IDLE_TIMEOUT: u64 = 1 << 16;
    /// The client broke the protocol (DPE).
    pub const DOWNSTREAM_PROTOCOL_ERROR: u64 = 1 << 18;
    /// The upstream broke the protocol (UPE).
    pub const UPSTREAM_PROTOCOL_ERROR: u64 = 1 << 23;
}

/// Properties that plugins set with `proxy_set_property`, by raw path; bounded.
#[derive(Clone, Debug, Default)]
pub struct FilterState {
    values: BTreeMap<Vec<u8>, Set>,
    bytes: usize,
    revision: u64,
}

/// A value, and what the sandbox that set it was charged; nothing, if the host did.
#[derive(Debug)]
struct Set {
    value: Vec<u8>,
    charge: Option<Charge>,
}

impl StreamInfo {
    /// Makes it shareable.
    pub fn into_shared(self) -> SharedStreamInfo {
        self.into()
    }
}

impl FilterState {
    /// The most bytes that the plugins of one stream may set, names included.
    pub(crate) const MAX_BYTES: usize = 256 << 10;

    /// Returns what was set under a path: segments with a zero byte between.
    pub fn get(&self, path: &[u8]) -> Option<&[u8]> {
        self.values.get(path).map(|set| set.value.as_slice())
    }

    /// Returns all that was set, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.values.iter().map(|(path, set)| (path.as_slice(), set.value.as_slice()))
    }

    /// Returns how often something was set: whoever shows it elsewhere need not look when that is as it was.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Sets a value; says whether there was room for it.
    pub fn set(&mut self, path: &[u8], value: &[u8]) -> bool {
        self.put(path, value, None).is_ok()
    }

    /// Sets a value at the cost of `payer`; who paid for the value that it replaces gets that back. The stream may have no room,
    /// or the payer.
    pub(crate) fn set_by(&mut self, payer: &Arc<ByteBudget>, path: &[u8], value: &[u8]) -> Result<(), NoRoom> {
        self.put(path, value, Some(payer))
    }

    fn put(&mut self, path: &[u8], value: &[u8], payer: Option<&Arc<ByteBudget>>) -> Result<(), NoRoom> {
        let old = self.values.get_mut(path);
        let before = old.as_ref().map_or(0, |set| path.len() + set.value.len());
        let bytes = (self.bytes - before).saturating_add(path.len()).saturating_add(value.len());
        if bytes > Self::MAX_BYTES {
            return Err(NoRoom::InStream);
        }
        let cost = Limits::ENTRY_COST + path.len() + value.len();
        let charged = old.as_ref().and_then(|set| set.charge.as_ref());
        let change = payer.map(|payer| payer.change(charged, cost).ok_or(NoRoom::InBudget)).transpose()?;
        match old {
            Some(set) => {
                set.value = value.to_vec();
                match (&mut set.charge, change) {
                    (Some(charge), Some(change)) => change.replace(charge),
                    (charge, change) => *charge = change.and_then(Change::whole),
                }
            }
            None => {
                let set = Set { value: value.to_vec(), charge: change.and_then(Change::whole) };
                self.values.insert(path.to_vec(), set);
            }
        }
        self.bytes = bytes;
        self.revision += 1;
        Ok(())
    }
}

/// A bound that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    InStream,
    InBudget,
}

/// A copy is charged, too.
impl Clone for Set {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), charge: self.charge.as_ref().map(Charge::again) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_a_value_that_was_set() {
        let mut state = FilterState::default();
        assert_eq!((state.revision(), state.iter().next()), (0, None));
        assert!(state.set(b"b", b"1") && state.set(b"a", b"2") && state.set(b"b", b"3"));
        assert_eq!(state.revision(), 3);
        assert!(!state.set(b"c", &vec![0; FilterState::MAX_BYTES]));
        assert_eq!(state.revision(), 3, "there was no room");
        assert!(state.iter().eq([(&b"a"[..], &b"2"[..]), (b"b", b"3")]));
    }

    #[test]
    fn a_property_is_paid_by_who_set_it_last() {
        let (mut state, one, other) = (FilterState::default(), ByteBudget::new(1000), ByteBudget::new(200));
        let cost = |bytes| Limits::ENTRY_COST + bytes;
        assert_eq!(state.set_by(&one, b"a", b"123"), Ok(()));
        assert_eq!(state.set_by(&one, b"a", b"12345"), Ok(()));
        assert_eq!(state.set_by(&other, b"b", b"1"), Ok(()));
        assert_eq!((one.taken(), other.taken()), (cost(6), cost(2)));
        assert_eq!(state.set_by(&other, b"a", b"1"), Err(NoRoom::InBudget));
        assert_eq!(state.get(b"a"), Some(&b"12345"[..]), "and it is as it was");
        let copy = state.clone();
        assert_eq!((one.taken(), other.taken()), (2 * cost(6), 2 * cost(2)), "beyond its budget, even");
        drop(copy);
        assert_eq!(state.set_by(&one, b"b", b""), Ok(()));
        assert!(state.set(b"a", b"the host's"));
        assert_eq!((one.taken(), other.taken()), (cost(1), 0));
        assert_eq!(state.set_by(&one, b"c", &vec![0; FilterState::MAX_BYTES]), Err(NoRoom::InStream));
        drop(state);
        assert_eq!(one.taken(), 0);
    }
}
