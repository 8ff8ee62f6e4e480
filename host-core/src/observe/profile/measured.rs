use std::cell::{Cell, RefCell};

use super::meter::{Meter, Span};
use super::table::Part;
use crate::abi::hostcall::HostcallId;
use crate::abi::outcome::Outcome;
use crate::engine::memory::Notes;
use crate::engine::trap::Trap;
use crate::vm::state::VmState;

/// One hostcall that is measured.
pub(crate) struct Measured {
    id: HostcallId,
    span: Span,
    /// The run of the guest's allocator.
    allocation: Cell<Option<Span>>,
    pub(crate) copied: RefCell<Copied>,
}

impl Measured {
    pub(crate) fn begin(id: HostcallId, vm: &mut VmState) -> Option<Self> {
        let span = Meter::begin(vm)?;
        Some(Self { id, span, allocation: Cell::new(None), copied: RefCell::default() })
    }

    pub(crate) fn allocates(&self, vm: &mut VmState) {
        self.allocation.set(Meter::begin(vm));
    }

    pub(crate) fn allocated(&self, vm: &mut VmState, trapped: bool) {
        Meter::end_guest(vm, self.allocation.take(), Part::Allocator, trapped);
    }

    pub(crate) fn end<O: Outcome>(self, vm: &mut VmState, answer: &Result<O::Raw, Trap>) {
        let copied = self.copied.into_inner();
        let answer = answer.as_ref().map(O::failure).map_err(|_| ());
        Meter::end_hostcall(vm, self.span, self.id, (copied.into_guest, copied.out_of_guest), answer);
    }
}

/// How many bytes a hostcall was handed of guest memory.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    into_guest: u64,
    out_of_guest: u64,
    /// The places that it read last: some handlers look twice.
    read: [(usize, usize); 4],
    next: usize,
}

impl Notes for Copied {
    #[cold]
    fn read(&mut self, address: usize, bytes: &[u8]) {
        let place = (address, bytes.len());
        if bytes.is_empty() || self.read.contains(&place) {
            return;
        }
        self.out_of_guest = self.out_of_guest.saturating_add(bytes.len() as u64);
        if let Some(slot) = self.read.get_mut(self.next) {
            *slot = place;
        }
        self.next = (self.next + 1) % self.read.len();
    }

    #[cold]
    fn write(&mut self, _: usize, len: usize) {
        self.into_guest = self.into_guest.saturating_add(len as u64);
    }
}
