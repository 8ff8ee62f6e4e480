use std::time::Duration;

use bytes::Bytes;

use crate::abi::hostcall::HostcallId;
use crate::abi::{Status, pairs};
use crate::hostcall::guard::Callout;
use crate::hostcall::{Hostcall, HostcallResult, Reply};
use crate::model::action::{Action, HttpCall};
use crate::model::authority;
use crate::model::headers::Headers;
use crate::rights::Family;
use crate::vm::state::UsedUp;

/// Starts an HTTP callout of the root (spec: `proxy_http_call`). The id that the guest reads is 0
/// when it fails.
///
/// `BadArgument`: unknown upstream, headers without method, path or authority, malformed maps,
/// a negative timeout. `InternalFailure`: too many callouts in flight, or too large; the sandbox has no room
/// ([`Limits::buffers`](crate::model::Limits::buffers)); or the plugin's rules do not allow it.
#[expect(clippy::too_many_arguments, reason = "the ABI's own")]
pub(in crate::hostcall) fn http_call(
    mut call: Hostcall<'_>,
    upstream: i32,
    upstream_len: i32,
    headers: i32,
    headers_len: i32,
    body: i32,
    body_len: i32,
    trailers: i32,
    trailers_len: i32,
    timeout: i32,
    ret_call: i32,
) -> HostcallResult {
    call.memory.slice(body, body_len)?;
    call.memory.slice(upstream, upstream_len)?;
    let headers = pairs::decode(call.memory.slice(headers, headers_len)?);
    let trailers = pairs::decode(call.memory.slice(trailers, trailers_len)?);
    call.memory.write_u32(ret_call, 0)?;
    let name = std::str::from_utf8(call.memory.slice(upstream, upstream_len)?).map_err(|_| Status::BadArgument)?;
    let guard = Callout { family: Family::HttpCall, id: HostcallId::proxy_http_call, upstream: name };
    guard.upstream(call.vm)?;
    if !call.vm.finds_upstream(name) {
        Err(Status::BadArgument)?;
    }
    let request = HttpCall {
        upstream: name.to_owned(),
        headers: checked(headers.map_err(Status::from)?)?,
        trailers: trailers.map_err(Status::from)?,
        timeout: milliseconds(timeout)?,
        body: Bytes::new(),
    };
    guard.head(call.vm, &request.headers)?;
    guard.fields(call.vm, "headers", &request.trailers)?;
    let body = call.memory.slice(body, body_len)?;
    let head = request.headers.serialized_len() + request.trailers.serialized_len();
    let owner = call.vm.acting_owner().ok_or(Status::InternalFailure)?;
    let root = owner.root;
    let place = guard.place(call.vm)?;
    let charges = (call.vm.budgets.charge_piece(head), call.vm.budgets.charge_piece(body.len()));
    let (Some(charge), Some(body_charge)) = charges else {
        return Err(call.vm.used_up(UsedUp::Buffers, Status::InternalFailure).into());
    };
    let limits = &call.vm.config.vm.limits;
    let id = call.vm.calls.open(owner, head + body.len(), place, charge, limits).ok_or(Status::InternalFailure)?;
    let request = HttpCall { body: body_charge.hold(body), ..request };
    call.vm.actions.push_back(Action::HttpCall { root, call: id, request });
    call.memory.write_u32(ret_call, id.0)?;
    Ok(Reply::Done)
}

fn checked(headers: Headers) -> Result<Headers, Status> {
    let headers = authority::merged(headers);
    let has = |name: &str| headers.get(name.as_bytes()).is_some();
    let complete = has(":method") && has(":path") && has(":authority");
    if complete { Ok(headers) } else { Err(Status::BadArgument) }
}

/// 0 is no timeout.
fn milliseconds(timeout: i32) -> Result<Option<Duration>, Status> {
    let timeout = u64::try_from(timeout).map_err(|_| Status::BadArgument)?;
    Ok((timeout != 0).then(|| Duration::from_millis(timeout)))
}
