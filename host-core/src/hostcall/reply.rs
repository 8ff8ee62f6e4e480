//! Replies of handlers, which dispatch carries out.

use crate::abi::outcome::Outcome;
use crate::abi::{BufferType, Errno, MapType, Status};
use crate::engine::memory::OutOfBounds;
use crate::engine::trap::Trap;

/// A reply of a handler, which dispatch carries out.
#[must_use]
#[derive(Debug)]
pub(crate) enum Reply<O = Status> {
    /// Answer success.
    Done,
    /// Answer this.
    Answer(O),
    /// Hand bytes to the guest: allocate there, copy, write address and length, answer success.
    Return {
        /// Where the bytes are.
        source: Source,
        /// Where the guest wants the address.
        ret_ptr: i32,
        /// Where the guest wants the length.
        ret_len: i32,
    },
    /// The same, and then write a word.
    ReturnWithWord {
        /// Where the bytes are.
        source: Source,
        /// Where the guest wants the address.
        ret_ptr: i32,
        /// Where the guest wants the length.
        ret_len: i32,
        /// Where the guest wants the word.
        ret_word: i32,
        /// The word.
        word: u32,
    },
    /// Hand the reply buffer to the guest where its pointers are not null, and answer this.
    ReturnIfWanted {
        /// The answer.
        answer: O,
        /// Where the guest wants the address.
        ret_ptr: i32,
        /// Where the guest wants the length.
        ret_len: i32,
    },
}

/// Bytes that are handed to the guest. They are looked up again after the allocation, because the
/// guest's allocator ran in between.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// The reused reply buffer of the VM.
    Reply,
    /// The item that was taken from a queue; it goes back if the guest cannot be handed it.
    Item,
    /// A header map, as pairs.
    Pairs(MapType),
    /// A part of a buffer.
    Buffer {
        /// Which buffer.
        buffer: BufferType,
        /// Its first byte that is wanted.
        start: usize,
        /// How many bytes.
        len: usize,
    },
}

/// Why a handler stopped early.
#[derive(Debug)]
pub(crate) enum Failure<O = Status> {
    /// The guest gets an answer.
    Answer(O),
    /// The guest ends.
    Trap(Trap),
}

/// The result of a handler.
pub(crate) type HostcallResult<O = Status> = Result<Reply<O>, Failure<O>>;

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Answer(status)
    }
}

impl From<Errno> for Failure<Errno> {
    fn from(errno: Errno) -> Self {
        Self::Answer(errno)
    }
}

impl<O: Outcome> From<OutOfBounds> for Failure<O> {
    fn from(_: OutOfBounds) -> Self {
        Self::Answer(O::BAD_MEMORY)
    }
}

impl<O> From<Trap> for Failure<O> {
    fn from(trap: Trap) -> Self {
        Self::Trap(trap)
    }
}
