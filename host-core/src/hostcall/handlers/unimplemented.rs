//! Hostcalls that this host links and does not do yet. Each answers what deployed hosts answer for
//! what they lack, so that plugins which only import them run.

use crate::abi::Status;
use crate::hostcall::{Hostcall, HostcallId, HostcallResult, Reply};

/// The hostcalls that are not implemented; they answer 12.
pub const UNIMPLEMENTED: &[HostcallId] = &[HostcallId::envoy_resolve_dns];

macro_rules! unimplemented_hostcalls {
    ($($handler:ident($($ty:ty),*);)*) => { $(
        pub(in crate::hostcall) fn $handler(call: Hostcall<'_>, $(_: $ty),*) -> HostcallResult {
            call.vm.unimplemented_calls += 1;
            Ok(Reply::Answer(Status::Unimplemented))
        }
    )* };
}

unimplemented_hostcalls! {
    envoy_resolve_dns(i32, i32, i32);
}
