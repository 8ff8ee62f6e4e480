//! gRPC callouts (spec: "gRPC calls"). They belong to the root, which is notified of the answers later.

use std::time::Duration;

use crate::abi::hostcall::HostcallId;
use crate::abi::{Status, pairs};
use crate::engine::memory::GuestMemory;
use crate::hostcall::guard::Callout;
use crate::hostcall::{Failure, Hostcall, HostcallResult, Reply};
use crate::model::action::Action;
use crate::model::headers::Headers;
use crate::resources::grpc::{GrpcId, GrpcRequest, GrpcService, NoRoom, Sending};
use crate::rights::Family;
use crate::vm::state::{UsedUp, VmState};

/// Address and length of something in guest memory.
type Range = (i32, i32);

/// Sends one message and expects one (spec: `proxy_grpc_call`). The timeout is in milliseconds; 0 is none, or
/// that of the `GrpcService`.
///
/// `ParseFailure`: the upstream is neither known nor a `GrpcService` message. `InternalFailure`: that message names no
/// cluster that is known; metadata is malformed, or more than 1 MiB or 1024 entries; service or method has other
/// characters than a path segment may have; [`Limits::callouts`](crate::model::Limits::callouts) are in flight, or they and their messages take
/// [`Limits::buffer`](crate::model::Limits::buffer); or the sandbox has no room ([`Limits::buffers`](crate::model::Limits::buffers)).
///
/// differs: Envoy answers `BadArgument` when it does not know the cluster of a message, and puts any service and
/// method into the path. The Rust SDK panics on statuses other than these two, so here nothing is `BadArgument`.
#[expect(clippy::too_many_arguments, reason = "the ABI's own")]
pub(in crate::hostcall) fn grpc_call(
    mut call: Hostcall<'_>,
    upstream: i32,
    upstream_len: i32,
    service: i32,
    service_len: i32,
    method: i32,
    method_len: i32,
    metadata: i32,
    metadata_len: i32,
    message: i32,
    message_len: i32,
    timeout: i32,
    ret_call: i32,
) -> HostcallResult {
    let ranges = [(upstream, upstream_len), (service, service_len), (method, method_len), (metadata, metadata_len)];
    let timeout = Some(Duration::from_millis(timeout.cast_unsigned().into())).filter(|timeout| !timeout.is_zero());
    open(&mut call, ranges, Some((message, message_len)), timeout, ret_call)
}

/// Opens a stream of messages (spec: `proxy_grpc_stream`).
///
/// As [`grpc_call`].
#[expect(clippy::too_many_arguments, reason = "the ABI's own")]
pub(in crate::hostcall) fn grpc_stream(
    mut call: Hostcall<'_>,
    upstream: i32,
    upstream_len: i32,
    service: i32,
    service_len: i32,
    method: i32,
    method_len: i32,
    metadata: i32,
    metadata_len: i32,
    ret_stream: i32,
) -> HostcallResult {
    let ranges = [(upstream, upstream_len), (service, service_len), (method, method_len), (metadata, metadata_len)];
    open(&mut call, ranges, None, None, ret_stream)
}

/// Sends a message on a stream, maybe as the last (spec: `proxy_grpc_send`).
///
/// `BadArgument`: not the id of a stream, or of one whose last message has been sent; or
/// [`Limits::buffer`](crate::model::Limits::buffer) bytes wait to be sent, or the sandbox has no room ([`Limits::buffers`](crate::model::Limits::buffers)). `NotFound`: no stream of this plugin has it.
pub(in crate::hostcall) fn grpc_send(
    call: Hostcall<'_>,
    stream: i32,
    message: i32,
    message_len: i32,
    end_of_stream: i32,
) -> HostcallResult {
    let message = call.memory.slice(message, message_len)?;
    let id = GrpcId(stream.cast_unsigned());
    if !id.is_stream() {
        Err(Status::BadArgument)?;
    }
    if own(call.vm, id)? == Sending::HalfClosed {
        Err(Status::BadArgument)?;
    }
    // The Rust SDK panics on `InternalFailure`.
    let (buffers, limits) = (&call.vm.budgets.buffers, &call.vm.config.vm.limits);
    let message = call.vm.grpc.message(message, buffers, limits);
    let message = message.map_err(|limit| no_room(call.vm, limit, Status::BadArgument))?;
    let end = end_of_stream != 0;
    if end {
        call.vm.grpc.half_close(id);
    }
    call.vm.actions.push_back(Action::GrpcSend { id, message, end });
    Ok(Reply::Done)
}

/// Gives up a call or stream; nothing more is told of it (spec: `proxy_grpc_cancel`).
///
/// `BadArgument`: an id of neither. `NotFound`: none of this plugin has it.
pub(in crate::hostcall) fn grpc_cancel(vm: &mut VmState, id: i32) -> HostcallResult {
    let id = valid(id)?;
    own(vm, id)?;
    vm.grpc.cancel(id);
    vm.actions.push_back(Action::GrpcCancel { id });
    Ok(Reply::Done)
}

/// Ends the sending half of a stream; gives up a call (spec: `proxy_grpc_close`).
///
/// As [`grpc_cancel`].
pub(in crate::hostcall) fn grpc_close(vm: &mut VmState, id: i32) -> HostcallResult {
    let id = valid(id)?;
    if id.is_call() {
        return grpc_cancel(vm, id.0.cast_signed());
    }
    if own(vm, id)? == Sending::Open {
        vm.grpc.half_close(id);
        vm.actions.push_back(Action::GrpcClose { id });
    }
    Ok(Reply::Done)
}

