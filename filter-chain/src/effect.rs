//! Effects: a worker asks its driver to carry them out.

use std::time::Duration;

use bytes::Bytes;
use portcullis_core::model::{Body, Direction, HttpCall};
use portcullis_core::resources::GrpcRequest;

use crate::id::{AnyStreamId, CalloutId, ConnectionId, StreamId};

/// Something to be done for one stream.
///
/// Headers and trailers that leave the chain stand in the stream's
/// [`StreamInfo`](portcullis_core::model::StreamInfo), where plugins read them as properties and in
/// their logs; so none is copied for an effect.
#[derive(Debug)]
#[non_exhaustive]
pub enum StreamEffect {
    /// Send the request's headers upstream.
    RequestHeaders {
        /// Whether nothing follows.
        end: bool,
    },
    /// Send request body upstream.
    RequestBody {
        /// The bytes.
        body: Body,
        /// Whether nothing follows.
        end: bool,
    },
    /// Send the request's trailers upstream; nothing follows. Where plugins have removed all of them, the map in
    /// [`StreamInfo`](portcullis_core::model::StreamInfo) is empty: the body ends without trailers, and a proxy that changes messages in
    /// place removes those that came.
    RequestTrailers,
    /// The request is answered without its upstream: stop sending it, ignore what answers.
    RequestDone,
    /// Send the response's headers to the client.
    ResponseHeaders {
        /// Whether the response is a plugin's or the proxy's own, and not the upstream's.
        local: bool,
        /// Whether nothing follows.
        end: bool,
    },
    /// Send response body to the client.
    ResponseBody {
        /// The bytes.
        body: Body,
        /// Whether nothing follows.
        end: bool,
    },
    /// Send the response's trailers to the client, as [`RequestTrailers`](Self::RequestTrailers); nothing follows.
    ResponseTrailers,
    /// Choose the route anew.
    RouteCleared,
    /// Cut the stream: its response cannot be completed.
    Reset {
        /// Why, for logs.
        reason: &'static str,
    },
}

/// Something to be done for one TCP stream. [`Direction::Request`] is from the client to the upstream.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectionEffect {
    /// Connect to the upstream.
    Connect,
    /// Send data on, the way that they went; `end` says that nothing follows.
    Data {
        /// The way.
        direction: Direction,
        /// The data, maybe none.
        data: Body,
        /// Whether nothing follows.
        end: bool,
    },
    /// Close the connection with the client ([`Direction::Request`]) or with the upstream.
    Close {
        /// The side of the client, or of the upstream.
        direction: Direction,
    },
    /// Cut both connections: a plugin has failed.
    Reset {
        /// Why, for logs.
        reason: &'static str,
    },
}

/// Something to be done for a worker.
#[derive(Debug)]
#[non_exhaustive]
pub enum Effect {
    /// Make an HTTP callout; tell [`Worker::callout_done`](crate::Worker::callout_done) its end.
    Callout {
        /// Its id.
        id: CalloutId,
        /// The stream in whose name the plugin asked, if that is not over.
        stream: Option<AnyStreamId>,
        /// The request.
        request: HttpCall,
    },
    /// Open a gRPC call or stream; tell [`Worker::grpc_event`](crate::Worker::grpc_event) what comes of it, up to
    /// its end.
    GrpcStart {
        /// Its id.
        id: CalloutId,
        /// The stream in whose name the plugin asked, if that is not over.
        stream: Option<AnyStreamId>,
        /// The call or stream.
        request: GrpcRequest,
    },
    /// Send a message on a gRPC stream.
    GrpcSend {
        /// The stream's id.
        id: CalloutId,
        /// The message.
        message: Bytes,
        /// Whether it is the last.
        end: bool,
    },
    /// No more messages are sent on a gRPC stream.
    GrpcClose {
        /// The stream's id.
        id: CalloutId,
    },
    /// Look up a name, or a literal address; tell [`Worker::resolved`](crate::Worker::resolved) its addresses.
    ResolveDns {
        /// Its id.
        id: CalloutId,
        /// The stream in whose name the plugin asked, if that is not over.
        stream: Option<AnyStreamId>,
        /// The name.
        name: String,
    },
    /// Call [`Worker::tick`](crate::Worker::tick) when this time has passed, for ticks and for VMs that are recycled. Takes the place of every
    /// earlier one: a driver has one timer for all plugins. Comes when that has to be set anew, and after each call of `tick`.
    Tick {
        /// The time from now; `None` if nothing is due.
        after: Option<Duration>,
    },
    /// Nobody waits for this callout any more.
    CancelCallout {
        /// Its id.
        id: CalloutId,
    },
    /// A TCP stream may have effects now; see [`Worker::connection_effect`](crate::Worker::connection_effect).
    WakeConnection {
        /// The stream.
        id: ConnectionId,
    },
    /// Another stream than the one that was fed may have effects now.
    Wake {
        /// The stream.
        stream: StreamId,
    },
}
