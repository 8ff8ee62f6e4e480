//! WebAssembly values, as far as the tables use them.

use std::fmt;

/// A number that crosses the wall.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// An `i32`.
    I32(i32),
    /// An `i64`.
    I64(i64),
    /// An `f64`.
    F64(f64),
}

/// Numbers are equal if their bits are; of NaN there is one, because engines differ in its bits.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::I32(one), Self::I32(another)) => one == another,
            (Self::I64(one), Self::I64(another)) => one == another,
            (Self::F64(one), Self::F64(another)) => {
                one.to_bits() == another.to_bits() || one.is_nan() && another.is_nan()
            }
            _ => false,
        }
    }
}

macro_rules! from {
    ($($ty:ty => $variant:ident),*) => {
        $(impl From<$ty> for Value {
            fn from(number: $ty) -> Self {
                Self::$variant(number)
            }
        })*
    };
}
from!(i32 => I32, i64 => I64, f64 => F64);

impl Value {
    /// Returns the number as an address, if it can be one.
    pub(crate) fn address(self) -> Option<u32> {
        match self {
            Self::I32(number) => Some(number.cast_unsigned()),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::I32(number) => number.fmt(f),
            Self::I64(number) => number.fmt(f),
            Self::F64(number) => write!(f, "{number:?}"),
        }
    }
}
