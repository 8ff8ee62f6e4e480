//! WASI preview 1 for what a plugin does not have: directories, sockets, signals. The answers are
//! those of deployed hosts.
//!
//! differs: cpp-host's `fd_readdir` answers 20, an old number of `NOTDIR`; and where it also writes
//! zeros to the out-pointers of a function that fails, nothing is written here.

use crate::abi::Errno;
use crate::hostcall::{Hostcall, HostcallResult};

macro_rules! nothing_there {
    ($($handler:ident($($ty:ty),*) = $answer:ident;)*) => { $(
        #[allow(clippy::too_many_arguments, reason = "WASI has functions of 9 parameters")]
        pub(in crate::hostcall) fn $handler(_: Hostcall<'_>, $(_: $ty),*) -> HostcallResult<Errno> {
            Err(Errno::$answer.into())
        }
    )* };
}

nothing_there! {
    fd_read(i32, i32, i32, i32) = Nosys;
    fd_pread(i32, i32, i32, i64, i32) = Nosys;
    fd_fdstat_set_flags(i32, i32) = Nosys;
    fd_prestat_dir_name(i32, i32, i32) = Nosys;
    fd_readdir(i32, i32, i32, i64, i32) = Notdir;
    path_open(i32, i32, i32, i32, i32, i64, i64, i32, i32) = Noent;
    path_create_directory(i32, i32, i32) = Notsup;
    path_filestat_get(i32, i32, i32, i32, i32) = Notsup;
    path_filestat_set_times(i32, i32, i32, i32, i64, i64, i32) = Notsup;
    path_link(i32, i32, i32, i32, i32, i32, i32) = Notsup;
    path_readlink(i32, i32, i32, i32, i32, i32) = Notsup;
    path_remove_directory(i32, i32, i32) = Notsup;
    path_rename(i32, i32, i32, i32, i32, i32) = Notsup;
    path_symlink(i32, i32, i32, i32, i32) = Notsup;
    path_unlink_file(i32, i32, i32) = Notsup;
    proc_raise(i32) = Nosys;
    sock_accept(i32, i32, i32) = Notsup;
    sock_recv(i32, i32, i32, i32, i32, i32) = Notsup;
    sock_send(i32, i32, i32, i32, i32) = Notsup;
    sock_shutdown(i32, i32) = Notsup;
}
