//! A guest whose callbacks are looked at.

use std::time::Duration;

use crate::abi::callback::CallbackId;
use crate::engine::Guest;
use crate::engine::trap::Trap;
use crate::observe::profile::Samples;
use crate::vm::state::VmState;

/// A guest whose callbacks are looked at.
pub(super) struct ObservedGuest {
    pub(super) guest: Box<dyn Guest>,
    /// Takes the samples of its engine when it ends.
    pub(super) samples: Option<Samples>,
}

impl ObservedGuest {
    fn call<R: Returns>(
        &mut self,
        id: CallbackId,
        arguments: &[i32],
        call: impl FnOnce(&mut dyn Guest) -> Result<Option<R>, Trap>,
    ) -> Result<Option<R>, Trap> {
        self.guest.state().observe(|observer, seen| observer.callback(id, arguments, seen));
        let result = call(&mut *self.guest);
        let outcome = match &result {
            Ok(None) => None,
            Ok(Some(returned)) => Some(Ok(returned.number())),
            Err(trap) => Some(Err(trap)),
        };
        if self.guest.state().observe(|observer, seen| observer.returned(outcome, seen)) == Some(false) {
            self.guest.state().drop_observer();
        }
        result
    }
}

impl Drop for ObservedGuest {
    fn drop(&mut self) {
        if let Some(samples) = self.samples.take()
            && let Some(bytes) = self.guest.take_samples()
        {
            samples(bytes);
        }
    }
}

/// The result of a callback: nothing or a number.
trait Returns {
    fn number(&self) -> Option<i32>;
}

impl Returns for () {
    fn number(&self) -> Option<i32> {
        None
    }
}

impl Returns for i32 {
    fn number(&self) -> Option<i32> {
        Some(*self)
    }
}

macro_rules! guest {
    ($( $method:ident = $export:literal($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident; )*) => {
        impl Guest for ObservedGuest {
            fn state(&mut self) -> &mut VmState {
                self.guest.state()
            }

            fn set_deadline(&mut self, deadline: Duration) {
                self.guest.set_deadline(deadline);
            }

            fn memory(&mut self) -> &[u8] {
                self.guest.memory()
            }

            fn global(&mut self, export: &str) -> Option<u128> {
                self.guest.global(export)
            }

            $(
                fn $method(&mut self, $($arg: $ty),*) -> Result<Option<$ret>, Trap> {
                    self.call(CallbackId::$method, &[$($arg),*], |guest| guest.$method($($arg),*))
                }
            )*
        }

        /// Calls a callback by its id: its result, or `None` if the guest does not have it, or if these are not as many
        /// arguments as it takes.
        pub(super) fn call(guest: &mut dyn Guest, id: CallbackId, arguments: &[i32]) -> Result<Option<Option<i32>>, Trap> {
            match id {
                $(
                    CallbackId::$method => {
                        let &[$($arg),*] = arguments else { return Ok(None) };
                        Ok(guest.$method($($arg),*)?.map(|returned| returned.number()))
                    }
                )*
            }
        }
    };
}
crate::for_each_callback!(guest);
