//! WASI preview 1 without files: arguments, environment, clocks, randomness, exit.

use crate::abi::Errno;
use crate::abi::hostcall::HostcallId;
use crate::engine::trap::Trap;
use crate::hostcall::{Failure, Hostcall, HostcallResult, Reply};
use crate::vm::state::VmState;

const REALTIME: i32 = 0;
const MONOTONIC: i32 = 1;
/// The most random bytes in one call.
const MAX_RANDOM: u32 = 64 << 10;

/// Answers that there are no arguments.
pub(in crate::hostcall) fn args_get(_: Hostcall<'_>, _argv: i32, _argv_buf: i32) -> HostcallResult<Errno> {
    Ok(Reply::Done)
}

/// Answers that there are no arguments.
pub(in crate::hostcall) fn args_sizes_get(
    mut call: Hostcall<'_>,
    ret_count: i32,
    ret_size: i32,
) -> HostcallResult<Errno> {
    call.memory.write_u32(ret_count, 0)?;
    call.memory.write_u32(ret_size, 0)?;
    Ok(Reply::Done)
}

/// Writes `KEY=value\0` strings and pointers to them.
pub(in crate::hostcall) fn environ_get(
    mut call: Hostcall<'_>,
    environ: i32,
    environ_buf: i32,
) -> HostcallResult<Errno> {
    let (mut slot, mut at) = (environ.cast_unsigned(), environ_buf.cast_unsigned());
    for (key, value) in call.vm.environment() {
        let entry = format!("{key}={value}\0");
        let len = i32::try_from(entry.len()).map_err(|_| Errno::Fault)?;
        call.memory.write_u32(slot.cast_signed(), at)?;
        call.memory.slice_mut(at.cast_signed(), len)?.copy_from_slice(entry.as_bytes());
        slot = slot.checked_add(4).ok_or(Errno::Fault)?;
        at = at.checked_add(len.cast_unsigned()).ok_or(Errno::Fault)?;
    }
    Ok(Reply::Done)
}

/// Returns the number of variables, and the number of bytes that they take.
pub(in crate::hostcall) fn environ_sizes_get(
    mut call: Hostcall<'_>,
    ret_count: i32,
    ret_size: i32,
) -> HostcallResult<Errno> {
    let environment = call.vm.environment();
    let size: usize = environment.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    let count = u32::try_from(environment.len()).map_err(|_| Errno::Inval)?;
    call.memory.write_u32(ret_count, count)?;
    call.memory.write_u32(ret_size, u32::try_from(size).map_err(|_| Errno::Inval)?)?;
    Ok(Reply::Done)
}

/// Returns one nanosecond as the resolution of each known clock.
pub(in crate::hostcall) fn clock_res_get(
    mut call: Hostcall<'_>,
    clock: i32,
    ret_resolution: i32,
) -> HostcallResult<Errno> {
    if !matches!(clock, REALTIME | MONOTONIC) {
        Err(Errno::Notsup)?;
    }
    call.memory.write_u64(ret_resolution, 1)?;
    Ok(Reply::Done)
}

/// Returns the time in nanoseconds.
pub(in crate::hostcall) fn clock_time_get(
    mut call: Hostcall<'_>,
    clock: i32,
    _precision: i64,
    ret_time: i32,
) -> HostcallResult<Errno> {
    call.vm.drawn.note_clock();
    let time = match clock {
        REALTIME => call.vm.host.wall_clock(),
        MONOTONIC => call.vm.host.monotonic_clock(),
        _ => Err(Errno::Notsup)?,
    };
    call.memory.write_u64(ret_time, time)?;
    Ok(Reply::Done)
}

/// Fills a buffer with random bytes, at most 64 KiB in a call.
///
/// differs: a host without randomness ends the VM. In Envoy the call succeeds, whatever the bytes are.
pub(in crate::hostcall) fn random_get(mut call: Hostcall<'_>, buf: i32, buf_len: i32) -> HostcallResult<Errno> {
    if buf_len.cast_unsigned() > MAX_RANDOM {
        Err(Errno::Inval)?;
    }
    if buf_len != 0 {
        call.vm.drawn.note_random(buf_len.cast_unsigned() as usize);
        let filled = call.vm.host.random(call.memory.slice_mut(buf, buf_len)?);
        filled.map_err(|cause| Failure::Trap(Trap::NoRandomness { hostcall: HostcallId::random_get, cause }))?;
    }
    Ok(Reply::Done)
}

/// Does nothing, because nothing else waits for this thread.
pub(in crate::hostcall) fn sched_yield(_: &mut VmState) -> HostcallResult<Errno> {
    Ok(Reply::Done)
}

/// Ends the VM.
///
/// differs: Envoy returns to the guest, which does not expect it.
pub(in crate::hostcall) fn proc_exit(_: Hostcall<'_>, code: i32) -> HostcallResult<()> {
    Err(Failure::Trap(Trap::Exit(code)))
}
