//! WASI preview 1: functions on descriptors, except reading and writing.
//! Descriptors are the standard streams, which are logs; and files and directories below the VM's preopened
//! directories, if it has some. If it has none, the answers are those of deployed hosts, which have none.
//!
//! differs: guests of `wasi_unstable` get the layouts of preview 1.

use super::wasi_io::standard;
use crate::abi::Errno;
use crate::engine::memory::{GuestMemory, OutOfBounds};
use crate::hostcall::{Hostcall, HostcallResult, Reply};
use crate::resources::files::{Metadata, Rights, Times};
use crate::vm::state::VmState;

/// Returns type, flags and rights. Standard output and error can be written.
///
/// differs: cpp-host answers success when it cannot write the answer. Directories tell of the rights that
/// are there to be passed on, also where they are read-only and refuse to pass on that to write: so a
/// guest that opens to write is told why it cannot.
pub(in crate::hostcall) fn fd_fdstat_get(mut call: Hostcall<'_>, fd: i32, ret_stat: i32) -> HostcallResult<Errno> {
    let (file_type, flags, base, inheriting) = match call.vm.files.find(fd) {
        Some(descriptor) => {
            let (base, inheriting) = descriptor.rights();
            (descriptor.file_type() as u8, descriptor.flags(), base.bits(), inheriting.bits())
        }
        None => standard(fd).map(|()| (0, 0, Rights::FD_WRITE.bits(), 0))?,
    };
    let [low, high] = flags.to_le_bytes();
    call.memory.slice_mut(ret_stat, 24)?.fill(0);
    call.memory.slice_mut(ret_stat, 4)?.copy_from_slice(&[file_type, 0, low, high]);
    call.memory.write_u64(ret_stat.wrapping_add(8), base)?;
    call.memory.write_u64(ret_stat.wrapping_add(16), inheriting)?;
    Ok(Reply::Done)
}

/// Returns whether writes go to the end, and whether they wait for the disk.
pub(in crate::hostcall) fn fd_fdstat_set_flags(call: Hostcall<'_>, fd: i32, flags: i32) -> HostcallResult<Errno> {
    let descriptor = call.vm.files.get(fd, Errno::Nosys)?;
    descriptor.require(Rights::FD_FDSTAT_SET_FLAGS)?;
    descriptor.set_flags(flags)?;
    Ok(Reply::Done)
}

/// Gives up rights. Accepted for standard output and error, without effect.
pub(in crate::hostcall) fn fd_fdstat_set_rights(
    call: Hostcall<'_>,
    fd: i32,
    base: i64,
    inheriting: i64,
) -> HostcallResult<Errno> {
    match call.vm.files.find(fd) {
        Some(descriptor) => descriptor.set_rights(Rights::from_guest(base), Rights::from_guest(inheriting))?,
        None => standard(fd)?,
    }
    Ok(Reply::Done)
}

/// Describes a file or directory. The standard streams are not described.
pub(in crate::hostcall) fn fd_filestat_get(mut call: Hostcall<'_>, fd: i32, ret_stat: i32) -> HostcallResult<Errno> {
    let metadata = call.vm.files.get(fd, Errno::Badf)?.metadata()?;
    write_filestat(&mut call.memory, ret_stat, &metadata)?;
    Ok(Reply::Done)
}

/// Cuts a file or makes it longer. Accepted for standard output and error, without effect.
pub(in crate::hostcall) fn fd_filestat_set_size(call: Hostcall<'_>, fd: i32, size: i64) -> HostcallResult<Errno> {
    match call.vm.files.find(fd) {
        Some(descriptor) => {
            descriptor.file(Rights::FD_FILESTAT_SET_SIZE)?.file.set_size(size.cast_unsigned())?;
        }
        None => standard(fd)?,
    }
    Ok(Reply::Done)
}

/// Sets times. Accepted for standard output and error, without effect.
pub(in crate::hostcall) fn fd_filestat_set_times(
    call: Hostcall<'_>,
    fd: i32,
    accessed: i64,
    modified: i64,
    flags: i32,
) -> HostcallResult<Errno> {
    if call.vm.files.find(fd).is_none() {
        standard(fd)?;
        return Ok(Reply::Done);
    }
    let times = times(call.vm, accessed, modified, flags)?;
    call.vm.files.get(fd, Errno::Badf)?.set_times(times)?;
    Ok(Reply::Done)
}

