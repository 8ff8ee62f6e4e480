//! gRPC callouts of plugins, over HTTP/2 (gRPC over HTTP/2: PROTOCOL-HTTP2.md).

mod frame;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
pub(super) mod sender;
mod status;

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body_util::BodyExt;
use portcullis::chain::CalloutId;
use portcullis::resources::{GrpcEvent, GrpcRequest};
use portcullis::sandbox::HeldBytes;

use self::frame::Decoder;
use self::sender::Sender;
use self::status::Status;
use crate::net::queue::{QueueBody, body_queue};
use crate::serve::worker::callout::OVERFLOW;
use crate::serve::worker::context::Context;
use crate::serve::worker::in_flight::Flight;
use crate::upstream::connector::{AnswerBody, Upstream};
use portcullis::chain::convert;
use portcullis::chain::convert::is_authority;
use portcullis::chain::convert::strip_hop_by_hop;

/// The most bytes of one message that a plugin gets.
const MAX_MESSAGE: usize = 16 << 20;

/// Opens a call or stream, and tells the plugin what comes of it.
pub(super) fn start(context: &Rc<Context>, id: CalloutId, mut request: GrpcRequest) {
    let (sender, body) = body_queue();
    let sender = Sender::new(sender);
    let message = request.message.take();
    let is_call = message.is_some();
    if let Some(message) = message {
        sender.send(message, true);
    }
    context.grpc.borrow_mut().insert(id, sender);
    let told = Told { context: Rc::clone(context), id, is_call, message: None, room: None };
    let flight = context.in_flight.begin();
    let task = tokio::task::spawn_local(run(told, request, body, flight));
    context.callouts.borrow_mut().insert(id, task.abort_handle());
}

async fn run(mut told: Told, request: GrpcRequest, body: QueueBody, flight: Option<Flight>) {
    told.room = told.context.worker.borrow_mut().answer_room(told.id);
    let timeout = request.timeout;
    let end = match (&flight, timeout) {
        (None, _) => Status::new(status::UNAVAILABLE, OVERFLOW),
        (Some(_), None) => exchange(&mut told, request, body).await,
        (Some(_), Some(limit)) => {
            let exchange = exchange(&mut told, request, body);
            tokio::time::timeout(limit, exchange).await.unwrap_or(Status::DEADLINE_EXCEEDED)
        }
    };
    let event = match (told.is_call, end.code, told.message.take()) {
        (true, 0, Some(message)) => GrpcEvent::Message(message),
        (true, 0, None) => Status::new(status::INTERNAL, "the upstream sent no message").into_close(),
        _ => end.into_close(),
    };
    let Told { context, id, room, .. } = told;
    let _turn = context.answer_turn(id).await;
    drop(flight);
    context.callouts.borrow_mut().remove(&id);
    let sender = context.grpc.borrow_mut().remove(&id);
    drop(sender);
    context.worker.borrow_mut().grpc_event(id, event);
    drop(room);
    context.pump();
}

/// Delivers the events of a call or stream to the plugin: of a call its one message at the end, of a stream everything at once.
struct Told {
    context: Rc<Context>,
    id: CalloutId,
    is_call: bool,
    message: Option<Bytes>,
    /// The room for what has come and is not told yet.
    room: Option<HeldBytes>,
}

impl Told {
    /// Takes the room for so many bytes of a message, besides the one that is there.
    fn hold(&mut self, bytes: usize) -> Result<(), Status> {
        let bytes = bytes.saturating_add(self.message.as_ref().map_or(0, Bytes::len));
        if self.room.as_mut().is_none_or(|room| room.resize(bytes)) {
            return Ok(());
        }
        Err(Status::new(status::RESOURCE_EXHAUSTED, "limits.buffers of the plugin is used up"))
    }

    async fn tell(&mut self, event: GrpcEvent) -> Result<(), Status> {
        if !self.is_call {
            let _turn = self.context.answer_turn(self.id).await;
            self.context.worker.borrow_mut().grpc_event(self.id, event);
            self.context.pump();
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
async fn exchange(told: &mut Told, request: GrpcRequest, body: QueueBody) -> Status {
    let context = Rc::clone(&told.context);
    let Some(upstream) = context.clusters.get(&request.upstream) else {
        return Status::new(status::UNAVAILABLE, "unknown cluster");
    };
    if !upstream.speaks_http2() {
        let message = format!("cluster {} does not speak HTTP/2: give it `protocol: http2`", request.upstream);
        return Status::new(status::UNAVAILABLE, message);
    }
    let request = match head(&request) {
        Ok(head) => head.map(|()| body),
        Err(error) => return error,
    };
    match send(upstream, request).await {
        Err(end) => end,
        Ok(response) => receive(told, response).await.unwrap_or_else(|end| end),
    }
}

async fn send(upstream: &Upstream, request: Request<QueueBody>) -> Result<Response<AnswerBody>, Status> {
    let answer = upstream.send(request, |_, _| ()).await;
    answer.map_err(|error| Status::new(status::of_reset(&error), super::callout::before_headers(&error)))
}

async fn receive(told: &mut Told, response: Response<AnswerBody>) -> Result<Status, Status> {
    let (parts, mut body) = response.into_parts();
    if let Some(error) = status::of_head(&parts) {
        return Err(error);
    }
    // Without messages, the trailers may come in the headers' place.
    // differs: Envoy tells the same fields as initial metadata first.
    if let Some(end) = Status::read(&parts.headers) {
        told.tell(GrpcEvent::TrailingMetadata(convert::trailers(&parts.headers))).await?;
        return Ok(end);
    }
    told.tell(GrpcEvent::InitialMetadata(convert::response_headers(&parts))).await?;
    let mut decoder = Decoder::new(MAX_MESSAGE);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Status::new(status::of_reset(&error), error.to_string()))?;
        match frame.into_data() {
            Ok(data) => {
                decoder.push(data);
                told.hold(decoder.len())?;
                while let Some(message) = decoder.next()? {
                    told.tell(GrpcEvent::Message(message)).await?;
                    // A plugin that gives up meanwhile is heard.
                    tokio::task::yield_now().await;
                }
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                let end = Status::read(&trailers);
                told.tell(GrpcEvent::TrailingMetadata(convert::trailers(&trailers))).await?;
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

/// Sets the fields that are gRPC's own, whatever the plugin put there.
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
