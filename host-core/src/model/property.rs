//! Properties (spec: `proxy_get_property`): attributes of a stream by path, in Envoy's encodings.

use std::sync::Arc;

use crate::abi::Status;
use crate::model::attributes::Attributes;
use crate::model::authority;
use crate::model::plugin::Plugin;
use crate::model::resource_metadata;
use crate::model::stream_info::{NoRoom, StreamInfo};
use crate::model::visible::Visible;
use crate::sandbox::byte_budget::ByteBudget;

/// Where a property is looked up.
pub(crate) struct Scope<'a> {
    pub(crate) plugin: &'a Plugin,
    pub(crate) stream: Option<Stream<'a>>,
}

/// The stream of a scope, with the maps that the plugin holds now, as far as it may see them.
pub(crate) struct Stream<'a> {
    pub(crate) info: &'a StreamInfo,
    /// The driver's own properties, if the plugin may ask for them by this path.
    pub(crate) attributes: Option<&'a dyn Attributes>,
    pub(crate) request_headers: Option<Visible<'a>>,
    pub(crate) response_headers: Option<Visible<'a>>,
    pub(crate) response_trailers: Option<Visible<'a>>,
}

/// Objects that the host alone fills.
const BUILT_IN: [&[u8]; 7] = [b"request", b"response", b"source", b"destination", b"connection", b"upstream", b"xds"];

/// Properties of messages that the driver may know where the core does not. All others are made of headers, or counted here.
const OF_MESSAGES: [&[u8]; 7] = [
    b"request\0protocol",
    b"request\0time",
    b"request\0duration",
    b"response\0code",
    b"response\0code_details",
    b"response\0flags",
    b"response\0backend_latency",
];

/// Writes the value of a property to `out`.
///
/// # Errors
/// `NotFound` for what is unknown, or not to be had now; `SerializationFailure` for an empty path
/// and for objects that have no value of their own.
pub(crate) fn read(scope: &Scope<'_>, path: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
    out.clear();
    let path = path.strip_suffix(&[0]).unwrap_or(path);
    if path.is_empty() {
        return Err(Status::SerializationFailure);
    }
    // Nothing that a plugin has set stands in for the metadata of a resource that has none.
    if let Some(result) = resource_metadata::read(scope.stream.as_ref().map(|stream| stream.info), path, out) {
        return if result == Err(Status::NotFound) && scope.ask(path, out) { Ok(()) } else { result };
    }
    let mut segments = path.split(|byte| *byte == 0);
    let first = segments.next().unwrap_or_default();
    let second = segments.next();
    let third = segments.next();
    if segments.next().is_none() && third.is_none_or(|_| matches!(second, Some(b"headers" | b"trailers"))) {
        let value = match (first, second, &scope.stream) {
            (b"plugin_name", None, _) => Some(Value::Text(&scope.plugin.name)),
            (b"plugin_root_id", None, _) => Some(Value::Text(&scope.plugin.root_id)),
            (b"plugin_vm_id", None, _) => Some(Value::Text(&scope.plugin.vm_id)),
            (
                b"request" | b"response" | b"source" | b"destination" | b"connection" | b"upstream" | b"filter_state",
                None,
                Some(_),
            )
            | (b"xds", None, _) => return Err(Status::SerializationFailure),
            // An object of the upstream's own, in which nothing is set.
            (b"upstream_filter_state", None, Some(stream)) if stream.info.upstream.is_some() => {
                return Err(Status::SerializationFailure);
            }
            (first, Some(second), Some(stream)) => stream.attribute(first, second, third),
            (b"connection_id", None, Some(stream)) => Some(Value::Uint(stream.info.connection_id)),
            _ => None,
        };
        if let Some(value) = value {
            let is_unset = scope.stream.as_ref().is_some_and(|stream| stream.is_unset(path));
            if !is_unset || !scope.ask(path, out) {
                value.encode(out);
            }
            return Ok(());
        }
    }
    let is_of_messages = matches!(first, b"request" | b"response");
    if (!is_of_messages || OF_MESSAGES.contains(&path)) && scope.ask(path, out) {
        return Ok(());
    }
    // Nothing that a plugin has set stands in for what the host knows and does not have now: a plugin that may not write
    // headers would write `request.headers.x-user` for those who ask for it like this.
    if BUILT_IN.contains(&first) {
        return Err(Status::NotFound);
    }
    let state = scope.stream.as_ref().map(|stream| &stream.info.filter_state);
    let state = state.and_then(|state| state.get(path).or_else(|| state.get(set_under(path)?)));
    out.extend_from_slice(state.ok_or(Status::NotFound)?);
    Ok(())
}

/// Returns whether a property is none that contains others, whatever it is called: an exclusion as `!*.cookie` is of nothing
/// within it.
pub(crate) fn is_leaf(path: &[u8]) -> bool {
    let mut segments = path.split(|byte| *byte == 0);
    let is_flat = matches!(segments.next(), Some(b"connection" | b"source" | b"destination"));
    is_flat && segments.next().is_some() && segments.next().is_none() || OF_MESSAGES.contains(&path)
}