/// Waits until a file is on the disk. Accepted for standard output and error, without effect.
pub(in crate::hostcall) fn fd_sync(call: Hostcall<'_>, fd: i32) -> HostcallResult<Errno> {
    sync(call, fd, false)
}

/// Waits until the bytes of a file are on the disk. Accepted for standard output and error, without effect.
pub(in crate::hostcall) fn fd_datasync(call: Hostcall<'_>, fd: i32) -> HostcallResult<Errno> {
    sync(call, fd, true)
}

/// Files cannot be given space ahead. Accepted for standard output and error, without effect.
pub(in crate::hostcall) fn fd_allocate(call: Hostcall<'_>, fd: i32, _offset: i64, _len: i64) -> HostcallResult<Errno> {
    match call.vm.files.find(fd) {
        Some(_) => Err(Errno::Notsup.into()),
        None => Ok(standard(fd).map(|()| Reply::Done)?),
    }
}

/// Accepts advice, which has no effect; in a VM without directories also advice about descriptors that are not open.
pub(in crate::hostcall) fn fd_advise(
    call: Hostcall<'_>,
    fd: i32,
    _offset: i64,
    _len: i64,
    advice: i32,
) -> HostcallResult<Errno> {
    let descriptor = match call.vm.files.get(fd, Errno::Success) {
        Ok(descriptor) => descriptor,
        Err(Errno::Success) => return Ok(Reply::Done),
        Err(errno) => Err(errno)?,
    };
    descriptor.file(Rights::FD_ADVISE)?;
    if (0..6).contains(&advice) { Ok(Reply::Done) } else { Err(Errno::Inval.into()) }
}

/// Gives a file another number, and closes what had it. The standard streams and preopened directories
/// keep theirs.
pub(in crate::hostcall) fn fd_renumber(call: Hostcall<'_>, fd: i32, to: i32) -> HostcallResult<Errno> {
    let files = &mut call.vm.files;
    for one in [fd, to] {
        if files.find(one).is_none() {
            standard(one)?;
        }
    }
    if standard(fd).is_ok() || standard(to).is_ok() {
        Err(Errno::Notsup)?;
    }
    files.renumber(fd, to)?;
    Ok(Reply::Done)
}

/// Closes a file or directory, a preopened one, too. Closing a standard stream leaves it open.
///
/// differs: cpp-host answers success for descriptors that were never open, too.
pub(in crate::hostcall) fn fd_close(call: Hostcall<'_>, fd: i32) -> HostcallResult<Errno> {
    if !call.vm.files.close(fd) {
        standard(fd)?;
    }
    Ok(Reply::Done)
}

fn sync(call: Hostcall<'_>, fd: i32, bytes_alone: bool) -> HostcallResult<Errno> {
    match call.vm.files.find(fd) {
        Some(descriptor) => descriptor.sync(bytes_alone)?,
        None => standard(fd)?,
    }
    Ok(Reply::Done)
}

/// Writes a `filestat`.
pub(super) fn write_filestat(memory: &mut GuestMemory<'_>, at: i32, stat: &Metadata) -> Result<(), OutOfBounds> {
    let fields = [
        stat.device,
        stat.inode,
        u64::from(stat.file_type as u8),
        stat.links,
        stat.size,
        stat.accessed,
        stat.modified,
        stat.changed,
    ];
    for (place, field) in memory.slice_mut(at, 64)?.as_chunks_mut::<8>().0.iter_mut().zip(fields) {
        *place = field.to_le_bytes();
    }
    Ok(())
}

/// Reads the times that a guest wants to set (`fstflags`). `Inval`: a time and now, or other flags.
pub(super) fn times(vm: &VmState, accessed: i64, modified: i64, flags: i32) -> Result<Times, Errno> {
    let time = |given: i64, flags: i32| match flags & 3 {
        0 => Ok(None),
        1 => Ok(Some(given.cast_unsigned())),
        2 => Ok(Some(vm.host.wall_clock())),
        _ => Err(Errno::Inval),
    };
    if !(0..16).contains(&flags) {
        return Err(Errno::Inval);
    }
    Ok(Times { accessed: time(accessed, flags)?, modified: time(modified, flags >> 2)? })
}
