use crate::abi::hostcall::HostcallId;
use crate::abi::{MapType, Status};
use crate::hostcall::{Hostcall, HostcallResult, Reply, Source, guard};
use crate::model::property::{self, Scope, Stream};
use crate::model::stream_info::NoRoom;
use crate::model::visible::Visible;
use crate::rights::{Family, Key, Rule};
use crate::vm::state::{UsedUp, VmState};

/// Returns the value of a property (spec: `proxy_get_property`).
pub(in crate::hostcall) fn get_property(
    call: Hostcall<'_>,
    path: i32,
    path_len: i32,
    ret_ptr: i32,
    ret_len: i32,
) -> HostcallResult {
    let path = call.memory.slice(path, path_len)?;
    let name = path.strip_suffix(&[0]).unwrap_or(path);
    guard::property(call.vm, name)?;
    if let Some(other) = property::set_under(name) {
        // What rules keep from a plugin has no second name.
        guard::property(call.vm, other)?;
    }
    let mut reply = std::mem::take(&mut call.vm.reply);
    let result = read(call.vm, path, &mut reply);
    call.vm.reply = reply;
    result?;
    Ok(Reply::Return { source: Source::Reply, ret_ptr, ret_len })
}

/// Sets a property of the stream (spec: `proxy_set_property`).
///
/// `NotFound`: there is no stream. `BadArgument`: there is no room in the stream, or for its sandbox
/// ([`Limits::buffers`](crate::model::Limits::buffers)); or the plugin has declared that it
/// is set once, and it is.
pub(in crate::hostcall) fn set_property(
    call: Hostcall<'_>,
    path: i32,
    path_len: i32,
    value: i32,
    value_len: i32,
) -> HostcallResult {
    let (path, value) = (call.memory.slice(path, path_len)?, call.memory.slice(value, value_len)?);
    let name = path.strip_suffix(&[0]).unwrap_or(path);
    const ID: HostcallId = HostcallId::proxy_set_property;
    guard::argument(call.vm, Family::SetProperty, ID, Key::Paths, "paths", name)?;
    if let Some(other) = property::set_under(name) {
        // Who asks for it by this path gets it in place of what is set as the other.
        guard::argument(call.vm, Family::SetProperty, ID, Key::Paths, "paths", other)?;
    }
    let stream = call.vm.acting_stream().ok_or(Status::NotFound)?;
    let root = call.vm.contexts.root(stream.root);
    let set_once = root.and_then(|root| root.declared.get(name)).is_some_and(|declared| declared.set_once);
    let written = stream.info.with(|info| {
        if set_once && info.filter_state.get(name).is_some() {
            return Err(Status::BadArgument);
        }
        Ok(property::write(info, path, value, &call.vm.budgets.buffers))
    })?;
    match written {
        Ok(()) => Ok(Reply::Done),
        Err(NoRoom::InStream) => Err(Status::BadArgument.into()),
        Err(NoRoom::InBudget) => Err(call.vm.used_up(UsedUp::Buffers, Status::BadArgument).into()),
    }
}

fn read(vm: &VmState, path: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
    let plugin = vm.plugin().ok_or(Status::NotFound)?;
    let Some(stream) = vm.acting_stream() else {
        return property::read(&Scope { plugin, stream: None }, path, out);
    };
    let rule = vm.rule(Family::ReadHeaders);
    // What is taken away may stand in what the driver has, or above it.
    let name = path.strip_suffix(&[0]).unwrap_or(path);
    let takes = |rule: &Rule| rule.takes_above(name) || !property::is_leaf(name) && rule.takes_below(name);
    let may_ask = || vm.rule(Family::GetProperty).is_none_or(|rule| !takes(rule));
    stream.info.with(|info| {
        let visible = |map, at_rest| {
            let headers = stream.slot(map).and_then(|slot| slot.map.as_ref()).or(at_rest)?;
            Some(Visible { headers, map, rule })
        };
        let stream = Stream {
            info,
            attributes: info.attributes.as_deref().filter(|_| may_ask()),
            request_headers: visible(MapType::RequestHeaders, info.request_headers.as_ref()),
            response_headers: visible(MapType::ResponseHeaders, info.response_headers.as_ref()),
            response_trailers: visible(MapType::ResponseTrailers, info.response_trailers.as_ref()),
        };
        property::read(&Scope { plugin, stream: Some(stream) }, path, out)
    })
}
