//! gRPC callouts of plugins, over HTTP/2 (gRPC over HTTP/2: PROTOCOL-HTTP2.md).

mod frame;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
pub(crate) mod sender;
mod status;

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body::Body;
use http_body_util::BodyExt;
use portcullis_chain::convert::{self, is_authority, strip_hop_by_hop};
use portcullis_chain::{AnyStreamId, CalloutId};
use portcullis_core::resources::{GrpcEvent, GrpcRequest};
use portcullis_core::sandbox::HeldBytes;

use self::frame::Decoder;
use self::sender::Sender;
use self::status::Status;
use crate::body::{QueueBody, body_queue};
use crate::callout::OVERFLOW;
use crate::driver::Driver;
use crate::in_flight::Flight;
use crate::threads::Threads;
use crate::upstreams::{CalledFor, SendError, Upstreams};

/// The most bytes of one message that a plugin gets.
const MAX_MESSAGE: usize = 16 << 20;

/// A call or stream that a plugin has opened.
#[derive(Debug)]
pub(crate) struct Call {
    request: GrpcRequest,
    stream: Option<AnyStreamId>,
    body: QueueBody,
    is_call: bool,
}

impl Call {
    /// Makes the call or stream, and the sender of its messages: a call's one message is sent already.
    pub(crate) fn new(mut request: GrpcRequest, stream: Option<AnyStreamId>) -> (Self, Sender) {
        let (sender, body) = body_queue();
        let sender = Sender::new(sender);
        let message = request.message.take();
        let is_call = message.is_some();
        if let Some(message) = message {
            sender.send(message, true);
        }
        (Self { request, stream, body, is_call }, sender)
    }

    /// Runs it to its end, and tells the plugin what comes of it. Without a place among those in flight it fails at once.
    pub(crate) async fn run<T: Threads, U: Upstreams>(
        self,
        driver: &Driver<T, U>,
        id: CalloutId,
        flight: Option<Flight>,
    ) {
        let Self { request, stream, body, is_call } = self;
        let room = driver.with(|worker| worker.answer_room(id));
        let mut delivery = Delivery { driver, id, is_call, message: None, room };
        let timeout = request.timeout;
        let end = match (&flight, timeout) {
            (None, _) => Status::new(status::UNAVAILABLE, OVERFLOW),
            (Some(_), None) => exchange(&mut delivery, request, stream, body).await,
            (Some(_), Some(limit)) => {
                let exchange = exchange(&mut delivery, request, stream, body);
                tokio::time::timeout(limit, exchange).await.unwrap_or(Status::DEADLINE_EXCEEDED)
            }
        };
        let event = match (is_call, end.code, delivery.message.take()) {
            (true, 0, Some(message)) => GrpcEvent::Message(message),
            (true, 0, None) => Status::new(status::INTERNAL, "the upstream sent no message").into_close(),
            _ => end.into_close(),
        };
        let _turn = driver.answer_turn(id).await;
        drop(flight);
        driver.forget(id);
        driver.with(|worker| worker.grpc_event(id, event));
        drop(delivery);
        driver.pump();
    }
}

/// Delivers the events of a call or stream to the plugin: of a call its one message at the end, of a stream everything at once.
struct Delivery<'a, T: Threads, U: Upstreams> {
    driver: &'a Driver<T, U>,
    id: CalloutId,
    is_call: bool,
    message: Option<Bytes>,
    /// The room for received bytes that were not passed to the plugin yet.
    room: Option<HeldBytes>,
}

impl<T: Threads, U: Upstreams> Delivery<'_, T, U> {
    /// Takes the room for this number of bytes of a message, in addition to the room that it has.
    fn hold(&mut self, bytes: usize) -> Result<(), Status> {
        let bytes = bytes.saturating_add(self.message.as_ref().map_or(0, Bytes::len));
        if self.room.as_mut().is_none_or(|room| room.resize(bytes)) {
            return Ok(());
        }
        Err(Status::new(status::RESOURCE_EXHAUSTED, "limits.buffers of the plugin is used up"))
    }

    async fn deliver(&mut self, event: GrpcEvent) -> Result<(), Status> {
        if !self.is_call {
            let _turn = self.driver.answer_turn(self.id).await;
            self.driver.call(|worker| worker.grpc_event(self.id, event));
            return Ok(());
        }
        let GrpcEvent::Message(message) = event else { return Ok(()) };
        if self.message.replace(message).is_some() {
            return Err(Status::new(status::INTERNAL, "the upstream sent more than one message"));
        }
        Ok(())
    }
}

