//! WebAssembly types, as far as the tables use them.

use std::fmt;

/// A WebAssembly value type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the specification's own names")]
pub enum ValType {
    I32,
    I64,
    F64,
}

impl fmt::Display for ValType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F64 => "f64",
        })
    }
}

/// A Rust type that stands for a WebAssembly value.
pub(crate) trait WasmType {
    const TYPE: ValType;
}

impl WasmType for i32 {
    const TYPE: ValType = ValType::I32;
}

impl WasmType for i64 {
    const TYPE: ValType = ValType::I64;
}

impl WasmType for f64 {
    const TYPE: ValType = ValType::F64;
}

/// A Rust type that stands for a function's results.
pub(crate) trait WasmResult {
    const TYPES: &'static [ValType];
}

impl WasmResult for () {
    const TYPES: &'static [ValType] = &[];
}

impl<T: WasmType> WasmResult for T {
    const TYPES: &'static [ValType] = &[T::TYPE];
}
