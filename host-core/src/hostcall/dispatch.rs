//! The dispatch of hostcalls, through which every hostcall of every engine passes.

use crate::abi::hostcall::HostcallId;
use crate::abi::outcome::{Outcome, Raw};
use crate::abi::value::Value;
use crate::engine::Caller;
use crate::engine::memory::{GuestMemory, Noted};
use crate::engine::trap::Trap;
use crate::hostcall::Sees;
use crate::hostcall::reply::{Failure, HostcallResult, Reply, Source};
use crate::observe::observer::{Answered, Observed, ObservedCall, ReplayedCall, Step};
use crate::vm::state::VmState;

/// Checks the right, runs the handler, hands its reply to the guest.
///
/// [`look_further`] has the handler, too, so those that are called often say that they are always inlined.
#[inline]
pub(super) fn dispatch<C: Caller + ?Sized, S: Sees, O: Outcome>(
    id: HostcallId,
    caller: &mut C,
    arguments: impl Fn() -> Vec<Value>,
    handler: impl for<'a> FnOnce(S::Call<'a>) -> HostcallResult<O>,
) -> Result<O::Raw, Trap> {
    let (bytes, vm) = S::split(caller);
    if vm.capabilities().allows(id) {
        let reply = handler(S::call(GuestMemory::new(bytes), vm));
        return answer(caller, reply, None);
    }
    look_further::<C, S, O>(id, caller, arguments, handler)
}

/// Handles a call that is not allowed at the first look: it may be refused, learned, recorded, replayed or measured.
#[cold]
#[inline(never)]
fn look_further<C: Caller + ?Sized, S: Sees, O: Outcome>(
    id: HostcallId,
    caller: &mut C,
    arguments: impl Fn() -> Vec<Value>,
    handler: impl for<'a> FnOnce(S::Call<'a>) -> HostcallResult<O>,
) -> Result<O::Raw, Trap> {
    let vm = caller.state();
    let begins_anew = vm.budget().take_was_reset();
    let observed = vm.observe(|observer, seen| observer.hostcall(id, &arguments, begins_anew, seen));
    let observed = match observed {
        None => None,
        Some(Observed::Call(call)) => Some(call),
        Some(Observed::Replayed(mut call)) => return replay::<C, O>(caller, &mut *call),
    };
    let vm = caller.state();
    let refused = if vm.rights().allows(id) { Ok(None) } else { refuse::<O>(id, vm) };
    let answer = match refused {
        Ok(None) => {
            let (bytes, vm) = caller.split();
            let mut noted;
            let memory = match &observed {
                None => GuestMemory::new(bytes),
                Some(observed) => {
                    noted = Noted { bytes, notes: observed.notes() };
                    GuestMemory::noted(&mut noted)
                }
            };
            let reply = handler(S::call(memory, vm));
            answer(caller, reply, observed.as_deref())
        }
        Ok(Some(refusal)) => Ok(refusal.into_raw()),
        Err(trap) => Err(trap),
    };
    if let Some(observed) = observed {
        let answered = answer.as_ref().map(|raw| Answered { value: raw.value(), failure: O::failure(raw) });
        let (memory, vm) = caller.split();
        observed.end(answered, memory, vm.seen());
    }
    answer
}

/// Answers from a record, after a comparison with what the guest did then.
fn replay<C: Caller + ?Sized, O: Outcome>(caller: &mut C, call: &mut dyn ReplayedCall) -> Result<O::Raw, Trap> {
    let (memory, _) = caller.split();
    let answer = match call.begin(&mut GuestMemory::new(memory))? {
        Step::Answer(answer) => answer,
        Step::Allocate(len) => {
            let address = allocate(caller, len, None);
            let (memory, _) = caller.split();
            call.allocated(address, &mut GuestMemory::new(memory))?
        }
    };
    let value = answer.map_err(Trap::Told)?;
    O::Raw::from_value(value).ok_or_else(|| call.has_bad_answer())
}

/// Hands a handler's reply to the guest. Inlined, or every reply would be made in memory to be looked at here.
#[inline(always)]
fn answer<C: Caller + ?Sized, O: Outcome>(
    caller: &mut C,
    reply: HostcallResult<O>,
    observed: Option<&dyn ObservedCall>,
) -> Result<O::Raw, Trap> {
    let (answer, source, wanted) = match reply {
        Ok(Reply::Done) => return Ok(O::DONE.into_raw()),
        Ok(Reply::Answer(answer)) | Err(Failure::Answer(answer)) => return Ok(answer.into_raw()),
        Err(Failure::Trap(trap)) => return Err(trap),
        Ok(Reply::Return { source, ret_ptr, ret_len }) => {
            (O::DONE, source, Wanted { address: Some(ret_ptr), len: Some(ret_len), word: None })
        }
        Ok(Reply::ReturnWithWord { source, ret_ptr, ret_len, ret_word, word }) => {
            (O::DONE, source, Wanted { address: Some(ret_ptr), len: Some(ret_len), word: Some((ret_word, word)) })
        }
        Ok(Reply::ReturnIfWanted { answer, ret_ptr, ret_len }) => {
            let unless_null = |pointer| (pointer != 0).then_some(pointer);
            let wanted = Wanted { address: unless_null(ret_ptr), len: unless_null(ret_len), word: None };
            (answer, Source::Reply, wanted)
        }
    };
    let handed = hand_over(caller, source, &wanted, observed);
    settle(caller.state(), source, matches!(handed, Ok(true)));
    Ok(if handed? { answer } else { O::BAD_MEMORY }.into_raw())
}

