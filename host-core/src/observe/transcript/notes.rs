use super::event::Span;
use crate::engine::memory::{self, GuestMemory};

/// The parts of guest memory that a hostcall was handed.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    reads: Vec<Span>,
    /// Where it could write: address and length.
    writes: Vec<(u32, u32)>,
    /// How many bytes may still be noted.
    room: usize,
    is_over: bool,
}

impl Notes {
    pub(super) fn new(room: usize) -> Self {
        Self { room, ..Self::default() }
    }

    /// Returns what was read and written since the last time; `None` if it was more than there was room for.
    pub(super) fn finish(&mut self, memory: &[u8]) -> Option<(Vec<Span>, Vec<Span>)> {
        let bytes = |address: u32, len: u32| {
            let start = usize::try_from(address).ok()?;
            memory.get(start..start.checked_add(usize::try_from(len).ok()?)?)
        };
        let span = |(address, len)| Some(Span { address, bytes: bytes(address, len)?.to_vec() });
        let writes = std::mem::take(&mut self.writes).into_iter().filter_map(span).collect();
        (!self.is_over).then(|| (std::mem::take(&mut self.reads), writes))
    }

    /// Takes room for a span, whose cost beyond its bytes bounds empty ones, too.
    fn take(&mut self, len: usize) -> bool {
        const SPAN: usize = 16;
        match self.room.checked_sub(len.saturating_add(SPAN)) {
            Some(rest) if !self.is_over => {
                self.room = rest;
                true
            }
            _ => {
                self.is_over = true;
                false
            }
        }
    }
}

impl memory::Notes for Notes {
    /// Copies the bytes, because the hostcall may write over them.
    #[cold]
    fn read(&mut self, address: usize, bytes: &[u8]) {
        let address = u32::try_from(address).unwrap_or(u32::MAX);
        let is_known = |span: &Span| span.address == address && span.bytes.len() == bytes.len();
        if !self.reads.iter().any(is_known) && self.take(bytes.len()) {
            self.reads.push(Span { address, bytes: bytes.to_vec() });
        }
    }

    /// Notes the place; its bytes are read when the hostcall is done with them.
    #[cold]
    fn write(&mut self, address: usize, len: usize) {
        let place = (u32::try_from(address).unwrap_or(u32::MAX), u32::try_from(len).unwrap_or(u32::MAX));
        if !self.writes.contains(&place) && self.take(len) {
            self.writes.push(place);
        }
    }
}

/// Returns the bytes that a guest names now, if they exist.
pub(super) fn bytes_at<'m>(memory: &'m GuestMemory<'_>, address: u32, len: usize) -> Option<&'m [u8]> {
    memory.slice(address.cast_signed(), u32::try_from(len).ok()?.cast_signed()).ok()
}
