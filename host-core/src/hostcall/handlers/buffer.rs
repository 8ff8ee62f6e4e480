//! Buffers (spec: "Buffers"). The order of checks is that of deployed hosts: buffer type,
//! availability, memory.

use crate::abi::callback::CallbackId;
use crate::abi::{BufferType, Status};
use crate::hostcall::{Hostcall, HostcallResult, Reply, Source};
use crate::model::context::{Direction, StreamKind};
use crate::vm::state::{Buffer, UsedUp};

/// Returns a part of a buffer (spec: `proxy_get_buffer_bytes`). A start past the end, or length 0, is an empty value.
#[inline(always)]
pub(in crate::hostcall) fn get_buffer_bytes(
    call: Hostcall<'_>,
    buffer: i32,
    start: i32,
    max_len: i32,
    ret_ptr: i32,
    ret_len: i32,
) -> HostcallResult {
    let buffer = BufferType::try_from(buffer)?;
    let view = call.vm.buffer(buffer);
    if matches!(view, Buffer::Unavailable) {
        Err(Status::NotFound)?;
    }
    let (start, max_len) = (to_usize(start), to_usize(max_len));
    let len = max_len.min(view.len().saturating_sub(start));
    Ok(Reply::Return { source: Source::Buffer { buffer, start, len }, ret_ptr, ret_len })
}

/// Returns the length of a buffer; its flags are always 0 (spec: `proxy_get_buffer_status`).
pub(in crate::hostcall) fn get_buffer_status(
    mut call: Hostcall<'_>,
    buffer: i32,
    ret_len: i32,
    ret_flags: i32,
) -> HostcallResult {
    let view = call.vm.buffer(BufferType::try_from(buffer)?);
    if matches!(view, Buffer::Unavailable) {
        Err(Status::NotFound)?;
    }
    let len = u32::try_from(view.len()).unwrap_or(u32::MAX);
    call.memory.write_u32(ret_len, len)?;
    call.memory.write_u32(ret_flags, 0)?;
    Ok(Reply::Done)
}

/// Puts data in place of a part of a body, or of the data of a TCP stream (spec: `proxy_set_buffer_bytes`): `start` 0 and length 0
/// prepends, `start` at or past the end appends, a length past the end replaces the rest.
///
/// `BadArgument`: the body would be longer than [`Limits::buffer`](crate::model::Limits::buffer), or the sandbox has no room
/// ([`Limits::buffers`](crate::model::Limits::buffers)).
///
/// differs: Envoy refuses a start inside the body, which the spec allows.
pub(in crate::hostcall) fn set_buffer_bytes(
    call: Hostcall<'_>,
    buffer: i32,
    start: i32,
    len: i32,
    data: i32,
    data_len: i32,
) -> HostcallResult {
    let (kind, direction) = match BufferType::try_from(buffer)? {
        BufferType::HttpRequestBody => (StreamKind::Http, Direction::Request),
        BufferType::HttpResponseBody => (StreamKind::Http, Direction::Response),
        BufferType::DownstreamData => (StreamKind::Tcp, Direction::Request),
        BufferType::UpstreamData => (StreamKind::Tcp, Direction::Response),
        other => return Err(immutable(&call.vm.buffer(other)).into()),
    };
    let max = call.vm.config.vm.limits.buffer;
    let data = call.memory.slice(data, data_len);
    let charge = call.vm.budgets.charge_piece(data.as_ref().map_or(0, |data| data.len()));
    let stream = call.vm.acting_stream_mut().filter(|stream| stream.kind == kind);
    let half = stream.map(|stream| stream.half(direction));
    let body = half.filter(|half| !half.continued).and_then(|half| half.body.as_mut());
    let body = body.ok_or(Status::BadArgument)?;
    let data = data?;
    let (start, len) = (to_usize(start), to_usize(len));
    let kept = body.len() - len.min(body.len().saturating_sub(start));
    if kept.saturating_add(data.len()) > max {
        Err(Status::BadArgument)?;
    }
    let Some(charge) = charge else { return Err(call.vm.used_up(UsedUp::Buffers, Status::BadArgument).into()) };
    body.splice(start, len, charge.hold(data));
    Ok(Reply::Done)
}

/// Returns the configuration, in ABI 0.1.0 (spec 0.1.0: `proxy_get_configuration`): the plugin's in
/// `proxy_on_configure` and while its root is created, else the VM's.
pub(in crate::hostcall) fn get_configuration(call: Hostcall<'_>, ret_ptr: i32, ret_len: i32) -> HostcallResult {
    let plugins = matches!(call.vm.callback(), Some(CallbackId::on_configure | CallbackId::on_context_create))
        && call.vm.contexts.root(call.vm.acting()).is_some();
    let buffer = if plugins { BufferType::PluginConfiguration } else { BufferType::VmConfiguration };
    let len = call.vm.buffer(buffer).len();
    Ok(Reply::Return { source: Source::Buffer { buffer, start: 0, len }, ret_ptr, ret_len })
}

fn immutable(view: &Buffer<'_>) -> Status {
    if matches!(view, Buffer::Unavailable) { Status::NotFound } else { Status::BadArgument }
}

fn to_usize(value: i32) -> usize {
    usize::try_from(value.cast_unsigned()).unwrap_or(usize::MAX)
}
