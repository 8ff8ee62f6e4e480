//! How hostcalls answer.

use crate::abi::{BufferType, Errno, MapType, Status};
use crate::engine::memory::OutOfBounds;
use crate::engine::trap::Trap;
use crate::observe::tape::Value;

/// How a family of hostcalls answers the guest: what success, a bad pointer and a denial look like.
pub trait Outcome: Sized {
    /// Success.
    const DONE: Self;
    /// A pointer that the host found to be bad only after the handler.
    const BAD_MEMORY: Self;
    /// The current plugin may not call this.
    const DENIED: Self;
    /// The WebAssembly result type.
    type Raw: Raw;
    /// The WebAssembly result.
    fn into_raw(self) -> Self::Raw;
    /// The number of a result that says why it was not done; `None` if it was, or if no result says so.
    fn failure(raw: &Self::Raw) -> Option<i32> {
        let _ = raw;
        None
    }
}

/// A WebAssembly result as a value, for those who write it down.
pub trait Raw: Sized {
    /// The value; `None` if there is no result.
    fn value(&self) -> Option<Value>;
    /// The result again; `None` if the value is of another type.
    fn from_value(value: Option<Value>) -> Option<Self>;
}

impl Raw for () {
    fn value(&self) -> Option<Value> {
        None
    }

    fn from_value(value: Option<Value>) -> Option<Self> {
        value.is_none().then_some(())
    }
}

macro_rules! raw {
    ($($ty:ty => $variant:ident),*) => {
        $(impl Raw for $ty {
            fn value(&self) -> Option<Value> {
                Some(Value::$variant(*self))
            }

            fn from_value(value: Option<Value>) -> Option<Self> {
                match value {
                    Some(Value::$variant(number)) => Some(number),
                    _ => None,
                }
            }
        })*
    };
}
raw!(i32 => I32, f64 => F64);

impl Outcome for Status {
    const DONE: Self = Self::Ok;
    const BAD_MEMORY: Self = Self::InvalidMemoryAccess;
    const DENIED: Self = Self::InternalFailure;
    type Raw = i32;

    #[inline]
    fn into_raw(self) -> i32 {
        self as i32
    }

    fn failure(raw: &i32) -> Option<i32> {
        (*raw != Self::DONE as i32).then_some(*raw)
    }
}

impl Outcome for Errno {
    const DONE: Self = Self::Success;
    const BAD_MEMORY: Self = Self::Fault;
    const DENIED: Self = Self::Notcapable;
    type Raw = i32;

    #[inline]
    fn into_raw(self) -> i32 {
        self as i32
    }

    fn failure(raw: &i32) -> Option<i32> {
        (*raw != Self::DONE as i32).then_some(*raw)
    }
}

impl Outcome for () {
    const DONE: Self = ();
    const BAD_MEMORY: Self = ();
    const DENIED: Self = ();
    type Raw = ();

    #[inline]
    fn into_raw(self) {}
}

/// The result of a hostcall that returns a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(pub i32);

impl Outcome for Word {
    const DONE: Self = Self(0);
    const BAD_MEMORY: Self = Self(0);
    const DENIED: Self = Self(0);
    type Raw = i32;

    #[inline]
    fn into_raw(self) -> i32 {
        self.0
    }
}

/// The result of a hostcall that returns a floating-point number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Float(pub f64);

impl Outcome for Float {
    const DONE: Self = Self(0.0);
    const BAD_MEMORY: Self = Self(0.0);
    const DENIED: Self = Self(0.0);
    type Raw = f64;

    #[inline]
    fn into_raw(self) -> f64 {
        self.0
    }
}

/// What a handler leaves to be done.
#[must_use]
#[derive(Debug)]
pub enum Reply<O = Status> {
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
pub enum Source {
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
pub enum Failure<O = Status> {
    /// The guest gets an answer.
    Answer(O),
    /// The guest ends.
    Trap(Trap),
}

/// What a handler returns.
pub type HostcallResult<O = Status> = Result<Reply<O>, Failure<O>>;

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