fn open(
    call: &mut Hostcall<'_>,
    [upstream, service, method, metadata]: [Range; 4],
    message: Option<Range>,
    timeout: Option<Duration>,
    ret_id: i32,
) -> HostcallResult {
    let [service, method] = [service, method].map(|(address, len)| call.memory.slice(address, len));
    let (service, method) = (service?, method?);
    let metadata = pairs::decode(call.memory.slice(metadata.0, metadata.1)?);
    if let Some((address, len)) = message {
        call.memory.slice(address, len)?;
    }
    call.memory.check_u32(ret_id)?;
    let (family, hostcall) = match message {
        Some(_) => (Family::GrpcCall, HostcallId::proxy_grpc_call),
        None => (Family::GrpcStream, HostcallId::proxy_grpc_stream),
    };
    let target = target(call.vm, &call.memory, upstream, family, hostcall)?;
    let metadata = merged(target.metadata, &metadata.map_err(|_| Status::InternalFailure)?)?;
    let (service, method) = (segment(service)?, segment(method)?);
    let guard = Callout { family, id: hostcall, upstream: &target.cluster };
    if call.vm.rule(family).is_some() {
        // The reused buffer of replies: judging a call allocates nothing.
        let mut path = std::mem::take(&mut call.vm.reply);
        path.clear();
        [service, "/", method].iter().for_each(|part| path.extend_from_slice(part.as_bytes()));
        let judged = guard.method(call.vm, &path, target.authority.as_deref());
        call.vm.reply = path;
        judged?;
        guard.fields(call.vm, "metadata", &metadata)?;
    }
    let owner = call.vm.acting_owner().ok_or(Status::InternalFailure)?;
    let root = owner.root;
    let message = message.map(|(address, len)| call.memory.slice(address, len)).transpose()?;
    let place = guard.place(call.vm)?;
    let (grpc, buffers, limits) = (&mut call.vm.grpc, &call.vm.budgets.buffers, &call.vm.config.vm.limits);
    let names = [&target.cluster, service, method].map(str::len).iter().sum::<usize>();
    let head = metadata.serialized_len() + names + target.authority.as_ref().map_or(0, String::len);
    let opened = grpc.open(owner, message.is_none(), head, place, buffers, limits).and_then(|id| {
        let message = message.map(|message| grpc.message(message, buffers, limits)).transpose();
        if message.is_err() {
            grpc.close(id);
        }
        Ok((id, message?))
    });
    let (id, message) = opened.map_err(|limit| no_room(call.vm, limit, Status::InternalFailure))?;
    let request = GrpcRequest {
        upstream: target.cluster,
        authority: target.authority,
        service: service.to_owned(),
        method: method.to_owned(),
        metadata,
        message,
        timeout: timeout.or(target.timeout),
    };
    call.vm.actions.push_back(Action::GrpcStart { root, id, request });
    call.memory.write_u32(ret_id, id.0)?;
    Ok(Reply::Done)
}

/// Tells the operator if the sandbox's budget is used up; a limit of one VM is the plugin's own affair.
fn no_room(vm: &mut VmState, limit: NoRoom, status: Status) -> Status {
    match limit {
        NoRoom::InVm => status,
        NoRoom::InBudget => vm.used_up(UsedUp::Buffers, status),
    }
}

/// Returns the metadata of a target and of the call itself.
fn merged(mut metadata: Headers, more: &Headers) -> Result<Headers, Status> {
    for (name, value) in more.iter() {
        metadata.add(name, value);
    }
    let fits = metadata.len() <= pairs::MAX_COUNT && metadata.serialized_len() <= pairs::MAX_BYTES;
    if fits { Ok(metadata) } else { Err(Status::InternalFailure) }
}

/// Returns the upstream: the name of one, or a `GrpcService` message that names one.
///
/// differs: Envoy looks for a message first; a name that happens to be one would not be found.
fn target(
    vm: &mut VmState,
    memory: &GuestMemory<'_>,
    (address, len): Range,
    family: Family,
    id: HostcallId,
) -> Result<GrpcService, Failure> {
    let bytes = memory.slice(address, len)?;
    let allowed = |vm: &mut VmState, upstream: &str| Callout { family, id, upstream }.upstream(vm);
    if let Some(name) = std::str::from_utf8(bytes).ok().filter(|name| vm.host.has_upstream(name)) {
        allowed(vm, name)?;
        return Ok(GrpcService { cluster: name.to_owned(), ..GrpcService::default() });
    }
    let service = GrpcService::parse(bytes).ok_or(Status::ParseFailure)?;
    allowed(vm, &service.cluster)?;
    if vm.finds_upstream(&service.cluster) { Ok(service) } else { Err(Status::InternalFailure.into()) }
}

/// Returns the text if it may stand between two slashes of a path.
fn segment(bytes: &[u8]) -> Result<&str, Status> {
    let fits = bytes.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'?' | b'#'));
    let text = std::str::from_utf8(bytes).ok();
    text.filter(|_| fits).ok_or(Status::InternalFailure)
}

fn valid(id: i32) -> Result<GrpcId, Status> {
    let id = GrpcId(id.cast_unsigned());
    if id.is_call() || id.is_stream() { Ok(id) } else { Err(Status::BadArgument) }
}

/// Returns whether one takes messages. Plugins that share a VM do not reach each other's.
fn own(vm: &VmState, id: GrpcId) -> Result<Sending, Status> {
    let root = vm.acting_root();
    let own = vm.grpc.owner(id).filter(|owner| Some(owner.root) == root);
    own.and_then(|_| vm.grpc.sending(id)).ok_or(Status::NotFound)
}
