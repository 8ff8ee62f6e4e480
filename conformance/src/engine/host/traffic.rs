//! The part of a proxy, without IO: streams pass, callouts are answered at once.

use bytes::Bytes;
use portcullis::abi::PeerType;
use portcullis::model::{
    Access, Action, Body, CallResponse, ContextId, Direction, Headers, LocalResponse, SharedStreamInfo,
};
use portcullis::resources::GrpcEvent;
use portcullis::vm::{CallOutcome, VmFailed};

use super::info;
use crate::engine::running::Running;
use crate::host_under_test::Message;

/// State of a stream.
struct Stream {
    info: SharedStreamInfo,
    reply: Option<LocalResponse>,
    is_cut: bool,
}

/// Runs one request, up to the end of its stream. What pauses is let go on: nothing here waits.
pub(super) fn exchange(running: &mut Running, request: &Message) -> Result<Message, VmFailed> {
    let info = info::request();
    let request = &forwarded_for(request);
    let stream = running.vm.create_stream(running.root, info.clone())?;
    let mut state = Stream { info, reply: None, is_cut: false };
    let passed = half(running, stream, Direction::Request, request, &mut state)?;
    let mut response = Message::default();
    if state.reply.is_none() && !state.is_cut {
        response = half(running, stream, Direction::Response, &passed.answer(), &mut state)?;
    }
    if let Some(LocalResponse { status, headers, body, .. }) = state.reply.take() {
        let status = (":status".to_owned(), status.to_string());
        response =
            Message { headers: std::iter::once(status).chain(pairs(&headers)).collect(), body, trailers: Vec::new() };
    }
    info::over(&state.info);
    log(running, stream, [(Direction::Request, request), (Direction::Response, &response)])?;
    running.vm.on_done(stream)?;
    running.vm.delete(stream)?;
    Ok(response)
}

/// Returns a request with what a proxy adds to it.
fn forwarded_for(request: &Message) -> Message {
    let mut request = request.clone();
    for (name, value) in
        [(":scheme", "http"), ("x-request-id", "2f3c1b9e-8a7d-4c5b-9e0f-1a2b3c4d5e6f"), ("x-forwarded-proto", "http")]
    {
        request.headers.push((name.to_owned(), value.to_owned()));
    }
    request
}

/// Calls the callback in which all that there was can be read once more.
fn log(running: &mut Running, stream: ContextId, halves: [(Direction, &Message); 2]) -> Result<(), VmFailed> {
    if let Some(lent) = running.vm.stream(stream) {
        for (direction, message) in halves {
            lent.lend_headers(direction, headers(&message.headers), Access::Read);
            let trailers = (!message.trailers.is_empty()).then(|| headers(&message.trailers));
            lent.lend_trailers(direction, trailers, Access::Read);
        }
    }
    running.vm.on_log(stream)?;
    if let Some(lent) = running.vm.stream(stream) {
        for (direction, _) in halves {
            lent.take_headers(direction);
            lent.take_trailers(direction);
        }
    }
    Ok(())
}

/// Runs one direction of a stream, and returns what passes on.
fn half(
    running: &mut Running,
    stream: ContextId,
    direction: Direction,
    message: &Message,
    state: &mut Stream,
) -> Result<Message, VmFailed> {
    let (has_body, has_trailers) = (!message.body.is_empty(), !message.trailers.is_empty());
    let lent = |running: &mut Running, lend: &dyn Fn(&mut portcullis::model::StreamContext)| {
        if let Some(lent) = running.vm.stream(stream) {
            lend(lent);
        }
    };
    if direction == Direction::Response {
        info::answered(&state.info, message.header(":status").and_then(|code| code.parse().ok()));
    }
    lent(running, &|lent| lent.lend_headers(direction, headers(&message.headers), Access::Write));
    running.vm.on_headers(stream, direction, !has_body && !has_trailers)?;
    let passed = running.vm.stream(stream).and_then(|lent| lent.take_headers(direction)).unwrap_or_default();
    let mut on = Message { headers: pairs(&passed), ..Message::default() };
    match direction {
        Direction::Request => state.info.with(|info| info.request_headers = Some(passed)),
        Direction::Response => state.info.with(|info| info.response_headers = Some(passed)),
    }
    if direction == Direction::Request {
        // All of it comes while the headers are looked at.
        info::came(&state.info, message.body.len());
    }
    if look(running, stream, state)? {
        return Ok(on);
    }
    match direction {
        Direction::Request => info::forwarded(&state.info),
        Direction::Response if !has_trailers => info::complete(&state.info),
        Direction::Response => {}
    }
    if has_body {
        lent(running, &|lent| lent.lend_body(direction, Body::from(message.body.clone())));
        running.vm.on_body(stream, direction, !has_trailers)?;
        let body = running.vm.stream(stream).and_then(|lent| lent.take_body(direction));
        on.body = body.map(|body| body.to_bytes()).unwrap_or_default();
        if direction == Direction::Response {
            info::sent(&state.info, on.body.len());
            info::complete(&state.info);
        }
        if look(running, stream, state)? {
            return Ok(on);
        }
    }
    if has_trailers {
        let trailers = || Some(headers(&message.trailers));
        lent(running, &|lent| lent.lend_trailers(direction, trailers(), Access::Write));
        running.vm.on_trailers(stream, direction)?;
        let trailers = running.vm.stream(stream).and_then(|lent| lent.take_trailers(direction)).unwrap_or_default();
        on.trailers = pairs(&trailers);
        match direction {
            Direction::Request => state.info.with(|info| info.request_trailers = Some(trailers)),
            Direction::Response => state.info.with(|info| info.response_trailers = Some(trailers)),
        }
        look(running, stream, state)?;
    }
    Ok(on)
}