/// Where a guest wants what it is handed.
struct Wanted {
    address: Option<i32>,
    len: Option<i32>,
    word: Option<(i32, u32)>,
}

/// Hands bytes to the guest (abi: "Returning variable-size data"); says whether it could. The only
/// place where a hostcall re-enters the guest, hence the only one where its memory may move:
/// everything is borrowed anew after the allocation. An empty value is address 0 and length 0,
/// without an allocation.
fn hand_over<C: Caller + ?Sized>(
    caller: &mut C,
    source: Source,
    wanted: &Wanted,
    observed: Option<&dyn ObservedCall>,
) -> Result<bool, Trap> {
    let Ok(len) = u32::try_from(caller.state().source_len(source)) else { return Ok(false) };
    let address = if len == 0 || wanted.address.is_none() { 0 } else { allocate(caller, len, observed)? };
    let copied = wanted.address.filter(|_| len != 0);
    if copied.is_some() && address == 0 {
        return Ok(false);
    }
    let (bytes, vm) = caller.split();
    let mut noted;
    let mut memory = match observed {
        None => GuestMemory::new(bytes),
        Some(observed) => {
            noted = Noted { bytes, notes: observed.notes() };
            GuestMemory::noted(&mut noted)
        }
    };
    let write = |memory: &mut GuestMemory<'_>| {
        if copied.is_some() {
            let target = memory.slice_mut(address.cast_signed(), len.cast_signed()).ok()?;
            vm.copy_source(source, target).then_some(())?;
        }
        for (pointer, word) in
            [wanted.address.map(|at| (at, address)), wanted.len.map(|at| (at, len)), wanted.word].into_iter().flatten()
        {
            memory.write_u32(pointer, word).ok()?;
        }
        Some(())
    };
    Ok(write(&mut memory).is_some())
}

/// Puts an item back that could not be handed over, and gives back the room of a long reply: nobody is charged for it.
fn settle(vm: &mut VmState, source: Source, handed: bool) {
    /// Replies of any length but these reuse their room.
    const LONG: usize = 1 << 20;
    match source {
        Source::Item => {
            if let Some((queue, item)) = vm.item.take().filter(|_| !handed) {
                queue.put_back(item);
            }
        }
        Source::Reply if vm.reply.capacity() > LONG => vm.reply = Vec::new(),
        _ => {}
    }
}

fn allocate<C: Caller + ?Sized>(caller: &mut C, len: u32, observed: Option<&dyn ObservedCall>) -> Result<u32, Trap> {
    if let Some(observed) = observed {
        let (memory, vm) = caller.split();
        observed.allocates(len, memory, vm.seen());
    }
    let saved = caller.state().enter_allocator();
    let address = caller.call_allocator(len);
    caller.state().leave_allocator(saved);
    if let Some(observed) = observed {
        observed.allocated(address.as_ref().copied(), caller.state().seen());
    }
    address
}

/// Answers a plugin without the right. One that has it, but calls from its allocator or before
/// the VM has started, breaks the ABI and ends, on every engine (in cpp-host on V8 alone).
///
/// While a plugin's rights are learned, each capability that it uses passes here, too, and is noted and let through.
fn refuse<O: Outcome>(id: HostcallId, vm: &mut VmState) -> Result<Option<O>, Trap> {
    if vm.learns(id) {
        return Ok(None);
    }
    if let Some(during) = vm.not_callable(id) {
        return Err(Trap::NotCallable { hostcall: id, during });
    }
    vm.deny(id, None)?;
    Ok(Some(O::DENIED))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, OnceLock};

    use crate::abi::{AbiVersion, CallbackId};
    use crate::hostcall::entry;
    use crate::model::Plugin;
    use crate::resources::ForeignFunctions;
    use crate::testing::{FakeHost, NullEngine, Script};
    use crate::vm::{Vm, VmConfig};

    #[test]
    fn a_long_reply_leaves_no_room_behind() {
        let rooms = Arc::new(OnceLock::new());
        let seen = Arc::clone(&rooms);
        let engine = NullEngine::new(move || {
            let seen = Arc::clone(&seen);
            Script::new().on(CallbackId::on_tick, move |caller, _| {
                let room = [("short", 8), ("long", 16)].map(|(name, at)| {
                    let (name, len) = caller.put(name.as_bytes());
                    // The guest has no memory for the long one.
                    let _ = entry::proxy_call_foreign_function(caller, name, len, 0, 0, at, at + 4);
                    crate::engine::Caller::state(caller).reply.capacity()
                });
                let _ = seen.set(room);
                0
            })
        });
        let fill = |bytes: usize| {
            move |call: &mut crate::resources::ForeignCall<'_>| {
                call.result.resize(bytes, 0);
                Ok(())
            }
        };
        let foreign = ForeignFunctions::default().with("short", fill(1000)).with("long", fill(3 << 20));
        let config = VmConfig { foreign, ..VmConfig::new(AbiVersion::V0_2_1) };
        let module = engine.module().unwrap_or_else(|error| panic!("{error}"));
        let mut vm = Vm::start(&*module, config, Box::new(FakeHost::new())).unwrap_or_else(|error| panic!("{error}"));
        let root = vm.add_plugin(Arc::new(Plugin::new("p"))).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(vm.on_tick(root), Ok(()));
        let [short, long] = *rooms.get().unwrap_or(&[0; 2]);
        assert!(short >= 1000, "the room of a short reply is used again: {short}");
        assert_eq!(long, 0);
    }
}
