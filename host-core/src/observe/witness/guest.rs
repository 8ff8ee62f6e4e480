use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Witness;
use crate::abi::callback::CallbackId;
use crate::engine::Guest;
use crate::engine::trap::Trap;
use crate::observe::profile::{Meter, Part, Samples};
use crate::observe::tape::{Recording, lock};
use crate::vm::state::VmState;

/// A guest whose callbacks are looked at.
pub(crate) struct Witnessed {
    pub(crate) guest: Box<dyn Guest>,
    /// Who gets the samples of its engine when it ends.
    pub(crate) samples: Option<Samples>,
}

impl Witnessed {
    fn call<R: Returns>(
        &mut self,
        id: CallbackId,
        arguments: &[i32],
        call: impl FnOnce(&mut dyn Guest) -> Result<Option<R>, Trap>,
    ) -> Result<Option<R>, Trap> {
        match self.guest.state().witness() {
            Some(Witness::Record(recording)) => {
                let recording = Arc::clone(recording);
                self.recorded(&recording, id, arguments, call)
            }
            Some(Witness::Measure(_)) => self.measured(id, call),
            Some(Witness::Play(_)) | None => call(&mut *self.guest),
        }
    }

    fn recorded<R: Returns>(
        &mut self,
        recording: &Mutex<Recording>,
        id: CallbackId,
        arguments: &[i32],
        call: impl FnOnce(&mut dyn Guest) -> Result<Option<R>, Trap>,
    ) -> Result<Option<R>, Trap> {
        lock(recording).callback(id, arguments.to_vec());
        let result = call(&mut *self.guest);
        let outcome = match &result {
            Ok(None) => None,
            Ok(Some(returned)) => Some(Ok(returned.number())),
            Err(trap) => Some(Err(trap.without_stack())),
        };
        let mut recording = lock(recording);
        recording.returned(outcome);
        if recording.is_over() {
            self.guest.state().drop_witness();
        }
        result
    }

    fn measured<R>(
        &mut self,
        id: CallbackId,
        call: impl FnOnce(&mut dyn Guest) -> Result<Option<R>, Trap>,
    ) -> Result<Option<R>, Trap> {
        let span = Meter::begin(self.guest.state());
        let result = call(&mut *self.guest);
        match &result {
            // The guest does not have it.
            Ok(None) => Meter::forget(self.guest.state(), span),
            result => Meter::end_guest(self.guest.state(), span, Part::Callback(id), result.is_err()),
        }
        result
    }
}

impl Drop for Witnessed {
    fn drop(&mut self) {
        if let Some(samples) = self.samples.take()
            && let Some(bytes) = self.guest.take_samples()
        {
            samples(bytes);
        }
    }
}

/// What a callback returns: nothing or a number.
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
        impl Guest for Witnessed {
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
        pub(crate) fn call(guest: &mut dyn Guest, id: CallbackId, arguments: &[i32]) -> Result<Option<Option<i32>>, Trap> {
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
