use std::cell::{Cell, RefCell};

use super::meter::{Meter, Span};
use super::table::Part;
use crate::abi::hostcall::HostcallId;
use crate::engine::memory::Notes;
use crate::engine::trap::Trap;
use crate::observe::observer::{Answered, ObservedCall, Seen};

/// One hostcall that is measured.
pub(super) struct Measured {
    id: HostcallId,
    meter: Meter,
    span: Span,
    /// The run of the guest's allocator.
    allocation: Cell<Option<Span>>,
    copied: RefCell<Copied>,
}

impl Measured {
    pub(super) fn begin(id: HostcallId, meter: Meter, seen: Seen<'_>) -> Self {
        let span = meter.begin(seen);
        Self { id, meter, span, allocation: Cell::new(None), copied: RefCell::default() }
    }
}

impl ObservedCall for Measured {
    fn notes(&self) -> &RefCell<dyn Notes> {
        &self.copied
    }

    fn allocates(&self, _: u32, _: &[u8], seen: Seen<'_>) {
        self.allocation.set(Some(self.meter.begin(seen)));
    }

    fn allocated(&self, address: Result<u32, &Trap>, seen: Seen<'_>) {
        if let Some(span) = self.allocation.take() {
            self.meter.end_guest(seen, span, Part::Allocator, address.is_err());
        }
    }

    fn end(self: Box<Self>, answer: Result<Answered, &Trap>, _: &[u8], seen: Seen<'_>) {
        let copied = self.copied.borrow();
        let answer = answer.map(|answered| answered.failure).map_err(|_| ());
        self.meter.end_hostcall(seen, self.span, self.id, (copied.into_guest, copied.out_of_guest), answer);
    }
}

/// How many bytes a hostcall was handed of guest memory.
#[derive(Debug, Default)]
struct Copied {
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
