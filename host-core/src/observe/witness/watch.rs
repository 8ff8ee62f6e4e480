use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use super::Witness;
use crate::abi::hostcall::HostcallId;
use crate::abi::outcome::Outcome;
use crate::abi::value::Value;
use crate::engine::Caller;
use crate::engine::memory::Notes;
use crate::engine::trap::Trap;
use crate::observe::profile::Measured;
use crate::observe::tape::{Player, Recorded};
use crate::vm::state::VmState;

/// One hostcall that is looked at.
pub(crate) enum Watch {
    Record(Recorded),
    Measure(Measured),
}

/// One hostcall that a record answers.
pub(crate) struct Played {
    pub(crate) arguments: Vec<Value>,
    pub(crate) player: Arc<Mutex<Player>>,
}

impl Watch {
    /// Begins to look at a hostcall, if the VM has a witness.
    ///
    /// # Errors
    /// The witness is a record, which answers in the host's place.
    pub(crate) fn begin(
        id: HostcallId,
        arguments: impl FnOnce() -> Vec<Value>,
        vm: &mut VmState,
    ) -> Result<Option<Self>, Played> {
        match vm.witness() {
            None => Ok(None),
            Some(Witness::Play(player)) => Err(Played { arguments: arguments(), player: Arc::clone(player) }),
            Some(Witness::Record(recording)) => {
                let recording = Arc::clone(recording);
                Ok(Some(Self::Record(Recorded::begin(id, arguments(), recording, vm))))
            }
            Some(Witness::Measure(_)) => Ok(Measured::begin(id, vm).map(Self::Measure)),
        }
    }

    /// Who is told what the hostcall is handed of guest memory.
    pub(crate) fn notes(&self) -> &RefCell<dyn Notes> {
        match self {
            Self::Record(recorded) => &recorded.notes,
            Self::Measure(measured) => &measured.copied,
        }
    }

    /// The guest's allocator is about to be run.
    pub(crate) fn allocates<C: Caller + ?Sized>(&self, caller: &mut C, len: u32) {
        match self {
            Self::Record(recorded) => recorded.allocates(caller, len),
            Self::Measure(measured) => measured.allocates(caller.state()),
        }
    }

    /// The guest's allocator has ended.
    pub(crate) fn allocated(&self, vm: &mut VmState, address: &Result<u32, Trap>) {
        match self {
            Self::Record(recorded) => recorded.allocated(address),
            Self::Measure(measured) => measured.allocated(vm, address.is_err()),
        }
    }

    /// The hostcall has ended.
    pub(crate) fn end<C: Caller + ?Sized, O: Outcome>(self, caller: &mut C, answer: &Result<O::Raw, Trap>) {
        match self {
            Self::Record(recorded) => recorded.end(caller, answer),
            Self::Measure(measured) => measured.end::<O>(caller.state(), answer),
        }
    }
}
