//! WASI preview 1: paths below the VM's preopened directories. The embedder's
//! [`Directory`](crate::resources::Directory) refuses paths that lead out of them.

use super::wasi_file::{times, write_filestat};
use crate::abi::Errno;
use crate::engine::memory::GuestMemory;
use crate::hostcall::{Hostcall, HostcallResult, Reply};
use crate::resources::files::{Rights, Wanted};

/// The longest path in bytes, as Linux has it.
const MAX_PATH: usize = 4096;

/// Opens a file or directory, or makes a file.
///
/// `Mfile`: the VM has as many open as its limit says. `Rofs`: see [`Descriptor::open`].
///
/// [`Descriptor::open`]: crate::resources::files::Descriptor::open
#[expect(clippy::too_many_arguments, reason = "WASI's own signature")]
pub(in crate::hostcall) fn path_open(
    mut call: Hostcall<'_>,
    fd: i32,
    lookup_flags: i32,
    pointer: i32,
    len: i32,
    open_flags: i32,
    base: i64,
    inheriting: i64,
    flags: i32,
    ret_fd: i32,
) -> HostcallResult<Errno> {
    call.vm.files.get(fd, Errno::Noent)?;
    // Before a file is made for nothing.
    call.vm.files.has_room()?;
    call.memory.check_u32(ret_fd)?;
    let wanted = Wanted {
        follow: follow(lookup_flags)?,
        open_flags,
        flags,
        base: Rights::from_guest(base),
        inheriting: Rights::from_guest(inheriting),
    };
    let opened = call.vm.files.get(fd, Errno::Noent)?.open(path(&call.memory, pointer, len)?, wanted)?;
    let number = call.vm.files.insert(opened)?;
    call.memory.write_u32(ret_fd, number)?;
    Ok(Reply::Done)
}

/// Describes what is at a path.
pub(in crate::hostcall) fn path_filestat_get(
    mut call: Hostcall<'_>,
    fd: i32,
    lookup_flags: i32,
    pointer: i32,
    len: i32,
    ret_stat: i32,
) -> HostcallResult<Errno> {
    let directory = call.vm.files.get(fd, Errno::Notsup)?.directory(Rights::PATH_FILESTAT_GET)?;
    let metadata = directory.metadata_of(path(&call.memory, pointer, len)?, follow(lookup_flags)?)?;
    write_filestat(&mut call.memory, ret_stat, &metadata)?;
    Ok(Reply::Done)
}

/// Sets the times of what is at a path.
#[expect(clippy::too_many_arguments, reason = "WASI's own signature")]
pub(in crate::hostcall) fn path_filestat_set_times(
    call: Hostcall<'_>,
    fd: i32,
    lookup_flags: i32,
    pointer: i32,
    len: i32,
    accessed: i64,
    modified: i64,
    flags: i32,
) -> HostcallResult<Errno> {
    call.vm.files.get(fd, Errno::Notsup)?;
    let times = times(call.vm, accessed, modified, flags)?;
    let directory = call.vm.files.get(fd, Errno::Notsup)?.directory(Rights::PATH_FILESTAT_SET_TIMES)?;
    directory.set_times_of(path(&call.memory, pointer, len)?, follow(lookup_flags)?, times)?;
    Ok(Reply::Done)
}

/// Makes a directory.
pub(in crate::hostcall) fn path_create_directory(
    call: Hostcall<'_>,
    fd: i32,
    pointer: i32,
    len: i32,
) -> HostcallResult<Errno> {
    let directory = call.vm.files.get(fd, Errno::Notsup)?.directory(Rights::PATH_CREATE_DIRECTORY)?;
    directory.create_directory(path(&call.memory, pointer, len)?)?;
    Ok(Reply::Done)
}

/// Removes an empty directory.
pub(in crate::hostcall) fn path_remove_directory(
    call: Hostcall<'_>,
    fd: i32,
    pointer: i32,
    len: i32,
) -> HostcallResult<Errno> {
    let directory = call.vm.files.get(fd, Errno::Notsup)?.directory(Rights::PATH_REMOVE_DIRECTORY)?;
    directory.remove_directory(path(&call.memory, pointer, len)?)?;
    Ok(Reply::Done)
}

