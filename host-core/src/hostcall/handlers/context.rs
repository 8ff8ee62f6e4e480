use crate::abi::Status;
use crate::hostcall::{Hostcall, HostcallResult, Reply, Source};
use crate::model::action::Action;
use crate::model::context::{ContextId, Ending};
use crate::vm::state::VmState;

/// Chooses the context that later hostcalls of this callback act on; 0 resets it
/// (spec: `proxy_set_effective_context`).
pub(in crate::hostcall) fn set_effective_context(vm: &mut VmState, context: i32) -> HostcallResult {
    let id = ContextId(context.cast_unsigned());
    vm.set_effective((id != ContextId::VM).then_some(id))?;
    Ok(Reply::Done)
}

/// Ends a root that has asked for time in `proxy_on_done` (spec: `proxy_done`).
pub(in crate::hostcall) fn done(vm: &mut VmState) -> HostcallResult {
    let (id, root) = vm.root_mut().ok_or(Status::NotFound)?;
    if root.ending != Ending::Pending {
        Err(Status::NotFound)?;
    }
    root.ending = Ending::Done;
    vm.actions.push_back(Action::RootDone { root: id });
    vm.forget_queues(id);
    Ok(Reply::Done)
}

/// Returns code and message of the last callout that failed (spec: `proxy_get_status`).
pub(in crate::hostcall) fn get_status(
    mut call: Hostcall<'_>,
    ret_code: i32,
    ret_ptr: i32,
    ret_len: i32,
) -> HostcallResult {
    let root = call.vm.acting_root().and_then(|root| call.vm.contexts.root(root));
    let (code, message) = root.map_or((0, &[][..]), |root| (root.status.0, &root.status.1));
    call.memory.write_u32(ret_code, code)?;
    call.vm.reply.clear();
    call.vm.reply.extend_from_slice(message);
    Ok(Reply::Return { source: Source::Reply, ret_ptr, ret_len })
}
