//! Foreign functions (spec: "Foreign function interface").

use crate::abi::Status;
use crate::abi::hostcall::HostcallId;
use crate::hostcall::{Failure, Hostcall, HostcallResult, Reply, guard};
use crate::resources::foreign::ForeignCall;
use crate::rights::{Family, Key};

/// Calls a function that the host offers beyond the ABI (spec: `proxy_call_foreign_function`). The
/// guest gets the function's status, and what it produced, even if it failed; null pointers say
/// that it does not want it.
///
/// `NotFound`: there is no such function; nothing is written then.
pub(in crate::hostcall) fn call_foreign_function(
    call: Hostcall<'_>,
    name: i32,
    name_len: i32,
    arguments: i32,
    arguments_len: i32,
    ret_ptr: i32,
    ret_len: i32,
) -> HostcallResult {
    let name = call.memory.slice(name, name_len)?;
    let arguments = call.memory.slice(arguments, arguments_len)?;
    const ID: HostcallId = HostcallId::proxy_call_foreign_function;
    guard::argument(call.vm, Family::CallForeign, ID, Key::Names, "names", name)?;
    let function = call.vm.config.foreign.get(name).ok_or(Status::NotFound)?;
    for pointer in [ret_ptr, ret_len] {
        if pointer != 0 {
            call.memory.check_u32(pointer)?;
        }
    }
    let mut result = std::mem::take(&mut call.vm.reply);
    result.clear();
    let mut foreign = ForeignCall::new(arguments, &mut result, call.vm);
    let answer = function(&mut foreign).err().unwrap_or(Status::Ok);
    let trap = foreign.trap.take();
    call.vm.reply = result;
    if let Some(trap) = trap {
        return Err(Failure::Trap(trap));
    }
    Ok(Reply::ReturnIfWanted { answer, ret_ptr, ret_len })
}