/// Returns the name of what plugins have set, if a path is the one by which Envoy has it in the stream's filter state.
pub(crate) fn set_under(path: &[u8]) -> Option<&[u8]> {
    path.strip_prefix(b"filter_state\0wasm.").filter(|name| !name.contains(&0))
}

/// Sets a property of a stream, which all plugins of the stream can read back by the same path;
/// built-in names shadow it.
///
/// # Errors
/// The stream has no room, or `payer` cannot pay for it.
pub(crate) fn write(info: &mut StreamInfo, path: &[u8], value: &[u8], payer: &Arc<ByteBudget>) -> Result<(), NoRoom> {
    let path = path.strip_suffix(&[0]).unwrap_or(path);
    info.filter_state.set_by(payer, path, value)
}

enum Value<'a> {
    Bytes(&'a [u8]),
    Text(&'a str),
    Owned(String),
    Joined(Vec<u8>),
    Uint(u64),
    Int(i64),
    Bool(bool),
    Map(Visible<'a>),
}

impl Value<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Joined(bytes) => out.extend_from_slice(bytes),
            Self::Owned(text) => out.extend_from_slice(text.as_bytes()),
            Self::Uint(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Int(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Bool(value) => out.push(u8::from(*value)),
            Self::Map(headers) => headers.encode(out),
        }
    }
}

impl Scope<'_> {
    /// Asks the driver for a property; says whether it has written one.
    fn ask(&self, path: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(attributes) = self.stream.as_ref().and_then(|stream| stream.attributes) else { return false };
        // No name has an empty segment.
        if path.split(|byte| *byte == 0).any(<[u8]>::is_empty) {
            return false;
        }
        let is_known = attributes.get(path, out);
        if !is_known {
            out.clear();
        }
        is_known
    }
}

impl<'a> Stream<'a> {
    /// Returns whether a property is only what it is where the host says nothing, so that the driver may know better.
    fn is_unset(&self, path: &[u8]) -> bool {
        let info = self.info;
        self.attributes.is_some()
            && match path {
                b"connection\0id" | b"connection_id" => info.connection_id == 0,
                b"connection\0requested_server_name" => info.server_name.is_none(),
                b"response\0flags" => info.response_flags == 0,
                b"upstream\0request_attempt_count" => info.upstream_attempts == 0,
                b"upstream\0transport_failure_reason" => info.upstream_failure.is_none(),
                b"request\0time" => info.start_time == 0,
                b"connection\0mtls"
                | b"upstream\0locality"
                | b"xds\0filter_chain_name"
                | b"xds\0listener_direction" => true,
                _ => false,
            }
    }

