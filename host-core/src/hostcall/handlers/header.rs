//! Header maps (spec: "HTTP fields"). The order of checks is that of deployed hosts: map type,
//! memory, availability of the map.

use crate::abi::callback::CallbackId;
use crate::abi::hostcall::HostcallId;
use crate::abi::{AbiVersion, MapType, Status, pairs};
use crate::hostcall::{Hostcall, HostcallResult, Reply, Source, growth, guard};
use crate::model::authority;
use crate::model::headers::Headers;
use crate::rights::Family;
use crate::vm::state::VmState;

/// Returns the first value of a name (spec: `proxy_get_header_map_value`). An absent name is `NotFound`, and in ABI
/// 0.1.0 an empty value. A map that is not there is `BadArgument`, while logging as an absent name. So is a header that
/// the plugin's rules hide.
#[inline(always)]
pub(in crate::hostcall) fn get_header_map_value(
    call: Hostcall<'_>,
    map: i32,
    key: i32,
    key_len: i32,
    ret_ptr: i32,
    ret_len: i32,
) -> HostcallResult {
    let map = MapType::try_from(map)?;
    let key = call.memory.slice(key, key_len)?;
    let visible = guard::may_read(call.vm, map, key)?;
    let mut reply = std::mem::take(&mut call.vm.reply);
    reply.clear();
    let found = match call.vm.map(map) {
        Some(_) if !visible => Ok(false),
        Some(headers) => Ok(value(headers, map, key).map(|value| reply.extend_from_slice(value)).is_some()),
        None if call.vm.callback() == Some(CallbackId::on_log) => Ok(false),
        None => Err(Status::BadArgument),
    };
    call.vm.reply = reply;
    if !found? && call.vm.config.abi > AbiVersion::V0_1_0 {
        Err(Status::NotFound)?;
    }
    Ok(Reply::Return { source: Source::Reply, ret_ptr, ret_len })
}

/// Adds a value (spec: `proxy_add_header_map_value`).
pub(in crate::hostcall) fn add_header_map_value(
    call: Hostcall<'_>,
    map: i32,
    key: i32,
    key_len: i32,
    value: i32,
    value_len: i32,
) -> HostcallResult {
    let map = MapType::try_from(map)?;
    let (key, value) = (call.memory.slice(key, key_len)?, call.memory.slice(value, value_len)?);
    guard::write(call.vm, HostcallId::proxy_add_header_map_value, map, key, value)?;
    put(call.vm, map, key, value, false)
}

/// Leaves one value (spec: `proxy_replace_header_map_value`).
pub(in crate::hostcall) fn replace_header_map_value(
    call: Hostcall<'_>,
    map: i32,
    key: i32,
    key_len: i32,
    value: i32,
    value_len: i32,
) -> HostcallResult {
    let map = MapType::try_from(map)?;
    let (key, value) = (call.memory.slice(key, key_len)?, call.memory.slice(value, value_len)?);
    guard::write(call.vm, HostcallId::proxy_replace_header_map_value, map, key, value)?;
    put(call.vm, map, key, value, true)
}

/// Removes all values of a name; an absent name is no error (spec: `proxy_remove_header_map_value`).
pub(in crate::hostcall) fn remove_header_map_value(
    call: Hostcall<'_>,
    map: i32,
    key: i32,
    key_len: i32,
) -> HostcallResult {
    let map = MapType::try_from(map)?;
    let key = call.memory.slice(key, key_len)?;
    guard::write(call.vm, HostcallId::proxy_remove_header_map_value, map, key, b"")?;
    let slot = call.vm.writable_slot(map)?;
    growth::removed(&mut slot.unseen, authority::name(map, key));
    match &mut slot.map {
        Some(headers) if authority::is_named(map, key) => authority::remove(headers),
        Some(headers) => drop(headers.remove(key)),
        None => {}
    }
    Ok(Reply::Done)
}

/// Returns all entries, as pairs (spec: `proxy_get_header_map_pairs`).
///
/// differs: the spec has `BadArgument` for a map that is not there; deployed hosts answer an empty
/// map, and SDKs rely on it.
#[inline(always)]
pub(in crate::hostcall) fn get_header_map_pairs(
    call: Hostcall<'_>,
    map: i32,
    ret_ptr: i32,
    ret_len: i32,
) -> HostcallResult {
    let map = MapType::try_from(map)?;
    if let Some(rule) = call.vm.rule(Family::ReadHeaders) {
        rule.learn_all_headers(map);
    }
    Ok(Reply::Return { source: Source::Pairs(map), ret_ptr, ret_len })
}

/// Replaces all entries (spec: `proxy_set_header_map_pairs`), but for those that the plugin's rules hide.
pub(in crate::hostcall) fn set_header_map_pairs(
    call: Hostcall<'_>,
    map: i32,
    pairs: i32,
    pairs_len: i32,
) -> HostcallResult {
    let map = MapType::try_from(map)?;
    let bytes = call.memory.slice(pairs, pairs_len)?;
    call.vm.writable_slot(map)?;
    let mut new = pairs::decode(bytes).map_err(Status::from)?;
    if map == MapType::RequestHeaders {
        new = authority::merged(new);
    }
    let (new, unseen) = guard::set_pairs(call.vm, map, new)?;
    let slot = call.vm.writable_slot(map)?;
    (slot.map, slot.unseen) = (Some(new), unseen);
    Ok(Reply::Done)
}

/// Returns the size of the map as pairs (spec: `proxy_get_header_map_size`).
///
/// differs: Envoy answers the sum of all lengths, and only for a map that can be written.
pub(in crate::hostcall) fn get_header_map_size(mut call: Hostcall<'_>, map: i32, ret_size: i32) -> HostcallResult {
    let map = MapType::try_from(map)?;
    call.memory.check_u32(ret_size)?;
    let size = call.vm.visible(map).ok_or(Status::BadArgument)?.serialized_len();
    call.memory.write_u32(ret_size, u32::try_from(size).unwrap_or(u32::MAX))?;
    Ok(Reply::Done)
}

/// Returns the first value of a name, or the one of its two names.
#[inline]
fn value<'a>(headers: &'a Headers, map: MapType, key: &[u8]) -> Option<&'a [u8]> {
    if authority::is_named(map, key) { authority::get(headers) } else { headers.get(key) }
}

/// Adds a value, or puts it in the place of others; the host of a request is one value in any case.
#[inline(always)]
fn put(vm: &mut VmState, map: MapType, key: &[u8], value: &[u8], replaces: bool) -> HostcallResult {
    let is_authority = authority::is_named(map, key);
    let (key, replaces) = if is_authority { (authority::AUTHORITY, true) } else { (key, replaces) };
    let growth = match vm.rule(Family::ReadHeaders) {
        None => None,
        Some(rule) => {
            let slot = vm.acting_stream().and_then(|stream| stream.slot(map));
            let (headers, unseen) = slot.map_or((None, None), |slot| (slot.map.as_ref(), slot.unseen.as_deref()));
            Some(growth::check((headers, unseen), rule, map, key, value, replaces)?)
        }
    };
    let slot = vm.writable_slot(map)?;
    match growth {
        None => growth::check_all(slot.map.as_ref(), key, value, replaces)?,
        Some(growth) => growth.done(&mut slot.unseen, key),
    }
    let headers = slot.map.get_or_insert_default();
    match replaces {
        _ if is_authority => authority::set(headers, value),
        true => headers.replace(key, value),
        false => headers.add(key, value),
    }
    Ok(Reply::Done)
}
