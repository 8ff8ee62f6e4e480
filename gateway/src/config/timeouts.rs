//! Time limits for the clients of a listener.

use std::time::Duration;

use portcullis_config::reader::{Key, Mapping, Read, Section, Type, Value, duration};
use serde_json::{Value as Json, json};

/// The time limits of a listener. Zero is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the TLS handshake, from the connection on.
    pub handshake: Duration,
    /// For a request's head: the first one's from the connection (or handshake) on, another one's of HTTP/1 from its first byte on.
    pub request_headers: Duration,
    /// For a connection without a request.
    pub idle: Duration,
    /// For a request and its response, while nothing of either moves.
    pub stream_idle: Duration,
    /// For a request and its response altogether.
    pub max_stream_duration: Duration,
    /// For a client's socket that takes no bytes while there are some to send.
    pub write: Duration,
    /// The PINGs of HTTP/2.
    pub keepalive: Keepalive,
}

/// The PINGs to a silent HTTP/2 peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// The silence before a PING is sent; zero for no PINGs.
    pub interval: Duration,
    /// The time for the answer; never zero.
    pub timeout: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            request_headers: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            stream_idle: Duration::from_secs(300),
            max_stream_duration: Duration::ZERO,
            write: Duration::from_secs(60),
            keepalive: Keepalive::default(),
        }
    }
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { interval: Duration::from_secs(60), timeout: Duration::from_secs(20) }
    }
}

impl Keepalive {
    /// Returns the value of its key, as the file has it.
    pub(super) fn to_json(self) -> Json {
        json!({ "interval": duration::format(self.interval), "timeout": duration::format(self.timeout) })
    }
}

impl Timeouts {
    /// Returns the keys and values of a listener, as the file has them; `tcp` is one that proxies TCP streams.
    pub(crate) fn members(&self, tcp: bool) -> Vec<(&'static str, Json)> {
        let text = |limit| Json::from(duration::format(limit));
        let mut members = vec![(HANDSHAKE.name, text(self.handshake))];
        if !tcp {
            members.extend([
                (REQUEST_HEADERS.name, text(self.request_headers)),
                (IDLE.name, text(self.idle)),
                (STREAM_IDLE.name, text(self.stream_idle)),
                (MAX_STREAM_DURATION.name, text(self.max_stream_duration)),
                (WRITE.name, text(self.write)),
                (KEEPALIVE.name, self.keepalive.to_json()),
            ]);
        }
        members
    }
}

pub(super) const HANDSHAKE: Key = Key::new(
    "transport_socket_connect_timeout",
    Type::Duration,
    "The longest that the TLS handshake may take, from the connection on; `0s` is no limit.",
)
.default("10s");
pub(super) const REQUEST_HEADERS: Key = Key::new(
    "request_headers_timeout",
    Type::Duration,
    "The longest that a request's head may take; `0s` is no limit.",
)
.default("30s");
pub(super) const IDLE: Key = Key::new(
    "idle_timeout",
    Type::Duration,
    "The longest that a connection may be without a request; `0s` is no limit.",
)
.default("60s");
pub(super) const STREAM_IDLE: Key = Key::new(
    "stream_idle_timeout",
    Type::Duration,
    "The longest that a request and its response may stand still, whoever holds them up; `0s` is no limit.",
)
.default("300s");
pub(super) const MAX_STREAM_DURATION: Key = Key::new(
    "max_stream_duration",
    Type::Duration,
    "The longest that a request and its response may take altogether; `0s` is no limit.",
)
.default("0s");
pub(super) const WRITE: Key = Key::new(
    "write_timeout",
    Type::Duration,
    "The longest that a client's socket may take no bytes while there are some to send; `0s` is no limit.",
)
.default("60s");
pub(super) const KEEPALIVE: Key =
    Key::new("connection_keepalive", Type::Section(&PINGS), "PINGs to a silent HTTP/2 peer.");

const INTERVAL: Key =
    Key::new("interval", Type::Duration, "The silence before a PING is sent; `0s` for no PINGs.").default("60s");
const TIMEOUT: Key = Key::new("timeout", Type::Positive, "The longest that its answer may take.").default("20s");

static PINGS: Section = Section::new(
    "connection_keepalive",
    "listeners[].connection_keepalive, clusters[].connection_keepalive",
    "The PINGs of HTTP/2.",
    &[INTERVAL, TIMEOUT],
)
.page("timeouts.md");

/// Reads the limits of a listener; `tcp` is one that proxies TCP streams, which has only that of the handshake.
pub(super) fn read(mapping: &Mapping<'_>, tcp: bool) -> Read<Timeouts> {
    let default = Timeouts::default();
    let limit = |key: Key, default: Duration| mapping.or(key, default, duration::read);
    let handshake = limit(HANDSHAKE, default.handshake);
    let request_headers = limit(REQUEST_HEADERS, default.request_headers);
    let idle = limit(IDLE, default.idle);
    let stream_idle = limit(STREAM_IDLE, default.stream_idle);
    let max_stream_duration = limit(MAX_STREAM_DURATION, default.max_stream_duration);
    let write = limit(WRITE, default.write);
    let keepalive = mapping.or(KEEPALIVE, default.keepalive, keepalive);
    for key in [REQUEST_HEADERS, IDLE, STREAM_IDLE, MAX_STREAM_DURATION, WRITE, KEEPALIVE] {
        if let Some(place) = mapping.get(key).filter(|_| tcp) {
            let message = format!("{} is ignored: TCP streams have no requests", key.name);
            place.notice(message, "remove it; tcp_proxy has an idle_timeout of its own");
        }
    }
    Ok(Timeouts {
        handshake: handshake?,
        request_headers: request_headers?,
        idle: idle?,
        stream_idle: stream_idle?,
        max_stream_duration: max_stream_duration?,
        write: write?,
        keepalive: keepalive?,
    })
}

/// Reads the PINGs of HTTP/2.
pub(super) fn keepalive(value: &Value<'_>) -> Read<Keepalive> {
    let default = Keepalive::default();
    let mapping = value.mapping(&PINGS)?;
    let interval = mapping.or(INTERVAL, default.interval, duration::read);
    let timeout = mapping.or(TIMEOUT, default.timeout, duration::positive);
    Ok(Keepalive { interval: interval?, timeout: timeout? })
}
