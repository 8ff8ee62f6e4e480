//! The one door: every hostcall of every engine passes here.

use crate::abi::LogLevel;
use crate::engine::Caller;
use crate::hostcall::outcome::{Failure, HostcallResult, Outcome, Reply, Source};
use crate::hostcall::{Hostcall, HostcallId};
use crate::memory::GuestMemory;
use crate::trap::Trap;
use crate::vm_state::VmState;

/// Checks the right, runs the handler, hands its reply to the guest.
#[inline]
pub(super) fn dispatch<C: Caller + ?Sized, O: Outcome>(
    id: HostcallId,
    caller: &mut C,
    handler: impl FnOnce(Hostcall<'_>) -> HostcallResult<O>,
) -> Result<O::Raw, Trap> {
    let (memory, vm) = caller.split();
    if !vm.capabilities().allows(id) {
        return deny::<O>(id, vm).map(O::into_raw);
    }
    match handler(Hostcall { memory: GuestMemory::new(memory), vm }) {
        Ok(Reply::Done) => Ok(O::DONE.into_raw()),
        Ok(Reply::Answer(answer)) | Err(Failure::Answer(answer)) => Ok(answer.into_raw()),
        Ok(Reply::Return { source, ret_ptr, ret_len }) => {
            return_bytes::<C, O>(caller, source, ret_ptr, ret_len, None).map(O::into_raw)
        }
        Ok(Reply::ReturnWithWord { source, ret_ptr, ret_len, ret_word, word }) => {
            return_bytes::<C, O>(caller, source, ret_ptr, ret_len, Some((ret_word, word))).map(O::into_raw)
        }
        Err(Failure::Trap(trap)) => Err(trap),
    }
}

/// Hands bytes to the guest (abi: "Returning variable-size data"). The only place where a hostcall
/// re-enters the guest, hence the only one where its memory may move: everything is borrowed anew
/// after the allocation. An empty value is address 0 and length 0, without an allocation.
fn return_bytes<C: Caller + ?Sized, O: Outcome>(
    caller: &mut C,
    source: Source,
    ret_ptr: i32,
    ret_len: i32,
    word: Option<(i32, u32)>,
) -> Result<O, Trap> {
    let Ok(len) = u32::try_from(caller.state().source_len(source)) else { return Ok(O::BAD_MEMORY) };
    let address = if len == 0 { 0 } else { allocate(caller, len)? };
    if len != 0 && address == 0 {
        return Ok(O::BAD_MEMORY);
    }
    let (memory, vm) = caller.split();
    let mut memory = GuestMemory::new(memory);
    let write = |memory: &mut GuestMemory<'_>| {
        let target = memory.slice_mut(address.cast_signed(), len.cast_signed()).ok()?;
        (target.is_empty() || vm.copy_source(source, target)).then_some(())?;
        memory.write_u32(ret_ptr, address).ok()?;
        memory.write_u32(ret_len, len).ok()?;
        word.map_or(Some(()), |(pointer, word)| memory.write_u32(pointer, word).ok())
    };
    Ok(if write(&mut memory).is_some() { O::DONE } else { O::BAD_MEMORY })
}

fn allocate<C: Caller + ?Sized>(caller: &mut C, len: u32) -> Result<u32, Trap> {
    let saved = caller.state().enter_allocator();
    let address = caller.call_allocator(len);
    caller.state().leave(saved);
    address
}

/// A plugin without the right is answered. One that has it, but calls from its allocator or before
/// the VM has started, breaks the ABI and ends, on every engine (in cpp-host on V8 alone).
#[cold]
fn deny<O: Outcome>(id: HostcallId, vm: &mut VmState) -> Result<O, Trap> {
    if let Some(during) = vm.restriction(id) {
        return Err(Trap::Restricted { hostcall: id, during });
    }
    vm.denials += 1;
    // A plugin that insists does not fill the log.
    if vm.denials.is_power_of_two() {
        let count = vm.denials;
        vm.note(
            LogLevel::Warn,
            &format!("denied {id}: the plugin does not have this capability ({count} denials so far)"),
        );
    }
    Ok(O::DENIED)
}