/// Runs a TCP stream: bytes come, the upstream answers `hello`, the client says that it has no more, and the upstream
/// closes.
pub(super) fn connection(running: &mut Running, bytes: &[u8]) -> Result<Vec<u8>, VmFailed> {
    let info = info::connection();
    let stream = running.vm.create_tcp_stream(running.root, info.clone())?;
    running.vm.on_new_connection(stream)?;
    let mut state = Stream { info, reply: None, is_cut: false };
    look(running, stream, &mut state)?;
    info::forwarded(&state.info);
    let mut answer = Vec::new();
    let pieces = [(bytes, false), (b"hello", false), (b"", true), (b"", true)];
    for ((data, end), direction) in
        pieces.into_iter().zip([Direction::Request, Direction::Response].into_iter().cycle())
    {
        if direction == Direction::Request {
            info::came(&state.info, data.len());
        }
        if let Some(lent) = running.vm.stream(stream) {
            lent.lend_body(direction, Body::from(Bytes::copy_from_slice(data)));
        }
        running.vm.on_data(stream, direction, end)?;
        let body = running.vm.stream(stream).and_then(|lent| lent.take_body(direction));
        if direction == Direction::Response {
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            info::sent(&state.info, body.len());
            answer.extend(body);
        }
    }
    running.vm.on_connection_close(stream, Direction::Response, PeerType::Remote)?;
    running.vm.on_connection_close(stream, Direction::Request, PeerType::Local)?;
    info::over(&state.info);
    running.vm.on_done(stream)?;
    running.vm.on_log(stream)?;
    running.vm.delete(stream)?;
    Ok(answer)
}

/// Carries out what was asked for; says whether a stream goes no further.
fn look(running: &mut Running, stream: ContextId, state: &mut Stream) -> Result<bool, VmFailed> {
    while let Some(action) = running.vm.next_action() {
        match action {
            Action::LocalResponse { context, response } if context == stream => {
                state.reply.get_or_insert(response);
            }
            Action::Close { context, .. } if context == stream => state.is_cut = true,
            other => carry_out(running, other)?,
        }
    }
    Ok(state.reply.is_some() || state.is_cut)
}

/// Lets everything happen that does not need a stream: callouts, queues, a tick.
pub(super) fn settle(running: &mut Running) -> Result<(), VmFailed> {
    /// A guest may feed its own queues for ever.
    const ITEMS: usize = 8;
    if running.vm.tick_period(running.root).is_some() {
        running.tick()?;
    }
    for _ in 0..ITEMS {
        while let Some(action) = running.vm.next_action() {
            carry_out(running, action)?;
        }
        if !running.vm.on_queue_ready()? {
            break;
        }
    }
    Ok(())
}

/// Callouts are answered at once.
fn carry_out(running: &mut Running, action: Action) -> Result<(), VmFailed> {
    let map = |pairs: &[(&str, &str)]| -> Headers { pairs.iter().copied().collect() };
    match action {
        Action::HttpCall { call, .. } => {
            let body = Body::from(Bytes::from_static(b"ok"));
            let headers = map(&[(":status", "200"), ("x-upstream", "here")]);
            let response = CallResponse::default()
                .with_headers(headers)
                .with_body(body)
                .with_trailers(map(&[("x-trailer", "sent")]));
            running.vm.on_http_call_response(call, CallOutcome::Response(response))
        }
        Action::GrpcStart { id, .. } => {
            for event in [
                GrpcEvent::InitialMetadata(map(&[("x-upstream", "here")])),
                GrpcEvent::Message(Bytes::from_static(b"ok")),
                GrpcEvent::TrailingMetadata(map(&[("x-trailer", "sent")])),
                GrpcEvent::Close { status: 0, message: String::new() },
            ] {
                if running.vm.has_grpc(id) {
                    running.vm.on_grpc(id, event)?;
                }
            }
            Ok(())
        }
        Action::ResolveDns { id, .. } => running.vm.on_resolve_dns(id, &[std::net::Ipv4Addr::LOCALHOST.into()]),
        _ => Ok(()),
    }
}

fn headers(pairs: &[(String, String)]) -> Headers {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn pairs(headers: &Headers) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    headers.iter().map(|(name, value)| (text(name), text(value))).collect()
}
