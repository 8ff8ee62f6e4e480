//! gRPC callouts: the requests of guests, and their answers (spec: "gRPC calls").

mod calls;
mod service;

use std::time::Duration;

use bytes::Bytes;

use crate::model::headers::Headers;
use crate::setters::setters;

pub(crate) use calls::{GrpcCalls, NoRoom, Sending};
pub(crate) use service::GrpcService;

/// The id of a gRPC call or stream, unique among those in flight of its VM. As in deployed hosts,
/// `id % 4` is 1 for a call and 2 for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrpcId(pub u32);

impl GrpcId {
    /// Returns whether it is the id of a call.
    pub const fn is_call(self) -> bool {
        self.0 & 3 == 1
    }

    /// Returns whether it is the id of a stream.
    pub const fn is_stream(self) -> bool {
        self.0 & 3 == 2
    }
}

/// A gRPC call or stream to be opened (spec: `proxy_grpc_call`, `proxy_grpc_stream`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GrpcRequest {
    /// The upstream's name.
    pub upstream: String,
    /// The authority; the upstream's name if there is none.
    pub authority: Option<String>,
    /// The service, as in `package.Service`: visible ASCII without `/`, `?` and `#`.
    pub service: String,
    /// The method, of the same characters.
    pub method: String,
    /// The initial metadata.
    pub metadata: Headers,
    /// The message of a call, which is all that is sent; a stream has none. It counts against
    /// [`Limits::buffer`](crate::model::Limits::buffer) until it is dropped.
    pub message: Option<Bytes>,
    /// How long it may take; none is no limit.
    pub timeout: Option<Duration>,
}

impl GrpcRequest {
    /// Makes the request of a stream, without metadata and without a limit of time.
    pub fn new(upstream: impl Into<String>, service: impl Into<String>, method: impl Into<String>) -> Self {
        Self {
            upstream: upstream.into(),
            authority: None,
            service: service.into(),
            method: method.into(),
            metadata: Headers::new(),
            message: None,
            timeout: None,
        }
    }

    setters! {
        with_authority(impl Into<Option<String>>) -> authority;
        with_metadata(Headers) -> metadata;
        with_message(impl Into<Option<Bytes>>) -> message;
        with_timeout(impl Into<Option<Duration>>) -> timeout;
    }
}

/// An event of a call or stream.
///
/// A call that succeeds has one message and nothing else; one that fails has a close alone. A stream has
/// initial metadata, messages, trailing metadata and a close, of which all but the close may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GrpcEvent {
    /// The initial metadata, with `:status`.
    InitialMetadata(Headers),
    /// A message.
    Message(Bytes),
    /// The trailing metadata.
    TrailingMetadata(Headers),
    /// The call or stream is over.
    Close {
        /// The gRPC status, 0 to 16.
        status: u32,
        /// The message of the upstream, or of the host, about it.
        message: String,
    },
}

/// The parts of an event that a guest can read while it is told of it.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) initial_metadata: Option<Headers>,
    pub(crate) message: Option<Bytes>,
    pub(crate) trailing_metadata: Option<Headers>,
}
