//! Functions that Emscripten and AssemblyScript import besides the ABI.

use crate::abi::LogLevel;
use crate::abi::hostcall::HostcallId;
use crate::abi::outcome::{Float, Word};
use crate::engine::memory::GuestMemory;
use crate::engine::trap::Trap;
use crate::hostcall::{Failure, Hostcall, HostcallResult, Reply};

/// Returns whether two threads are the same one (Emscripten).
#[inline(always)]
pub(in crate::hostcall) fn pthread_equal(_: Hostcall<'_>, a: i32, b: i32) -> HostcallResult<Word> {
    Ok(Reply::Answer(Word((a == b).into())))
}

/// Takes note that memory has grown (Emscripten); the host looks at it anew in any case.
#[inline(always)]
pub(in crate::hostcall) fn emscripten_notify_memory_growth(_: Hostcall<'_>, _memory: i32) -> HostcallResult<()> {
    Ok(Reply::Done)
}

/// Reports an assertion that failed (AssemblyScript): ends the VM with message, file, line and column.
pub(in crate::hostcall) fn abort(
    call: Hostcall<'_>,
    message: i32,
    file: i32,
    line: i32,
    column: i32,
) -> HostcallResult<()> {
    let (message, file) = (text(&call.memory, message), text(&call.memory, file));
    let (line, column) = (line.cast_unsigned(), column.cast_unsigned());
    Err(Failure::Trap(Trap::Abort(format!("{message} at {file}:{line}:{column}"))))
}

/// Returns a seed for `Math.random` (AssemblyScript).
pub(in crate::hostcall) fn seed(call: Hostcall<'_>) -> HostcallResult<Float> {
    let mut bytes = [0; 4];
    call.vm.drawn.note_random(bytes.len());
    let filled = call.vm.host.random(&mut bytes);
    filled.map_err(|cause| Failure::Trap(Trap::NoRandomness { hostcall: HostcallId::seed, cause }))?;
    Ok(Reply::Answer(Float(f64::from(u32::from_le_bytes(bytes)))))
}

/// Logs a trace line with up to five numbers (AssemblyScript).
#[expect(clippy::too_many_arguments, reason = "AssemblyScript's own")]
pub(in crate::hostcall) fn trace(
    call: Hostcall<'_>,
    message: i32,
    count: i32,
    a: f64,
    b: f64,
    c: f64,
    d: f64,
    e: f64,
) -> HostcallResult<()> {
    let mut line = text(&call.memory, message);
    for number in [a, b, c, d, e].iter().take(usize::try_from(count).unwrap_or(0)) {
        line.push_str(&format!(" {number}"));
    }
    call.vm.log(LogLevel::Trace, line.as_bytes())?;
    Ok(Reply::Done)
}

/// Milliseconds since the Unix epoch (AssemblyScript's `Date.now`).
pub(in crate::hostcall) fn date_now(call: Hostcall<'_>) -> HostcallResult<Float> {
    call.vm.drawn.note_clock();
    let milliseconds = call.vm.host.wall_clock() / 1_000_000;
    #[expect(clippy::cast_precision_loss, reason = "exact for 285,000 years")]
    Ok(Reply::Answer(Float(milliseconds as f64)))
}

/// Reads an AssemblyScript string: UTF-16, its length in bytes before it. At most 1,000 characters.
fn text(memory: &GuestMemory<'_>, pointer: i32) -> String {
    let length = pointer.checked_sub(4).and_then(|at| memory.read_u32(at).ok()).unwrap_or(0);
    let length = i32::try_from(length.min(2000)).unwrap_or(0);
    let bytes = memory.slice(pointer, length).unwrap_or_default();
    let units = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}
