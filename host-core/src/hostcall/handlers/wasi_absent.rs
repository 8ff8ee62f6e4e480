//! WASI preview 1 for what a plugin does not have: sockets and signals. The answers are those of
//! deployed hosts.
//!
//! differs: where cpp-host also writes zeros to the out-pointers of a function that fails, nothing is
//! written here.

use crate::abi::Errno;
use crate::hostcall::{Hostcall, HostcallResult};

macro_rules! nothing_there {
    ($($handler:ident($($ty:ty),*) = $answer:ident;)*) => { $(
        pub(in crate::hostcall) fn $handler(_: Hostcall<'_>, $(_: $ty),*) -> HostcallResult<Errno> {
            Err(Errno::$answer.into())
        }
    )* };
}

nothing_there! {
    proc_raise(i32) = Nosys;
    sock_accept(i32, i32, i32) = Notsup;
    sock_recv(i32, i32, i32, i32, i32, i32) = Notsup;
    sock_send(i32, i32, i32, i32, i32) = Notsup;
    sock_shutdown(i32, i32) = Notsup;
}
