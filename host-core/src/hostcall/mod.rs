//! Calls from guest to host: the table, the dispatch, the handlers.
//!
//! The table ([`for_each_hostcall!`](crate::for_each_hostcall)) is expanded here to [`entry`]. Handlers are private, so an engine
//! reaches them through [`entry`] alone and cannot forget the capability check.

mod dispatch;
mod growth;
mod guard;
mod handlers;
mod nominated;
mod reply;

pub(crate) use growth::Unseen;
pub(crate) use reply::{Failure, HostcallResult, Reply, Source};

pub use crate::abi::outcome::{Float, Outcome, Raw, Word};
use crate::engine::Caller;
use crate::engine::memory::GuestMemory;
use crate::vm::state::VmState;

/// All that a handler sees: guest memory and the VM's state; no engine, no way back into the guest. One whose arguments are numbers
/// alone sees the state.
#[derive(Debug)]
pub(crate) struct Hostcall<'a> {
    /// The memory of the guest that calls.
    pub(crate) memory: GuestMemory<'a>,
    /// The state of its VM.
    pub(crate) vm: &'a mut VmState,
}

/// The view that a handler has of a call, as its row of the table says.
trait Sees {
    /// The argument that a handler is given.
    type Call<'a>;

    /// Returns the guest's memory, empty if it is not seen, and the state of its VM.
    fn split<C: Caller + ?Sized>(caller: &mut C) -> (&mut [u8], &mut VmState);

    fn call<'a>(memory: GuestMemory<'a>, vm: &'a mut VmState) -> Self::Call<'a>;
}

/// Handlers that read or write the guest's memory.
struct Memory;

/// Handlers whose arguments are numbers alone. Looking for the memory would cost, on wasmtime, three loads, each of which waits for
/// the one before.
struct Numbers;

impl Sees for Memory {
    type Call<'a> = Hostcall<'a>;

    #[inline(always)]
    fn split<C: Caller + ?Sized>(caller: &mut C) -> (&mut [u8], &mut VmState) {
        caller.split()
    }

    #[inline(always)]
    fn call<'a>(memory: GuestMemory<'a>, vm: &'a mut VmState) -> Hostcall<'a> {
        Hostcall { memory, vm }
    }
}

impl Sees for Numbers {
    type Call<'a> = &'a mut VmState;

    #[inline(always)]
    fn split<C: Caller + ?Sized>(caller: &mut C) -> (&mut [u8], &mut VmState) {
        (&mut [], caller.state())
    }

    #[inline(always)]
    fn call<'a>(_: GuestMemory<'a>, vm: &'a mut VmState) -> &'a mut VmState {
        vm
    }
}

macro_rules! expand {
    ($( [$($module:literal),*] $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident => $handler:ident($sees:ident, $when:ident); )*) => {
        /// The only door an engine has into the host: one checked entry a row of the table.
        #[expect(clippy::too_many_arguments, reason = "the ABI has hostcalls of 12 parameters")]
        pub mod entry {
            use super::{dispatch, handlers};
            use crate::abi::hostcall::HostcallId;
            use crate::abi::outcome::Outcome;
            use crate::engine::Caller;
            use crate::engine::trap::Trap;
            $(
                #[doc = concat!("Runs `", stringify!($name), "` for the guest that is calling.")]
                #[doc = ""]
                #[doc = "# Errors"]
                #[doc = "A trap that the engine must raise in the guest."]
                #[inline]
                pub fn $name<C: Caller + ?Sized>(caller: &mut C, $($arg: $ty),*) -> Result<<$ret as Outcome>::Raw, Trap> {
                    dispatch::dispatch::<C, super::$sees, $ret>(HostcallId::$name, caller, || vec![$($arg.into()),*], |call| handlers::$handler(call, $($arg),*))
                }
            )*
        }
    };
}
crate::for_each_hostcall!(expand);
