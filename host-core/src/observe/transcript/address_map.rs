use super::event::{Span, is_length_of};
use super::notes::bytes_at;
use crate::abi::hostcall::HostcallId;
use crate::abi::value::Value;
use crate::engine::memory::GuestMemory;

/// Where what a hostcall reads and writes lies now. In another build of a plugin addresses differ, so what the record
/// has at an address is looked for behind the same pointer.
pub(crate) struct AddressMap {
    /// Addresses of the record, and what stands for each now; empty if they are the same.
    pairs: Vec<(u32, u32)>,
    is_moved: bool,
    /// By how much pointers move that the host writes, and the range of the record that they point to.
    shift: Option<(std::ops::RangeInclusive<u32>, u32)>,
}

impl AddressMap {
    /// Compares the arguments of a call; the name of the first that differs, if one does.
    pub(super) fn of(id: HostcallId, recorded: &[Value], now: &[Value], is_moved: bool) -> Result<Self, &'static str> {
        let names = id.decl().names;
        let mut pairs = Vec::new();
        for (index, ((name, was), is)) in names.iter().zip(recorded).zip(now).enumerate() {
            match (was.address(), is.address()) {
                (Some(was), Some(is)) if is_moved && is_pointer(id, name, names.get(index + 1)) => {
                    pairs.push((was, is))
                }
                _ if was == is => {}
                _ => return Err(name),
            }
        }
        if recorded.len() != now.len() {
            return Err("their number");
        }
        // Both functions write pointers into the second of their two places.
        let shift = match (id, pairs.as_slice()) {
            (HostcallId::args_get | HostcallId::environ_get, [_, (was, is)]) => {
                Some((*was..=was.saturating_add(1 << 20), is.wrapping_sub(*was)))
            }
            _ => None,
        };
        Ok(Self { pairs, is_moved, shift })
    }

    /// Notes that the guest's allocator gave another address than in the record.
    pub(super) fn allocated(&mut self, was: u32, is: u32) {
        if self.is_moved {
            self.pairs.push((was, is));
        }
    }

    /// Returns the present address for an address of the record.
    pub(super) fn find(&self, address: u32) -> u32 {
        let exact = self.pairs.iter().find(|(was, _)| *was == address).map(|(_, is)| *is);
        // AssemblyScript has the length of a text in the four bytes before it.
        let before =
            || self.pairs.iter().find(|(was, _)| was.wrapping_sub(4) == address).map(|(_, is)| is.wrapping_sub(4));
        // Something in the middle of what a pointer points to.
        let within = || {
            let below = self.pairs.iter().filter(|(was, _)| *was < address);
            below.max_by_key(|(was, _)| *was).map(|(was, is)| is.wrapping_add(address - was))
        };
        exact.or_else(before).or_else(within).unwrap_or(address)
    }

    /// Returns whether what was read is what stands there now; if not, the first byte that differs. Words that point to something
    /// else that was read or written may differ, as those of WASI's vectors do.
    pub(super) fn compare(
        &mut self,
        span: &Span,
        all: &[u32],
        memory: &GuestMemory<'_>,
        is_redacted: bool,
    ) -> Result<(), usize> {
        let Some(now) = bytes_at(memory, self.find(span.address), span.bytes.len()) else { return Err(0) };
        let is_same = |(was, is): (&u8, &u8)| was == is || is_redacted && *was == b'*';
        let Some(at) = span.bytes.iter().zip(now).position(|bytes| !is_same(bytes)) else { return Ok(()) };
        if !self.is_moved {
            return Err(at);
        }
        let words = span.bytes.as_chunks::<4>().0.iter().zip(now.as_chunks::<4>().0);
        let mut rest = 4 * words.len();
        for (index, (was, is)) in words.enumerate() {
            if was.iter().zip(is).all(is_same) {
                continue;
            }
            let (was, is) = (u32::from_le_bytes(*was), u32::from_le_bytes(*is));
            if was == span.address || !all.contains(&was) {
                return Err(4 * index);
            }
            self.pairs.push((was, is));
        }
        let tail = span.bytes.iter().zip(now).skip(rest).all(is_same);
        if !tail {
            rest = rest.max(at);
            return Err(rest);
        }
        Ok(())
    }

    /// Bytes that the host writes, with the pointers in them put right.
    pub(super) fn translate(&self, bytes: &[u8], allocated: &mut Option<u32>) -> Vec<u8> {
        let word = <[u8; 4]>::try_from(bytes).ok().map(u32::from_le_bytes);
        if let Some(was) = word.filter(|word| self.is_moved && *allocated == Some(*word)) {
            // The first such word is the address, the next is the length.
            *allocated = None;
            return self.find(was).to_le_bytes().to_vec();
        }
        let Some((range, by)) = &self.shift else { return bytes.to_vec() };
        match word.filter(|word| range.contains(word)) {
            Some(word) => word.wrapping_add(*by).to_le_bytes().to_vec(),
            None => bytes.to_vec(),
        }
    }
}

/// Returns whether a parameter is a pointer, as its name and that of the next say.
fn is_pointer(id: HostcallId, name: &str, next: Option<&&str>) -> bool {
    name.starts_with("ret_")
        || next.is_some_and(|next| is_length_of(next, name))
        || matches!(name, "argv" | "argv_buf" | "environ" | "environ_buf" | "subscriptions" | "events")
        || matches!((id, name), (HostcallId::abort, "message" | "file") | (HostcallId::trace, "message"))
        || id == HostcallId::pthread_equal
}
