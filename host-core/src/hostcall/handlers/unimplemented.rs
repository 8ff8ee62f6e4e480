//! Hostcalls that this host links and does not do yet. Each answers what deployed hosts answer for
//! what they lack, so that plugins which only import them run.

use crate::abi::{Errno, Status};
use crate::hostcall::{Hostcall, HostcallId, HostcallResult, Outcome, Reply};

/// The hostcalls that are not implemented: 12 from a `proxy_*` function, an errno from a WASI one.
///
/// differs: cpp-host's `fd_readdir` answers 20, an old number of `NOTDIR`; and where it also writes
/// zeros to the out-pointers of a WASI function that fails, nothing is written here.
pub const UNIMPLEMENTED: &[HostcallId] = &[
    HostcallId::proxy_grpc_call,
    HostcallId::proxy_grpc_stream,
    HostcallId::proxy_grpc_send,
    HostcallId::proxy_grpc_cancel,
    HostcallId::proxy_grpc_close,
    HostcallId::proxy_call_foreign_function,
    HostcallId::envoy_resolve_dns,
    HostcallId::fd_read,
    HostcallId::fd_pread,
    HostcallId::fd_fdstat_set_flags,
    HostcallId::fd_prestat_dir_name,
    HostcallId::fd_readdir,
    HostcallId::path_open,
    HostcallId::path_create_directory,
    HostcallId::path_filestat_get,
    HostcallId::path_filestat_set_times,
    HostcallId::path_link,
    HostcallId::path_readlink,
    HostcallId::path_remove_directory,
    HostcallId::path_rename,
    HostcallId::path_symlink,
    HostcallId::path_unlink_file,
    HostcallId::poll_oneoff,
    HostcallId::proc_raise,
    HostcallId::sock_accept,
    HostcallId::sock_recv,
    HostcallId::sock_send,
    HostcallId::sock_shutdown,
];

macro_rules! unimplemented_hostcalls {
    ($outcome:ty: $($handler:ident($($ty:ty),*) = $answer:ident;)*) => { $(
        #[allow(clippy::too_many_arguments, reason = "the ABI has hostcalls of 12 parameters")]
        pub(in crate::hostcall) fn $handler(call: Hostcall<'_>, $(_: $ty),*) -> HostcallResult<$outcome> {
            answer(call, <$outcome>::$answer)
        }
    )* };
}

unimplemented_hostcalls! { Status:
    grpc_call(i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32) = Unimplemented;
    grpc_stream(i32, i32, i32, i32, i32, i32, i32, i32, i32) = Unimplemented;
    grpc_send(i32, i32, i32, i32) = Unimplemented;
    grpc_cancel(i32) = Unimplemented;
    grpc_close(i32) = Unimplemented;
    call_foreign_function(i32, i32, i32, i32, i32, i32) = Unimplemented;
    envoy_resolve_dns(i32, i32, i32) = Unimplemented;
}

unimplemented_hostcalls! { Errno:
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

/// Success without an event: the Go runtime needs a success, so a sleep returns at once.
pub(in crate::hostcall) fn poll_oneoff(
    mut call: Hostcall<'_>,
    _subscriptions: i32,
    _events: i32,
    _count: i32,
    ret_count: i32,
) -> HostcallResult<Errno> {
    call.memory.write_u32(ret_count, 0)?;
    answer(call, Errno::Success)
}

fn answer<O: Outcome>(call: Hostcall<'_>, answer: O) -> HostcallResult<O> {
    call.vm.unimplemented_calls += 1;
    Ok(Reply::Answer(answer))
}
