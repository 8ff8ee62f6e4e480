//! Time limits for the clients of a listener.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::document::Read;
use super::duration;
use super::mapping::Mapping;
use super::value::Value;

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
    /// The value of its key, as the file has it.
    pub(super) fn to_json(self) -> Json {
        json!({ "interval": duration::format(self.interval), "timeout": duration::format(self.timeout) })
    }
}

impl Timeouts {
    /// The keys and values of a listener, as the file has them; `tcp` is one that proxies TCP streams.
    pub(super) fn members(&self, tcp: bool) -> Vec<(&'static str, Json)> {
        let text = |limit| Json::from(duration::format(limit));
        let mut members = vec![(HANDSHAKE, text(self.handshake))];
        if !tcp {
            members.extend([
                (REQUEST_HEADERS, text(self.request_headers)),
                (IDLE, text(self.idle)),
                (STREAM_IDLE, text(self.stream_idle)),
                (MAX_STREAM_DURATION, text(self.max_stream_duration)),
                (WRITE, text(self.write)),
                (KEEPALIVE, self.keepalive.to_json()),
            ]);
        }
        members
    }
}

pub(super) const HANDSHAKE: &str = "transport_socket_connect_timeout";
pub(super) const REQUEST_HEADERS: &str = "request_headers_timeout";
pub(super) const IDLE: &str = "idle_timeout";
pub(super) const STREAM_IDLE: &str = "stream_idle_timeout";
pub(super) const MAX_STREAM_DURATION: &str = "max_stream_duration";
pub(super) const WRITE: &str = "write_timeout";
pub(super) const KEEPALIVE: &str = "connection_keepalive";

/// Reads the limits of a listener; `tcp` is one that proxies TCP streams, which has only that of the handshake.
pub(super) fn read(mapping: &Mapping<'_>, tcp: bool) -> Read<Timeouts> {
    let default = Timeouts::default();
    let limit = |key: &str, default: Duration| mapping.or(key, default, duration::read);
    let handshake = limit(HANDSHAKE, default.handshake);
    let request_headers = limit(REQUEST_HEADERS, default.request_headers);
    let idle = limit(IDLE, default.idle);
    let stream_idle = limit(STREAM_IDLE, default.stream_idle);
    let max_stream_duration = limit(MAX_STREAM_DURATION, default.max_stream_duration);
    let write = limit(WRITE, default.write);
    let keepalive = mapping.or(KEEPALIVE, default.keepalive, keepalive);
    for key in [REQUEST_HEADERS, IDLE, STREAM_IDLE, MAX_STREAM_DURATION, WRITE, KEEPALIVE] {
        if let Some(place) = mapping.get(key).filter(|_| tcp) {
            let message = format!("{key} is ignored: TCP streams have no requests");
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
    let mapping = value.mapping(&["interval", "timeout"])?;
    let interval = mapping.or("interval", default.interval, duration::read);
    let timeout = mapping.or("timeout", default.timeout, duration::positive);
    Ok(Keepalive { interval: interval?, timeout: timeout? })
}
