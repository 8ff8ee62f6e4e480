//! The upstreams that plugins call.

use std::fmt::Display;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use portcullis_chain::AnyStreamId;

use crate::body::QueueBody;
use crate::dns::SystemResolver;

/// Sends what plugins ask upstreams for. The driver makes callouts of it: timeouts, bounds, gRPC's framing and the
/// answers that plugins get of failures are its own.
pub trait Upstreams: 'static {
    /// The body of a response.
    type Body: Body<Data = Bytes, Error: Into<SendError> + Display> + Unpin + 'static;

    /// Sends a request, of a callout or a gRPC call, to the upstream that a plugin has named. Its target is in absolute form,
    /// and its body may go on after the response has begun. Dropping the future or the response's body gives the
    /// request up.
    fn send(
        &self,
        upstream: &str,
        request: Request<QueueBody>,
    ) -> impl Future<Output = Result<Response<Self::Body>, SendError>>;

    /// Returns whether the upstream takes HTTP/2, which gRPC needs; `None` if there is no such upstream.
    fn speaks_http2(&self, upstream: &str) -> Option<bool>;

    /// Notes that an upstream did not answer a callout within its `limit`.
    fn timed_out(&self, upstream: &str, limit: Duration) {
        let _ = (upstream, limit);
    }

    /// Notes that a callout has failed because as many are in flight as may be
    /// ([`Builder::max_callouts`](crate::Builder::max_callouts)).
    fn refused(&self) {}

    /// Looks up the addresses of a name, for at most 10 seconds. By default the operating system's resolver is asked.
    fn resolve(&self, name: String, system: &SystemResolver) -> impl Future<Output = io::Result<Vec<IpAddr>>> {
        system.resolve(name)
    }
}

/// The stream in whose name a plugin makes a callout, if that is not over: an extension of the request that [`Upstreams::send`] gets, for
/// proxies that make callouts where the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CalledFor(pub AnyStreamId);

/// The reason for which there is no response, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendError {
    /// The status of the response that a plugin gets in place of one: 502 if the upstream's is invalid, else 503.
    pub status: u16,
    /// The reason in Envoy's words for a stream that was reset: `connection failure`, `overflow`, ...
    pub reason: &'static str,
    /// The reason that the upstream has given for a reset, over HTTP/2.
    pub reset: Option<h2::Reason>,
    /// Whether the upstream breaks the protocol, as opposed to a response that is well-formed and cannot be used.
    pub breaks_protocol: bool,
    /// Details, for the end of a gRPC call.
    pub message: String,
}

impl SendError {
    /// Creates an error with status 503: an upstream that cannot be reached, or has broken off.
    #[must_use]
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { status: 503, reason, reset: None, breaks_protocol: false, message: message.into() }
    }

    /// Sets that the upstream has answered with what cannot be used, and whether it breaks the protocol with it.
    #[must_use]
    pub fn invalid(mut self, breaks_protocol: bool) -> Self {
        self.status = 502;
        self.breaks_protocol = breaks_protocol;
        self
    }

    /// Sets the reason that the upstream has given for a reset.
    #[must_use]
    pub fn with_reset(mut self, reason: h2::Reason) -> Self {
        self.reset = Some(reason);
        self
    }

    /// Creates the error of an upstream that there is not.
    #[must_use]
    pub fn unknown() -> Self {
        Self::new("unknown cluster", "unknown cluster")
    }

    /// Returns the text that plugins and clients read when there is no response, as Envoy writes it.
    #[must_use]
    pub fn text(&self) -> String {
        if *self == Self::unknown() {
            return self.message.clone();
        }
        before_headers(self.reason)
    }
}

/// Returns the text that plugins and clients read when there is no response for a `reason`, as Envoy writes it.
#[must_use]
pub fn before_headers(reason: &str) -> String {
    format!("upstream connect error or disconnect/reset before headers. reset reason: {reason}")
}

impl std::error::Error for SendError {}

impl Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// A body that cannot fail.
impl From<std::convert::Infallible> for SendError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}
