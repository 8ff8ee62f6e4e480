//! WASI preview 1: reading, writing and seeking, in files and in the standard streams.

use crate::abi::Errno;
use crate::engine::memory::GuestMemory;
use crate::hostcall::{Hostcall, HostcallResult, Reply};
use crate::resources::files::{OpenFile, Rights};
use crate::vm::output::{Output, OutputStream};

const STDOUT: i32 = 1;
const STDERR: i32 = 2;
/// The most bytes that one write to a standard stream takes; WASI lets a write be short.
const MAX_LOG: usize = Output::MAX_LINE;
/// The most bytes that one call reads from a file or writes to one.
const MAX_TRANSFER: usize = 1 << 20;
/// The most vectors of one call, as POSIX has it, so that empty ones do not hold up the host.
const MAX_VECTORS: usize = 1024;

/// Writes to a file at most 1 MiB. Standard output is logged at info, standard error at error. What a write
/// ends with a newline is one record, without it; what has none waits for more, until the guest logs
/// something else or its callback ends. An empty line is not logged.
///
/// differs: in cpp-host each write is a record, so that a panic of Go's runtime is some hundred.
pub(in crate::hostcall) fn fd_write(
    call: Hostcall<'_>,
    fd: i32,
    iovs: i32,
    iovs_len: i32,
    ret_len: i32,
) -> HostcallResult<Errno> {
    write(call, fd, iovs, iovs_len, None, ret_len)
}

/// Writes as `fd_write` does, but at an offset, and leaves the position of the file; a log has no offsets.
pub(in crate::hostcall) fn fd_pwrite(
    call: Hostcall<'_>,
    fd: i32,
    iovs: i32,
    iovs_len: i32,
    offset: i64,
    ret_len: i32,
) -> HostcallResult<Errno> {
    write(call, fd, iovs, iovs_len, Some(offset.cast_unsigned()), ret_len)
}

/// Reads at most 1 MiB from a file. Standard input cannot be read.
pub(in crate::hostcall) fn fd_read(
    call: Hostcall<'_>,
    fd: i32,
    iovs: i32,
    iovs_len: i32,
    ret_len: i32,
) -> HostcallResult<Errno> {
    read(call, fd, iovs, iovs_len, None, ret_len)
}

/// Reads as `fd_read` does, but at an offset, and leaves the position of the file.
pub(in crate::hostcall) fn fd_pread(
    call: Hostcall<'_>,
    fd: i32,
    iovs: i32,
    iovs_len: i32,
    offset: i64,
    ret_len: i32,
) -> HostcallResult<Errno> {
    read(call, fd, iovs, iovs_len, Some(offset.cast_unsigned()), ret_len)
}

/// Returns the position in a file. A log has one position, 0.
pub(in crate::hostcall) fn fd_tell(mut call: Hostcall<'_>, fd: i32, ret_offset: i32) -> HostcallResult<Errno> {
    let offset = match call.vm.files.find(fd) {
        Some(descriptor) => descriptor.file(Rights::FD_TELL)?.offset,
        None => standard(fd).map(|()| 0)?,
    };
    call.memory.write_u64(ret_offset, offset)?;
    Ok(Reply::Done)
}

/// Goes elsewhere in a file, also behind its end. Wherever it seeks, a log is at 0.
///
/// differs: cpp-host answers success for any descriptor, and leaves the guest with an offset that
/// nothing has written.
pub(in crate::hostcall) fn fd_seek(
    mut call: Hostcall<'_>,
    fd: i32,
    offset: i64,
    whence: i32,
    ret_offset: i32,
) -> HostcallResult<Errno> {
    let Some(descriptor) = call.vm.files.find(fd) else { return fd_tell(call, fd, ret_offset) };
    let open = descriptor.file(Rights::FD_SEEK)?;
    let base = match whence {
        0 => 0,
        1 => open.offset,
        2 => open.file.metadata()?.size,
        _ => Err(Errno::Inval)?,
    };
    let to = base.checked_add_signed(offset).filter(|to| i64::try_from(*to).is_ok()).ok_or(Errno::Inval)?;
    call.memory.write_u64(ret_offset, to)?;
    open.offset = to;
    Ok(Reply::Done)
}

