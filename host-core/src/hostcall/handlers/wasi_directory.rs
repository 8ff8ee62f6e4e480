//! WASI preview 1: preopened directories and what is in them.

use crate::abi::Errno;
use crate::hostcall::{Hostcall, HostcallResult, Reply};

/// The longest buffer for the names in a directory. Standard libraries use a few KiB.
const MAX_LIST: usize = 1 << 20;

/// Returns the length of a preopened directory's name. Any other descriptor ends a guest's search for them.
pub(in crate::hostcall) fn fd_prestat_get(mut call: Hostcall<'_>, fd: i32, ret_stat: i32) -> HostcallResult<Errno> {
    const DIRECTORY: u32 = 0;
    let name = call.vm.files.get(fd, Errno::Badf)?.preopen().ok_or(Errno::Badf)?;
    let len = u32::try_from(name.len()).map_err(|_| Errno::Nametoolong)?;
    call.memory.slice(ret_stat, 8)?;
    call.memory.write_u32(ret_stat, DIRECTORY)?;
    call.memory.write_u32(ret_stat.wrapping_add(4), len)?;
    Ok(Reply::Done)
}

/// Returns a preopened directory's name, without a zero behind it.
pub(in crate::hostcall) fn fd_prestat_dir_name(
    mut call: Hostcall<'_>,
    fd: i32,
    path: i32,
    path_len: i32,
) -> HostcallResult<Errno> {
    let name = call.vm.files.get(fd, Errno::Nosys)?.preopen().ok_or(Errno::Badf)?;
    let out = call.memory.slice_mut(path, path_len)?;
    out.get_mut(..name.len()).ok_or(Errno::Nametoolong)?.copy_from_slice(name.as_bytes());
    Ok(Reply::Done)
}

/// Names in a directory from a cookie on, as many as fit, the last one cut. A buffer that is not full means
/// that there are no more.
///
/// `Inval`: a buffer of more than 1 MiB, which could not be left half empty; a cookie neither where the
/// last call ended nor among the first 65,536.
///
/// differs: cpp-host answers 20, an old number of `NOTDIR`.
pub(in crate::hostcall) fn fd_readdir(
    mut call: Hostcall<'_>,
    fd: i32,
    buf: i32,
    buf_len: i32,
    cookie: i64,
    ret_len: i32,
) -> HostcallResult<Errno> {
    let descriptor = call.vm.files.get(fd, Errno::Notdir)?;
    call.memory.check_u32(ret_len)?;
    let out = call.memory.slice_mut(buf, buf_len)?;
    if out.len() > MAX_LIST {
        Err(Errno::Inval)?;
    }
    let used = descriptor.list(cookie.cast_unsigned(), out)?;
    call.memory.write_u32(ret_len, u32::try_from(used).unwrap_or(0))?;
    Ok(Reply::Done)
}