/// Runs a call or stream to its end.
async fn exchange<T: Threads, U: Upstreams>(
    delivery: &mut Delivery<'_, T, U>,
    request: GrpcRequest,
    stream: Option<AnyStreamId>,
    body: QueueBody,
) -> Status {
    let upstreams = delivery.driver.upstreams();
    match upstreams.speaks_http2(&request.upstream) {
        None => return Status::new(status::UNAVAILABLE, "unknown cluster"),
        Some(false) => {
            let message = format!("cluster {} does not speak HTTP/2: give it `protocol: http2`", request.upstream);
            return Status::new(status::UNAVAILABLE, message);
        }
        Some(true) => {}
    }
    let head = match head(&request) {
        Ok(mut head) => {
            if let Some(stream) = stream {
                head.extensions_mut().insert(CalledFor(stream));
            }
            head.map(|()| body)
        }
        Err(error) => return error,
    };
    match upstreams.send(&request.upstream, head).await {
        Err(error) => Status::new(status::of_reset(&error), error.text()),
        Ok(response) => receive(delivery, response).await.unwrap_or_else(|end| end),
    }
}

async fn receive<T: Threads, U: Upstreams, B>(
    delivery: &mut Delivery<'_, T, U>,
    response: Response<B>,
) -> Result<Status, Status>
where
    B: Body<Data = Bytes, Error: Into<SendError>> + Unpin,
{
    let (parts, mut body) = response.into_parts();
    if let Some(error) = status::of_head(&parts) {
        return Err(error);
    }
    // Without messages, the trailers may come in the headers' place.
    // differs: Envoy tells the same fields as initial metadata first.
    if let Some(end) = Status::read(&parts.headers) {
        delivery.deliver(GrpcEvent::TrailingMetadata(convert::trailers(&parts.headers))).await?;
        return Ok(end);
    }
    delivery.deliver(GrpcEvent::InitialMetadata(convert::response_headers(&parts))).await?;
    let mut decoder = Decoder::new(MAX_MESSAGE);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let error = error.into();
            Status::new(status::of_reset(&error), error.message)
        })?;
        match frame.into_data() {
            Ok(data) => {
                decoder.push(data);
                delivery.hold(decoder.len())?;
                while let Some(message) = decoder.next()? {
                    delivery.deliver(GrpcEvent::Message(message)).await?;
                    // A plugin that gives up meanwhile is heard.
                    tokio::task::yield_now().await;
                }
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                let end = Status::read(&trailers);
                delivery.deliver(GrpcEvent::TrailingMetadata(convert::trailers(&trailers))).await?;
                decoder.finish()?;
                return end.ok_or_else(|| Status::new(status::UNKNOWN, "the upstream's trailers have no grpc-status"));
            }
        }
    }
    Err(Status::new(status::UNKNOWN, "the upstream ended the stream without a status"))
}

fn head(request: &GrpcRequest) -> Result<Request<()>, Status> {
    let bad = |what: &str| Status::new(status::INTERNAL, format!("a plugin made the {what} invalid"));
    let authority = request.authority.as_ref().unwrap_or(&request.upstream);
    let path = format!("/{}/{}", request.service, request.method);
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    let valid = Some(authority).filter(|authority| is_authority(authority.as_bytes()));
    parts.authority =
        Some(valid.and_then(|valid| Authority::try_from(valid.as_str()).ok()).ok_or_else(|| bad("authority"))?);
    parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(|_| bad("service or method"))?);
    let uri = Uri::from_parts(parts).map_err(|_| bad("service or method"))?;
    let mut fields =
        convert::fields(&request.metadata).map_err(|error| Status::new(status::INTERNAL, error.to_string()))?;
    strip_hop_by_hop(&mut fields);
    reserve(&mut fields, request.timeout);
    let mut head = Request::new(());
    *head.method_mut() = Method::POST;
    *head.uri_mut() = uri;
    *head.version_mut() = Version::HTTP_2;
    *head.headers_mut() = fields;
    Ok(head)
}

/// Sets the fields that belong to gRPC, in place of the plugin's.
fn reserve(fields: &mut HeaderMap, timeout: Option<Duration>) {
    const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
    for name in ["host", "content-length", "grpc-encoding", "grpc-accept-encoding", "grpc-timeout"] {
        fields.remove(name);
    }
    let te = HeaderValue::from_static("trailers");
    fields.insert(TE, te);
    let grpc = HeaderValue::from_static("application/grpc");
    fields.insert(CONTENT_TYPE, grpc);
    if let Some(timeout) = timeout {
        fields.insert(TIMEOUT, status::timeout(timeout));
    }
}
