use std::fmt::Debug;
use std::time::Duration;

use portcullis::engine::{AnyModule, EngineError, Guest, StartError, Trap};
use portcullis::model::Limits;
use portcullis::vm::VmState;

use super::witness::Witness;

/// The callback that a guest logs its memory in. The host never calls it by itself.
pub(super) const DIGEST: &str = "envoy_on_stats_update";

/// A module whose guests have their callbacks written down.
pub(super) struct Traced<'a> {
    pub(super) module: &'a dyn AnyModule,
    pub(super) witness: Witness,
}

impl AnyModule for Traced<'_> {
    fn instantiate(&self, state: VmState, limits: &Limits) -> Result<Box<dyn Guest>, StartError> {
        let guest = self.module.instantiate(state, limits)?;
        Ok(Box::new(TracedGuest { guest, witness: self.witness.clone() }))
    }

    fn save(&self) -> Result<Option<Vec<u8>>, EngineError> {
        self.module.save()
    }

    fn moves(&self) -> bool {
        self.module.moves()
    }
}

struct TracedGuest {
    guest: Box<dyn Guest>,
    witness: Witness,
}

impl TracedGuest {
    fn seen<R: Debug>(
        &mut self,
        callback: &str,
        arguments: &[i32],
        result: Result<Option<R>, Trap>,
    ) -> Result<Option<R>, Trap> {
        let outcome = match &result {
            Ok(None) => return result,
            Ok(Some(returned)) => format!("returned {returned:?}"),
            Err(trap @ (Trap::Stack(_) | Trap::Deadline(_))) => {
                self.witness.give_up();
                trap.to_string()
            }
            Err(Trap::Wasm(trap, _)) => format!("trap: {trap}"),
            Err(trap) => trap.to_string(),
        };
        self.witness.write(format!("{callback}{arguments:?} {outcome}"));
        let guest = &mut self.guest;
        self.witness.take_digest(|| {
            // It cannot fail but for a want of stack, and shows itself by its log line.
            let _ = guest.envoy_on_stats_update(0, 0);
        });
        result
    }
}

macro_rules! guest {
    ($( $method:ident = $export:literal($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident; )*) => {
        impl Guest for TracedGuest {
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
                    let result = self.guest.$method($($arg),*);
                    self.seen($export, &[$($arg),*], result)
                }
            )*
        }
    };
}
portcullis_core::for_each_callback!(guest);
