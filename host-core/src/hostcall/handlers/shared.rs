//! Shared data and queues (spec: "Shared Key-Value Store", "Shared Queues").

use crate::abi::Status;
use crate::abi::hostcall::HostcallId;
use crate::hostcall::{Hostcall, HostcallResult, Reply, Source, guard};
use crate::rights::{Family, Key};
use crate::vm::quotas::NeedsLongLivedVm;
use crate::vm::state::UsedUp;

/// Returns a value that VMs with the same id share, and its version (spec: `proxy_get_shared_data`).
///
/// `NotFound`: no such key.
pub(in crate::hostcall) fn get_shared_data(
    call: Hostcall<'_>,
    key: i32,
    key_len: i32,
    ret_ptr: i32,
    ret_len: i32,
    ret_cas: i32,
) -> HostcallResult {
    let key = call.memory.slice(key, key_len)?;
    guard::argument(call.vm, Family::GetData, HostcallId::proxy_get_shared_data, Key::Keys, "keys", key)?;
    let reply = &mut call.vm.reply;
    let copied = call.vm.store.get(key, |value, cas| {
        reply.clear();
        reply.extend_from_slice(value);
        cas
    });
    let word = copied.ok_or(Status::NotFound)?;
    Ok(Reply::ReturnWithWord { source: Source::Reply, ret_ptr, ret_len, ret_word: ret_cas, word })
}

/// Sets a value that VMs with the same id share (spec: `proxy_set_shared_data`).
///
/// `CasMismatch`: `cas` is not 0, and the key has another version. `InternalFailure`: the sandbox has no
/// room ([`Limits::shared`](crate::model::Limits::shared)), or the key is longer than [`Limits::LONGEST_KEY`](crate::model::Limits::LONGEST_KEY).
///
/// differs: deployed hosts keep whatever there is memory for.
///
/// differs: the spec says that a version for a key that there is not is a mismatch; deployed hosts
/// accept it, and so does this one ([`Compatibility`](crate::model::Compatibility) chooses).
pub(in crate::hostcall) fn set_shared_data(
    call: Hostcall<'_>,
    key: i32,
    key_len: i32,
    value: i32,
    value_len: i32,
    cas: i32,
) -> HostcallResult {
    let (key, value) = (call.memory.slice(key, key_len)?, call.memory.slice(value, value_len)?);
    guard::argument(call.vm, Family::SetData, HostcallId::proxy_set_shared_data, Key::Keys, "keys", key)?;
    guard::set_data(call.vm, key, value, cas.cast_unsigned())?;
    Ok(Reply::Done)
}

/// Makes or finds a queue of this VM's id, which tells the plugin's root of its items from now on
/// (spec: `proxy_register_shared_queue`).
///
/// `InternalFailure`: the sandbox has no room ([`Limits::shared`](crate::model::Limits::shared)), or the name is longer than
/// [`Limits::LONGEST_KEY`](crate::model::Limits::LONGEST_KEY). `Unimplemented`: the VM lasts for one stream, and cannot be told of
/// items.
pub(in crate::hostcall) fn register_shared_queue(
    mut call: Hostcall<'_>,
    name: i32,
    name_len: i32,
    ret_queue: i32,
) -> HostcallResult {
    let name = call.memory.slice(name, name_len)?;
    call.memory.check_u32(ret_queue)?;
    const ID: HostcallId = HostcallId::proxy_register_shared_queue;
    guard::argument(call.vm, Family::RegisterQueue, ID, Key::Names, "names", name)?;
    call.vm.must_last(NeedsLongLivedVm::Queue)?;
    let root = call.vm.acting_root().ok_or(Status::InternalFailure)?;
    let id = call.vm.store.register(name, &call.vm.inbox, root, &call.vm.budgets.shared);
    let id = id.map_err(|status| guard::no_room(call.vm, name, status))?;
    call.memory.write_u32(ret_queue, id)?;
    Ok(Reply::Done)
}

/// Finds a queue, which any VM may name (spec: `proxy_resolve_shared_queue`). An empty `vm_id` is the
/// caller's own.
///
/// `NotFound`: there is none. `InternalFailure`: this VM knows 1000 already.
pub(in crate::hostcall) fn resolve_shared_queue(
    mut call: Hostcall<'_>,
    vm_id: i32,
    vm_id_len: i32,
    name: i32,
    name_len: i32,
    ret_queue: i32,
) -> HostcallResult {
    let vm_id = std::str::from_utf8(call.memory.slice(vm_id, vm_id_len)?).map_err(|_| Status::NotFound)?;
    let name = call.memory.slice(name, name_len)?;
    call.memory.check_u32(ret_queue)?;
    const ID: HostcallId = HostcallId::proxy_resolve_shared_queue;
    let own = call.vm.config.vm_id.clone();
    let of = if vm_id.is_empty() { own.as_str() } else { vm_id };
    guard::argument(call.vm, Family::ResolveQueue, ID, Key::VmIds, "vm_ids", of.as_bytes())?;
    guard::argument(call.vm, Family::ResolveQueue, ID, Key::Names, "names", name)?;
    let queue = call.vm.store.resolve((!vm_id.is_empty()).then_some(vm_id), name).ok_or(Status::NotFound)?;
    let id = queue.id();
    call.vm.know(&queue)?;
    call.memory.write_u32(ret_queue, id)?;
    Ok(Reply::Done)
}

/// Appends an item (spec: `proxy_enqueue_shared_queue`). The queue's owner is told after this callback.
///
/// `NotFound`: no queue that this VM may know has the id. `InternalFailure`: the sandbox has no room
/// ([`Limits::shared`](crate::model::Limits::shared)).
pub(in crate::hostcall) fn enqueue_shared_queue(
    call: Hostcall<'_>,
    queue: i32,
    value: i32,
    value_len: i32,
) -> HostcallResult {
    let value = call.memory.slice(value, value_len)?;
    let queue = call.vm.queue(queue.cast_unsigned()).ok_or(Status::NotFound)?;
    guard::queue(call.vm, Family::Enqueue, HostcallId::proxy_enqueue_shared_queue, &queue)?;
    let put = queue.enqueue(value, &call.vm.budgets.shared);
    put.map_err(|status| call.vm.used_up(UsedUp::Shared, status))?;
    Ok(Reply::Done)
}

/// Takes the first item (spec: `proxy_dequeue_shared_queue`).
///
/// `NotFound`: no queue that this VM may know has the id. `Empty`: nothing is in it.
///
/// differs: in deployed hosts an item is lost when the guest's allocator fails; here it stays the first.
pub(in crate::hostcall) fn dequeue_shared_queue(
    call: Hostcall<'_>,
    queue: i32,
    ret_ptr: i32,
    ret_len: i32,
) -> HostcallResult {
    let queue = call.vm.queue(queue.cast_unsigned()).ok_or(Status::NotFound)?;
    guard::queue(call.vm, Family::Dequeue, HostcallId::proxy_dequeue_shared_queue, &queue)?;
    call.memory.check_u32(ret_ptr)?;
    call.memory.check_u32(ret_len)?;
    let item = queue.dequeue().ok_or(Status::Empty)?;
    call.vm.item = Some((queue, item));
    Ok(Reply::Return { source: Source::Item, ret_ptr, ret_len })
}