    fn attribute(&'a self, object: &[u8], name: &[u8], key: Option<&[u8]>) -> Option<Value<'a>> {
        match object {
            b"request" => self.request(name, key),
            b"response" => self.response(name, key),
            b"source" => address(self.info.source, name),
            b"destination" => address(self.info.destination, name),
            b"upstream" => self.upstream(name),
            b"connection" => self.connection(name),
            b"xds" => match name {
                b"cluster_name" => self.info.cluster_name.as_deref().map(Value::Text),
                b"route_name" => self.info.route_name.as_deref().map(Value::Text),
                // A listener has one chain, without a name, and no direction (0: unspecified).
                b"filter_chain_name" => Some(Value::Text("")),
                b"listener_direction" => Some(Value::Int(0)),
                _ => None,
            },
            _ => None,
        }
    }

    fn request(&'a self, name: &[u8], key: Option<&[u8]>) -> Option<Value<'a>> {
        let headers = self.request_headers;
        let header = |name: &[u8]| headers.and_then(|headers| headers.get(name)).map(Value::Bytes);
        match name {
            b"headers" => map(headers, key),
            b"path" => header(b":path"),
            b"url_path" => self.split_path().map(|(path, _)| Value::Bytes(path)),
            b"query" => self.split_path().map(|(_, query)| Value::Bytes(query.unwrap_or_default())),
            b"host" => header(b":authority"),
            b"scheme" => header(b":scheme"),
            b"method" => header(b":method"),
            b"referer" => header(b"referer"),
            b"useragent" => header(b"user-agent"),
            b"id" => header(b"x-request-id"),
            b"protocol" => Some(Value::Text(self.info.protocol)).filter(|_| !self.info.protocol.is_empty()),
            b"time" => i64::try_from(self.info.start_time).ok().map(Value::Int),
            b"duration" => self.info.duration.and_then(|ns| i64::try_from(ns).ok()).map(Value::Int),
            // As in Envoy, the number that the client gives, if it gives one; NotFound for what is none.
            b"size" => match headers.and_then(|headers| headers.get(b"content-length")) {
                Some(length) => std::str::from_utf8(length).ok()?.trim_ascii().parse().ok().map(Value::Int),
                None => int(self.info.request_size),
            },
            b"total_size" => total_size(self.info.request_size, [headers]),
            b"headers_bytes" => total_size(0, [headers]),
            _ => None,
        }
    }

    fn response(&'a self, name: &[u8], key: Option<&[u8]>) -> Option<Value<'a>> {
        let size = self.info.response_size;
        match name {
            b"headers" => map(self.response_headers, key),
            b"trailers" => map(self.response_trailers, key),
            b"code" => self.info.response_code.map(|code| Value::Int(code.into())),
            b"code_details" => self.info.response_details.as_deref().map(Value::Text),
            b"size" => int(size),
            b"total_size" => total_size(size, [self.response_headers, self.response_trailers]),
            b"headers_bytes" => total_size(0, [self.response_headers]),
            b"flags" => int(self.info.response_flags),
            b"backend_latency" => self.info.backend_latency.and_then(int),
            b"grpc_status" => self.grpc_status().map(Value::Int),
            _ => None,
        }
    }

    /// Returns the status of gRPC that the response has, or that stands for its status of HTTP.
    fn grpc_status(&self) -> Option<i64> {
        const UNKNOWN: i64 = 2;
        let maps = [self.response_trailers, self.response_headers];
        let text = maps.into_iter().flatten().find_map(|map| map.get(b"grpc-status").filter(|text| !text.is_empty()));
        if let Some(text) = text {
            let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            // -1: it is none.
            return Some(number.filter(|number| (0..=16).contains(number)).unwrap_or(-1));
        }
        Some(match self.info.response_code? {
            400 => 13,
            401 => 16,
            403 => 7,
            404 => 12,
            429 | 502 | 503 | 504 => 14,
            _ => UNKNOWN,
        })
    }

    fn connection(&'a self, name: &[u8]) -> Option<Value<'a>> {
        match name {
            b"id" => Some(Value::Uint(self.info.connection_id)),
            b"mtls" => Some(Value::Bool(false)),
            b"requested_server_name" => Some(Value::Text(self.info.server_name.as_deref().unwrap_or_default())),
            b"tls_version" => self.info.tls_version.as_deref().map(Value::Text),
            _ => None,
        }
    }

    fn upstream(&'a self, name: &[u8]) -> Option<Value<'a>> {
        let attempts = self.info.upstream_attempts;
        match name {
            b"local_address" => address(self.info.upstream_local, b"address"),
            b"num_endpoints" => self.info.upstream_endpoints.map(Value::Uint),
            b"request_attempt_count" => Some(Value::Uint(attempts)),
            b"cx_pool_ready_duration" => self.info.upstream_ready.and_then(int),
            // A message without fields: endpoints have no locality here.
            b"locality" => self.info.upstream.map(|_| Value::Text("")),
            b"transport_failure_reason" => {
                let reason = self.info.upstream_failure.as_deref().unwrap_or_default();
                Some(Value::Text(reason)).filter(|_| attempts > 0)
            }
            _ => address(self.info.upstream, name),
        }
    }

    /// Returns path and query of the request.
    fn split_path(&'a self) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        let path = self.request_headers.as_ref()?.get(b":path")?;
        match path.iter().position(|byte| *byte == b'?') {
            None => Some((path, None)),
            Some(at) => Some((path.get(..at)?, path.get(at + 1..))),
        }
    }
}

/// Returns a map, which is empty where there is none, or the values of a key.
fn map<'a>(headers: Option<Visible<'a>>, key: Option<&[u8]>) -> Option<Value<'a>> {
    const NO_PAIRS: &[u8] = &0_u32.to_le_bytes();
    match key {
        None => Some(headers.map_or(Value::Bytes(NO_PAIRS), Value::Map)),
        Some(key) => joined(headers?, key),
    }
}

/// Returns all values of a name, with commas between, as Envoy's map has them.
fn joined<'a>(headers: Visible<'a>, key: &[u8]) -> Option<Value<'a>> {
    let first = headers.get(key)?;
    if authority::is_named(headers.map, key) {
        return Some(Value::Bytes(first));
    }
    let mut values = headers.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(first), Some(second)) => {
            let mut all = [first, b",", second].concat();
            for value in values {
                all.push(b',');
                all.extend_from_slice(value);
            }
            Some(Value::Joined(all))
        }
        _ => Some(Value::Bytes(first)),
    }
}

fn int(value: u64) -> Option<Value<'static>> {
    i64::try_from(value).ok().map(Value::Int)
}

fn address(address: Option<std::net::SocketAddr>, name: &[u8]) -> Option<Value<'static>> {
    match name {
        b"address" => address.map(|address| Value::Owned(address.to_string())),
        b"port" => address.map(|address| Value::Int(address.port().into())),
        _ => None,
    }
}

/// The bytes of a body and of maps, as far as they are there.
fn total_size<const N: usize>(body: u64, maps: [Option<Visible<'_>>; N]) -> Option<Value<'static>> {
    let size = |map: Visible<'_>| map.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let bytes: usize = maps.into_iter().flatten().map(size).sum();
    int(body.checked_add(u64::try_from(bytes).ok()?)?)
}

#[cfg(test)]
mod tests;
