//! Actions that guests ask for. Hostcalls record actions; the embedder carries them out when the outermost
//! guest call has returned.

use std::time::Duration;

use bytes::Bytes;

use crate::abi::StreamType;
use crate::model::context::ContextId;
use crate::model::headers::Headers;
use crate::resources::dns::LookupId;
use crate::resources::grpc::{GrpcId, GrpcRequest};
use crate::setters::setters;

/// Something that a guest asked for.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Let a paused half of a stream go on.
    Continue {
        /// The stream.
        context: ContextId,
        /// Which half.
        stream: StreamType,
    },
    /// Cut a stream.
    Close {
        /// The stream.
        context: ContextId,
        /// Which half.
        stream: StreamType,
    },
    /// Answer a request in the upstream's place.
    LocalResponse {
        /// The stream.
        context: ContextId,
        /// The answer.
        response: LocalResponse,
    },
    /// Make an HTTP callout; its outcome goes to [`Vm::on_http_call_response`](crate::vm::Vm::on_http_call_response).
    HttpCall {
        /// The root that it belongs to.
        root: ContextId,
        /// Its id.
        call: CallId,
        /// The request to send.
        request: HttpCall,
    },
    /// Give up an HTTP callout: its root has been deleted.
    HttpCancel {
        /// Its id.
        call: CallId,
    },
    /// Open a gRPC call or stream; what comes back goes to [`Vm::on_grpc`](crate::vm::Vm::on_grpc).
    GrpcStart {
        /// The root that it belongs to.
        root: ContextId,
        /// Its id.
        id: GrpcId,
        /// The call or stream to open.
        request: GrpcRequest,
    },
    /// Send a message on a gRPC stream.
    GrpcSend {
        /// The stream.
        id: GrpcId,
        /// The message. It counts against [`Limits::buffer`](crate::model::Limits::buffer) until it is dropped.
        message: Bytes,
        /// Whether it is the last.
        end: bool,
    },
    /// No more messages are sent on a gRPC stream.
    GrpcClose {
        /// The stream.
        id: GrpcId,
    },
    /// Give up a gRPC call or stream.
    GrpcCancel {
        /// Which.
        id: GrpcId,
    },
    /// Look up a name; its addresses go to [`Vm::on_resolve_dns`](crate::vm::Vm::on_resolve_dns).
    ResolveDns {
        /// The root that it belongs to.
        root: ContextId,
        /// Its id.
        id: LookupId,
        /// A name or a literal address: 1 to 253 visible ASCII characters.
        name: String,
    },
    /// Give up a lookup: its root has been deleted.
    LookupCancel {
        /// Its id.
        id: LookupId,
    },
    /// The tick period of a root has changed; see [`Vm::tick_period`](crate::vm::Vm::tick_period).
    SetTick {
        /// The root.
        root: ContextId,
    },
    /// Choose the route of a stream anew.
    ClearRouteCache {
        /// The stream.
        context: ContextId,
    },
    /// The memory of the VM has passed [`Recycle::memory`](crate::sandbox::Recycle::memory). Comes once for a VM.
    MemoryPassed {
        /// Bytes of linear memory that it has now.
        bytes: usize,
    },
    /// A root that was asked to end, and asked for time, has finished.
    RootDone {
        /// The root.
        root: ContextId,
    },
}

/// The id of a callout, unique among the callouts in flight of its VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u32);

/// A response that a plugin makes (spec: `proxy_send_local_response`).
///
/// ```
/// use portcullis_core::model::LocalResponse;
///
/// let response = LocalResponse::new(429).with_details("too_many_requests").with_body("slow down\n");
/// assert_eq!((response.status, response.grpc_status), (429, None));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalResponse {
    /// HTTP status, 200 to 599; 500 for a guest's that is none.
    pub status: u16,
    /// Why, for logs.
    pub details: String,
    /// Headers besides `:status`.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
    /// gRPC status, for gRPC requests, 0 to 16.
    pub grpc_status: Option<u8>,
}

impl LocalResponse {
    /// Makes a response without a body.
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    setters! {
        with_status(u16) -> status;
        with_details(impl Into<String>) -> details;
        with_headers(Headers) -> headers;
        with_body(impl Into<Bytes>) -> body;
        with_grpc_status(impl Into<Option<u8>>) -> grpc_status;
    }
}

/// An HTTP callout (spec: `proxy_http_call`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpCall {
    /// The upstream's name.
    pub upstream: String,
    /// Headers, with `:method`, `:path` and `:authority`.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
    /// The trailers.
    pub trailers: Headers,
    /// How long it may take; none is no limit.
    pub timeout: Option<Duration>,
}

impl HttpCall {
    /// Makes a callout without a body and without a limit of time.
    pub fn new(upstream: impl Into<String>, headers: Headers) -> Self {
        Self { upstream: upstream.into(), headers, body: Bytes::new(), trailers: Headers::new(), timeout: None }
    }

    setters! {
        with_body(impl Into<Bytes>) -> body;
        with_trailers(Headers) -> trailers;
        with_timeout(impl Into<Option<Duration>>) -> timeout;
    }
}
