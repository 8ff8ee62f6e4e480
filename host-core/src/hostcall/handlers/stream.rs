//! Streams: continue, close, answer (spec: "HTTP streams", "TCP streams").

use crate::abi::callback::CallbackId;
use crate::abi::hostcall::HostcallId;
use crate::abi::{MapType, Status, StreamType, pairs};
use crate::hostcall::{Hostcall, HostcallResult, Reply, guard};
use crate::model::action::{Action, LocalResponse};
use crate::model::context::{Direction, StreamContext, StreamKind};
use crate::rights::Family;
use crate::vm::state::{UsedUp, VmState};

/// The most bytes of details of a local response that are kept.
const MAX_DETAILS: usize = 8 << 10;

/// Lets a paused half of the stream go on once the callback has returned
/// (spec: `proxy_continue_stream`). Nothing paused is no error. The plugin loses sight of what it
/// held of that half of an HTTP stream.
///
/// `Unimplemented`: the upstream half of what is no TCP stream, as in deployed hosts.
///
/// differs: Envoy cannot continue the upstream half of a TCP stream.
pub(in crate::hostcall) fn continue_stream(vm: &mut VmState, stream: i32) -> HostcallResult {
    let stream = StreamType::try_from(stream)?;
    let context = vm.acting();
    let held = vm.contexts.stream_mut(context).filter(|held| held.kind == kind_of(stream));
    if held.is_none() && stream == StreamType::Upstream {
        Err(Status::Unimplemented)?;
    }
    if let Some(held) = held {
        let kind = held.kind;
        let half = held.half(Direction::of(stream));
        half.continued = kind == StreamKind::Http;
        // A second call in the same callback has nothing to add.
        if !std::mem::replace(&mut half.continue_queued, true) {
            vm.actions.push_back(Action::Continue { context, stream });
        }
    }
    Ok(Reply::Done)
}

/// Does what `continue_stream(0)` does (spec 0.1.0).
pub(in crate::hostcall) fn continue_request(vm: &mut VmState) -> HostcallResult {
    continue_stream(vm, StreamType::Request as i32)
}

/// Does what `continue_stream(1)` does (spec 0.1.0).
pub(in crate::hostcall) fn continue_response(vm: &mut VmState) -> HostcallResult {
    continue_stream(vm, StreamType::Response as i32)
}

/// Cuts an HTTP stream, or closes one side of a TCP stream, once the callback has returned (spec:
/// `proxy_close_stream`). A stream that is not there is no error.
pub(in crate::hostcall) fn close_stream(vm: &mut VmState, stream: i32) -> HostcallResult {
    let stream = StreamType::try_from(stream)?;
    let context = vm.acting();
    let held = vm.contexts.stream_mut(context).filter(|held| held.kind == kind_of(stream));
    if let Some(held) = held {
        let closed = match held.kind {
            StreamKind::Http => &mut held.closed,
            StreamKind::Tcp => &mut held.half(Direction::of(stream)).closed,
        };
        if !std::mem::replace(closed, true) {
            vm.actions.push_back(Action::Close { context, stream });
        }
    }
    Ok(Reply::Done)
}

/// Has the route chosen anew (spec 0.1.0).
pub(in crate::hostcall) fn clear_route_cache(vm: &mut VmState) -> HostcallResult {
    let context = vm.acting();
    let stream = vm.acting_stream_mut().filter(|stream| stream.kind == StreamKind::Http);
    // One action is enough until it is taken.
    if stream.is_some_and(|stream| !std::mem::replace(&mut stream.route_cleared, true)) {
        vm.actions.push_back(Action::ClearRouteCache { context });
    }
    Ok(Reply::Done)
}

/// Answers the request in the upstream's place (spec: `proxy_send_local_response`). The first
/// answer of a stream that can be sent wins; one that cannot, as in a TCP stream, is accepted and dropped.
///
/// differs: a status outside 200 to 599 is sent as 500, since no client reads it as a response; Envoy sends what it is
/// given. Malformed headers are `BadArgument`; Envoy reads them as none. So is a body for which the sandbox has no room
/// ([`Limits::buffers`](crate::model::Limits::buffers)). Details are cut to 8 KiB.
#[expect(clippy::too_many_arguments, reason = "the ABI's own")]
pub(in crate::hostcall) fn send_local_response(
    call: Hostcall<'_>,
    code: i32,
    details: i32,
    details_len: i32,
    body: i32,
    body_len: i32,
    headers: i32,
    headers_len: i32,
    grpc_status: i32,
) -> HostcallResult {
    let details = call.memory.slice(details, details_len)?;
    let body = call.memory.slice(body, body_len)?;
    let headers = call.memory.slice(headers, headers_len)?;
    let valid = u16::try_from(code).ok().filter(|code| (200..=599).contains(code));
    let status = valid.unwrap_or(500);
    let headers = pairs::decode(headers).map_err(Status::from)?;
    if call.vm.rule(Family::LocalResponse).is_some_and(|rule| !rule.allows_status(status)) {
        let text = status.to_string();
        return Err(call.vm.refuse(HostcallId::proxy_send_local_response, "statuses", Some(text.as_bytes())));
    }
    for (name, value) in headers.iter() {
        guard::write(call.vm, HostcallId::proxy_send_local_response, MapType::ResponseHeaders, name, value)?;
    }
    let ended = matches!(call.vm.callback(), Some(CallbackId::on_log | CallbackId::on_done | CallbackId::on_delete));
    let context = call.vm.acting();
    let http = |stream: &&mut StreamContext| !ended && stream.kind == StreamKind::Http;
    let Some(stream) = call.vm.contexts.stream_mut(context).filter(http) else { return Ok(Reply::Done) };
    if !stream.local_response {
        let charge = call.vm.budgets.charge_piece(body.len());
        let Some(charge) = charge else {
            return Err(call.vm.used_up(UsedUp::Buffers, Status::BadArgument).into());
        };
        stream.local_response = true;
        if valid.is_none() {
            call.vm.remark(&format!("a local response has the status {code}: 500 is sent; use one from 200 to 599"));
        }
        let response = LocalResponse {
            status,
            details: String::from_utf8_lossy(details.get(..MAX_DETAILS).unwrap_or(details))
                .replace(char::is_whitespace, "_"),
            headers,
            body: charge.hold(body),
            grpc_status: u8::try_from(grpc_status).ok().filter(|status| *status <= 16),
        };
        call.vm.actions.push_back(Action::LocalResponse { context, response });
    }
    Ok(Reply::Done)
}

/// Returns the kind of stream that has such a half.
const fn kind_of(stream: StreamType) -> StreamKind {
    match stream {
        StreamType::Request | StreamType::Response => StreamKind::Http,
        StreamType::Downstream | StreamType::Upstream => StreamKind::Tcp,
    }
}
