//! WASI preview 1 files, as far as a plugin without directories has them: standard output and
//! error, which go to its log.

use crate::abi::Errno;
use crate::hostcall::{Hostcall, HostcallResult, Reply};
use crate::memory::GuestMemory;
use crate::output::{Output, OutputStream};

const STDOUT: i32 = 1;
const STDERR: i32 = 2;
/// The most bytes that one write takes; WASI lets a write be short.
const MAX_WRITE: usize = Output::MAX_LINE;
/// The most vectors of one write, as POSIX has it, so that empty ones do not hold up the host.
const MAX_VECTORS: usize = 1024;

/// Standard output is logged at info, standard error at error. What a write ends with a newline is one
/// record, without it; what has none waits for more, until the guest logs something else or its
/// callback ends. An empty line is not logged.
///
/// differs: in cpp-host each write is a record, so that a panic of Go's runtime is some hundred.
pub(in crate::hostcall) fn fd_write(
    mut call: Hostcall<'_>,
    fd: i32,
    iovs: i32,
    iovs_len: i32,
    ret_len: i32,
) -> HostcallResult<Errno> {
    let stream = match fd {
        STDOUT => OutputStream::Stdout,
        STDERR => OutputStream::Stderr,
        _ => Err(Errno::Badf)?,
    };
    // Not the VM's reply buffer: an allocator may write while that holds what it allocates for.
    let line = gather(&call.memory, iovs, iovs_len)?;
    call.vm.write_output(stream, &line);
    let written = u32::try_from(line.len()).unwrap_or(0);
    call.memory.write_u32(ret_len, written)?;
    Ok(Reply::Done)
}

/// As `fd_write`; a log has no offsets.
pub(in crate::hostcall) fn fd_pwrite(
    call: Hostcall<'_>,
    fd: i32,
    iovs: i32,
    iovs_len: i32,
    _offset: i64,
    ret_len: i32,
) -> HostcallResult<Errno> {
    fd_write(call, fd, iovs, iovs_len, ret_len)
}

/// Standard output and error can be written; nothing else is open.
///
/// differs: cpp-host answers success when it cannot write the answer.
pub(in crate::hostcall) fn fd_fdstat_get(mut call: Hostcall<'_>, fd: i32, ret_stat: i32) -> HostcallResult<Errno> {
    const RIGHT_TO_WRITE: u64 = 1 << 6;
    open(fd)?;
    call.memory.slice_mut(ret_stat, 24)?.fill(0);
    call.memory.write_u64(ret_stat.wrapping_add(8), RIGHT_TO_WRITE)?;
    Ok(Reply::Done)
}

/// There are no preopened directories; this ends the search for them.
pub(in crate::hostcall) fn fd_prestat_get(_: Hostcall<'_>, _fd: i32, _ret_stat: i32) -> HostcallResult<Errno> {
    Err(Errno::Badf.into())
}

/// There are no files to describe.
pub(in crate::hostcall) fn fd_filestat_get(_: Hostcall<'_>, _fd: i32, _ret_stat: i32) -> HostcallResult<Errno> {
    Err(Errno::Badf.into())
}

/// A log has one position, 0.
pub(in crate::hostcall) fn fd_tell(mut call: Hostcall<'_>, fd: i32, ret_offset: i32) -> HostcallResult<Errno> {
    open(fd)?;
    call.memory.write_u64(ret_offset, 0)?;
    Ok(Reply::Done)
}

/// As `fd_tell`: wherever it seeks, a log is at 0.
///
/// differs: cpp-host answers success for any descriptor, and leaves the guest with an offset that
/// nothing has written.
pub(in crate::hostcall) fn fd_seek(
    call: Hostcall<'_>,
    fd: i32,
    _offset: i64,
    _whence: i32,
    ret_offset: i32,
) -> HostcallResult<Errno> {
    fd_tell(call, fd, ret_offset)
}

/// Advice about what is not a file is taken.
pub(in crate::hostcall) fn fd_advise(
    _: Hostcall<'_>,
    _fd: i32,
    _offset: i64,
    _len: i64,
    _advice: i32,
) -> HostcallResult<Errno> {
    Ok(Reply::Done)
}

/// Only standard output and error can be renumbered, and that is not supported.
pub(in crate::hostcall) fn fd_renumber(_: Hostcall<'_>, fd: i32, to: i32) -> HostcallResult<Errno> {
    open(fd)?;
    open(to)?;
    Err(Errno::Notsup.into())
}

/// Closing a standard stream leaves it open.
///
/// differs: cpp-host answers success for descriptors that were never open, too.
pub(in crate::hostcall) fn fd_close(_: Hostcall<'_>, fd: i32) -> HostcallResult<Errno> {
    accepted(fd)
}

/// Accepted for standard output and error, without effect.
pub(in crate::hostcall) fn fd_fdstat_set_rights(
    _: Hostcall<'_>,
    fd: i32,
    _base: i64,
    _inheriting: i64,
) -> HostcallResult<Errno> {
    accepted(fd)
}

/// Accepted for standard output and error, without effect.
pub(in crate::hostcall) fn fd_allocate(_: Hostcall<'_>, fd: i32, _offset: i64, _len: i64) -> HostcallResult<Errno> {
    accepted(fd)
}

/// Accepted for standard output and error, without effect.
pub(in crate::hostcall) fn fd_datasync(_: Hostcall<'_>, fd: i32) -> HostcallResult<Errno> {
    accepted(fd)
}

/// Accepted for standard output and error, without effect.
pub(in crate::hostcall) fn fd_sync(_: Hostcall<'_>, fd: i32) -> HostcallResult<Errno> {
    accepted(fd)
}

/// Accepted for standard output and error, without effect.
pub(in crate::hostcall) fn fd_filestat_set_size(_: Hostcall<'_>, fd: i32, _size: i64) -> HostcallResult<Errno> {
    accepted(fd)
}

/// Accepted for standard output and error, without effect.
pub(in crate::hostcall) fn fd_filestat_set_times(
    _: Hostcall<'_>,
    fd: i32,
    _access: i64,
    _modification: i64,
    _flags: i32,
) -> HostcallResult<Errno> {
    accepted(fd)
}

fn accepted(fd: i32) -> HostcallResult<Errno> {
    open(fd)?;
    Ok(Reply::Done)
}

fn open(fd: i32) -> Result<(), Errno> {
    if matches!(fd, STDOUT | STDERR) { Ok(()) } else { Err(Errno::Badf) }
}

/// Collects the bytes of `iovs_len` vectors, which may overlap: up to the most that a write takes.
fn gather(memory: &GuestMemory<'_>, iovs: i32, iovs_len: i32) -> Result<Vec<u8>, Errno> {
    let mut line = Vec::new();
    let size = iovs_len.cast_unsigned().checked_mul(8).ok_or(Errno::Fault)?;
    for vector in memory.slice(iovs, size.cast_signed())?.as_chunks::<8>().0.iter().take(MAX_VECTORS) {
        let [p0, p1, p2, p3, l0, l1, l2, l3] = *vector;
        let bytes = memory.slice(i32::from_le_bytes([p0, p1, p2, p3]), i32::from_le_bytes([l0, l1, l2, l3]))?;
        let room = MAX_WRITE - line.len();
        line.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        if bytes.len() >= room {
            break;
        }
    }
    Ok(line)
}
