//! The answers of hostcalls as WebAssembly results.

use crate::abi::value::Value;
use crate::abi::{Errno, Status};

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
    /// Returns the WebAssembly result.
    fn into_raw(self) -> Self::Raw;
    /// Returns the number of a result that says why it was not done; `None` if it was, or if no result says so.
    fn failure(raw: &Self::Raw) -> Option<i32> {
        let _ = raw;
        None
    }
}

/// A WebAssembly result as a value, for those who write it down.
pub trait Raw: Sized {
    /// Returns the value; `None` if there is no result.
    fn value(&self) -> Option<Value>;
    /// Returns the result again; `None` if the value is of another type.
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