/// Removes a file or a symbolic link.
pub(in crate::hostcall) fn path_unlink_file(
    call: Hostcall<'_>,
    fd: i32,
    pointer: i32,
    len: i32,
) -> HostcallResult<Errno> {
    let directory = call.vm.files.get(fd, Errno::Notsup)?.directory(Rights::PATH_UNLINK_FILE)?;
    directory.remove_file(path(&call.memory, pointer, len)?)?;
    Ok(Reply::Done)
}

/// Moves a file or directory, also from one preopened directory to another on the same file system.
pub(in crate::hostcall) fn path_rename(
    call: Hostcall<'_>,
    fd: i32,
    pointer: i32,
    len: i32,
    to_fd: i32,
    to_pointer: i32,
    to_len: i32,
) -> HostcallResult<Errno> {
    let (from, to) = call.vm.files.pair(fd, to_fd, Errno::Notsup)?;
    let (from, to) = (from.directory(Rights::PATH_RENAME_SOURCE)?, to.directory(Rights::PATH_RENAME_TARGET)?);
    from.rename(path(&call.memory, pointer, len)?, to, path(&call.memory, to_pointer, to_len)?)?;
    Ok(Reply::Done)
}

/// Gives a file a second name. `Inval`: of what a symbolic link leads to.
#[expect(clippy::too_many_arguments, reason = "WASI's own signature")]
pub(in crate::hostcall) fn path_link(
    call: Hostcall<'_>,
    fd: i32,
    lookup_flags: i32,
    pointer: i32,
    len: i32,
    to_fd: i32,
    to_pointer: i32,
    to_len: i32,
) -> HostcallResult<Errno> {
    let (from, to) = call.vm.files.pair(fd, to_fd, Errno::Notsup)?;
    let (from, to) = (from.directory(Rights::PATH_LINK_SOURCE)?, to.directory(Rights::PATH_LINK_TARGET)?);
    if follow(lookup_flags)? {
        Err(Errno::Inval)?;
    }
    from.link(path(&call.memory, pointer, len)?, to, path(&call.memory, to_pointer, to_len)?)?;
    Ok(Reply::Done)
}

/// Makes a symbolic link, which must not begin at the root.
pub(in crate::hostcall) fn path_symlink(
    call: Hostcall<'_>,
    target: i32,
    target_len: i32,
    fd: i32,
    pointer: i32,
    len: i32,
) -> HostcallResult<Errno> {
    let directory = call.vm.files.get(fd, Errno::Notsup)?.directory(Rights::PATH_SYMLINK)?;
    directory.symlink(path(&call.memory, target, target_len)?, path(&call.memory, pointer, len)?)?;
    Ok(Reply::Done)
}

/// Returns the target of a symbolic link, cut if the buffer is too short.
pub(in crate::hostcall) fn path_readlink(
    mut call: Hostcall<'_>,
    fd: i32,
    pointer: i32,
    len: i32,
    buf: i32,
    buf_len: i32,
    ret_len: i32,
) -> HostcallResult<Errno> {
    let directory = call.vm.files.get(fd, Errno::Notsup)?.directory(Rights::PATH_READLINK)?;
    let target = directory.read_link(path(&call.memory, pointer, len)?)?;
    call.memory.check_u32(ret_len)?;
    let out = call.memory.slice_mut(buf, buf_len)?;
    let len = out.iter_mut().zip(target.bytes()).map(|(place, byte)| *place = byte).count();
    call.memory.write_u32(ret_len, u32::try_from(len).unwrap_or(0))?;
    Ok(Reply::Done)
}

/// Reads a path in guest memory. `Ilseq`: it is not UTF-8. `Inval`: it has a zero in it.
fn path<'m>(memory: &'m GuestMemory<'_>, pointer: i32, len: i32) -> Result<&'m str, Errno> {
    let bytes = memory.slice(pointer, len)?;
    match bytes {
        [] => Err(Errno::Noent),
        _ if bytes.len() > MAX_PATH => Err(Errno::Nametoolong),
        _ if bytes.contains(&0) => Err(Errno::Inval),
        _ => std::str::from_utf8(bytes).map_err(|_| Errno::Ilseq),
    }
}

/// Returns whether a symbolic link at the end of a path is followed (`lookupflags`).
fn follow(flags: i32) -> Result<bool, Errno> {
    match flags {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Errno::Inval),
    }
}
