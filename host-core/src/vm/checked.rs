//! Checked calls: a callback that the current plugin may not receive is treated as one that its module does not export.

use crate::abi::callback::CallbackId;
use crate::engine::Guest;
use crate::engine::trap::Trap;

macro_rules! expand {
    ($( $method:ident = $export:literal($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident; )*) => {
        $(
            #[inline]
            #[allow(dead_code, reason = "rows that no stream calls yet")]
            pub(super) fn $method(guest: &mut dyn Guest, $($arg: $ty),*) -> Result<Option<$ret>, Trap> {
                let state = guest.state();
                if !state.capabilities().allows_callback(CallbackId::$method)
                    && !state.lets_through(CallbackId::$method)
                {
                    return Ok(None);
                }
                guest.$method($($arg),*)
            }
        )*
    };
}
crate::for_each_callback!(expand);
