//! Guest memory. Every bounds check of the host is in this file.

use std::cell::RefCell;
use std::fmt;

use crate::abi::{Errno, Status};

/// The memory of the guest that is calling, for the time of one hostcall.
///
/// A range is legal if `pointer + length`, computed in 64 bits, is at most the size of the memory
/// and at most 0xFFFFFFFF. Length 0 does not excuse the pointer; address 0 is ordinary memory;
/// nothing needs alignment; integers are little-endian.
#[derive(Debug)]
pub struct GuestMemory<'a> {
    bytes: &'a mut [u8],
    /// The memory of a VM that has an observer. Then `bytes` is empty, so that what finds nothing there looks here, and nothing
    /// else does.
    noted: Option<&'a mut Noted<'a>>,
}

/// A memory of which it is noted which ranges are handed out.
#[derive(Debug)]
pub(crate) struct Noted<'a> {
    pub(crate) bytes: &'a mut [u8],
    pub(crate) notes: &'a RefCell<dyn Notes>,
}

/// Takes notes of what a hostcall is handed of guest memory.
pub(crate) trait Notes: fmt::Debug {
    /// Takes note of bytes that are read.
    fn read(&mut self, address: usize, bytes: &[u8]);
    /// Takes note of a place that is written to.
    fn write(&mut self, address: usize, len: usize);
}

/// A pointer and length that do not lie inside the guest's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfBounds;

impl From<OutOfBounds> for Status {
    fn from(_: OutOfBounds) -> Self {
        Self::InvalidMemoryAccess
    }
}

impl From<OutOfBounds> for Errno {
    fn from(_: OutOfBounds) -> Self {
        Self::Fault
    }
}

impl<'a> GuestMemory<'a> {
    /// Wraps the whole memory of a guest.
    #[inline]
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, noted: None }
    }

    /// Wraps the memory of a guest whose VM has an observer.
    pub(crate) fn noted(noted: &'a mut Noted<'a>) -> Self {
        Self { bytes: &mut [], noted: Some(noted) }
    }

    /// Returns the bytes that the guest names.
    #[inline]
    pub fn slice(&self, pointer: i32, len: i32) -> Result<&[u8], OutOfBounds> {
        match range(self.bytes.len(), pointer, len) {
            Ok((start, end)) => self.bytes.get(start..end).ok_or(OutOfBounds),
            Err(OutOfBounds) => self.noted.as_deref().ok_or(OutOfBounds)?.slice(pointer, len),
        }
    }

    /// Returns the bytes that the guest names, to be written.
    #[inline]
    pub fn slice_mut(&mut self, pointer: i32, len: i32) -> Result<&mut [u8], OutOfBounds> {
        match range(self.bytes.len(), pointer, len) {
            Ok((start, end)) => self.bytes.get_mut(start..end).ok_or(OutOfBounds),
            Err(OutOfBounds) => self.noted.as_deref_mut().ok_or(OutOfBounds)?.slice_mut(pointer, len),
        }
    }

    /// Reads a word.
    pub fn read_u32(&self, pointer: i32) -> Result<u32, OutOfBounds> {
        let bytes = self.slice(pointer, 4)?;
        bytes.first_chunk().map(|word| u32::from_le_bytes(*word)).ok_or(OutOfBounds)
    }

    /// Writes a word.
    #[inline]
    pub fn write_u32(&mut self, pointer: i32, value: u32) -> Result<(), OutOfBounds> {
        self.slice_mut(pointer, 4)?.copy_from_slice(&value.to_le_bytes());
        Ok(())
    }

    /// Writes a double word.
    #[inline]
    pub fn write_u64(&mut self, pointer: i32, value: u64) -> Result<(), OutOfBounds> {
        self.slice_mut(pointer, 8)?.copy_from_slice(&value.to_le_bytes());
        Ok(())
    }

    /// Returns whether a word can be written there.
    #[inline]
    pub fn check_u32(&self, pointer: i32) -> Result<(), OutOfBounds> {
        let len = self.noted.as_ref().map_or(self.bytes.len(), |noted| noted.bytes.len());
        range(len, pointer, 4).map(drop)
    }
}

/// Not methods of the memory, which would have to lie in memory itself for them.
impl Noted<'_> {
    #[cold]
    fn slice(&self, pointer: i32, len: i32) -> Result<&[u8], OutOfBounds> {
        let (start, end) = range(self.bytes.len(), pointer, len)?;
        let bytes = self.bytes.get(start..end).ok_or(OutOfBounds)?;
        self.notes.borrow_mut().read(start, bytes);
        Ok(bytes)
    }

    #[cold]
    fn slice_mut(&mut self, pointer: i32, len: i32) -> Result<&mut [u8], OutOfBounds> {
        let (start, end) = range(self.bytes.len(), pointer, len)?;
        self.notes.borrow_mut().write(start, end - start);
        self.bytes.get_mut(start..end).ok_or(OutOfBounds)
    }
}

/// Start and end of what the guest names, in a memory of so many bytes.
#[inline]
fn range(size: usize, pointer: i32, len: i32) -> Result<(usize, usize), OutOfBounds> {
    let start = u64::from(pointer.cast_unsigned());
    let end = start + u64::from(len.cast_unsigned());
    if end > u64::from(u32::MAX) {
        return Err(OutOfBounds);
    }
    match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) if end <= size => Ok((start, end)),
        _ => Err(OutOfBounds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_deployed_hosts() {
        let mut bytes = [0; 16];
        let memory = GuestMemory::new(&mut bytes);
        assert!(memory.slice(0, 0).is_ok());
        assert!(memory.slice(16, 0).is_ok());
        assert!(memory.slice(17, 0).is_err());
        assert!(memory.slice(0, 16).is_ok());
        assert!(memory.slice(1, 16).is_err());
        assert!(memory.slice(-16, 0).is_err());
        assert!(memory.slice(-1, -1).is_err());
        assert!(memory.slice(1, -1).is_err());
        assert!(memory.read_u32(13).is_err());
        assert!(memory.read_u32(11).is_ok());
    }
}