fn write(
    mut call: Hostcall<'_>,
    fd: i32,
    iovs: i32,
    iovs_len: i32,
    offset: Option<u64>,
    ret_len: i32,
) -> HostcallResult<Errno> {
    let written = match (call.vm.files.find(fd), fd) {
        (Some(descriptor), _) => {
            let bytes = gather(&call.memory, iovs, iovs_len, MAX_TRANSFER)?;
            call.memory.check_u32(ret_len)?;
            descriptor.write(&bytes, offset)?
        }
        (None, STDOUT | STDERR) => {
            let stream = if fd == STDOUT { OutputStream::Stdout } else { OutputStream::Stderr };
            // Not the VM's reply buffer: an allocator may write while that holds what it allocates for.
            let line = gather(&call.memory, iovs, iovs_len, MAX_LOG)?;
            call.vm.write_output(stream, &line);
            line.len()
        }
        (None, _) => Err(Errno::Badf)?,
    };
    call.memory.write_u32(ret_len, u32::try_from(written).unwrap_or(0))?;
    Ok(Reply::Done)
}

fn read(
    mut call: Hostcall<'_>,
    fd: i32,
    iovs: i32,
    iovs_len: i32,
    offset: Option<u64>,
    ret_len: i32,
) -> HostcallResult<Errno> {
    let seek = if offset.is_some() { Rights::FD_SEEK } else { Rights::default() };
    let open = call.vm.files.get(fd, Errno::Nosys)?.file(Rights::FD_READ | seek)?;
    let vectors = vectors(&call.memory, iovs, iovs_len, MAX_TRANSFER)?;
    call.memory.check_u32(ret_len)?;
    let len = scatter(&mut call.memory, &vectors, open, offset.unwrap_or(open.offset))?;
    if offset.is_none() {
        open.offset = open.offset.saturating_add(len);
    }
    call.memory.write_u32(ret_len, u32::try_from(len).unwrap_or(0))?;
    Ok(Reply::Done)
}

/// Fills vectors from a file until one stays short; says how many bytes.
fn scatter(memory: &mut GuestMemory<'_>, vectors: &[(i32, i32)], open: &OpenFile, from: u64) -> Result<u64, Errno> {
    let mut total = 0;
    for (pointer, len) in vectors.iter().filter(|(_, len)| *len != 0) {
        let room = memory.slice_mut(*pointer, *len)?;
        let len = match open.file.read_at(room, from.saturating_add(total)) {
            Ok(len) => len,
            // What was read is told first.
            Err(_) if total > 0 => break,
            Err(errno) => return Err(errno),
        };
        total += len as u64;
        if len < room.len() {
            break;
        }
    }
    Ok(total)
}

/// Collects the bytes of vectors, which may overlap: up to so many.
fn gather(memory: &GuestMemory<'_>, iovs: i32, iovs_len: i32, max: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    for (pointer, len) in vectors(memory, iovs, iovs_len, max)? {
        bytes.extend_from_slice(memory.slice(pointer, len)?);
    }
    Ok(bytes)
}

/// Pointers and lengths that lie in memory, of `max` bytes together: the last one is cut. A copy, because a
/// read may change what they were read from.
fn vectors(memory: &GuestMemory<'_>, iovs: i32, iovs_len: i32, max: usize) -> Result<Vec<(i32, i32)>, Errno> {
    let mut vectors = Vec::new();
    let mut room = max;
    let size = iovs_len.cast_unsigned().checked_mul(8).ok_or(Errno::Fault)?;
    for vector in memory.slice(iovs, size.cast_signed())?.as_chunks::<8>().0.iter().take(MAX_VECTORS) {
        let [p0, p1, p2, p3, l0, l1, l2, l3] = *vector;
        let (pointer, len) = (i32::from_le_bytes([p0, p1, p2, p3]), i32::from_le_bytes([l0, l1, l2, l3]));
        let taken = memory.slice(pointer, len)?.len().min(room);
        vectors.push((pointer, i32::try_from(taken).map_err(|_| Errno::Fault)?));
        room -= taken;
        if room == 0 {
            break;
        }
    }
    Ok(vectors)
}

/// Standard output and error are open.
pub(super) fn standard(fd: i32) -> Result<(), Errno> {
    if matches!(fd, STDOUT | STDERR) { Ok(()) } else { Err(Errno::Badf) }
}
