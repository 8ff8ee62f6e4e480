//! A plugin's bytecode, validated once, before any engine loads it: the same verdict with the same words
//! for every engine.

mod bounds;
mod error;
mod function;
mod info;
mod outline;
mod proposal;
#[cfg(test)]
mod tests;
mod verdict;
mod work;

pub use error::BytecodeError;
pub use info::{MemoryShape, ModuleInfo, Producer};

#[cfg(any(test, feature = "testing"))]
pub(crate) use function::BR_TABLE_TARGETS;
pub(crate) use proposal::FEATURES;

use crate::abi::AbiVersion;
use crate::abi::callback::CallbackId;
use crate::abi::hostcall::HostcallId;
use crate::engine::error::StartError;
use crate::model::limits::Limits;

/// A module that every engine can run, and what it says about itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Bytecode<'a> {
    /// The module, in WebAssembly's binary format.
    pub wasm: &'a [u8],
    /// The ABI version that its marker names.
    pub abi: AbiVersion,
    /// The export name of the memory that hostcalls read and write.
    pub memory: String,
    /// The export name of the guest's allocator, of type `(i32) -> i32`.
    pub allocator: &'static str,
    /// The start functions to call before any plugin exists.
    pub start: StartStyle,
    /// The hostcalls that it imports, each once.
    pub imports: Vec<HostcallId>,
    /// The callbacks that it exports, in the shapes in which it exports them.
    pub callbacks: Vec<CallbackId>,
    /// How much it needs from the start.
    pub begins: Begins,
}

/// How much a module needs from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Begins {
    /// Bytes of memory.
    pub memory: u64,
    /// Elements of all tables together.
    pub table_elements: u64,
}

impl Begins {
    /// # Errors
    /// The module needs more than the limit.
    pub(crate) fn check(self, limits: &Limits) -> Result<(), StartError> {
        for (what, begins, unit, limit) in [
            ("memory", self.memory, "bytes", limits.memory),
            ("table", self.table_elements, "elements", limits.table_elements),
        ] {
            if begins > limit as u64 {
                return Err(StartError::Limit { what, begins, unit, limit });
            }
        }
        Ok(())
    }
}

/// The start functions of a module, called before any plugin exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartStyle {
    /// `_initialize`, then `main` or else `__main_void` if exported (a reactor).
    Initialize,
    /// `_start` (a command).
    Start,
    /// Nothing.
    Neither,
}

impl<'a> Bytecode<'a> {
    /// Validates the bytes and checks them against the ABI.
    ///
    /// # Errors
    /// The first thing that keeps the module from running as a plugin.
    pub fn judge(wasm: &'a [u8]) -> Result<Self, BytecodeError> {
        verdict::judge(wasm)
    }

    /// Returns what is wrong with the imports of a module, each on its own, where the verdict names the first alone;
    /// at most `limit` of them. Empty for a module of which something else cannot be read.
    pub fn refused_imports(wasm: &[u8], limit: usize) -> Vec<BytecodeError> {
        verdict::refused_imports(wasm, limit)
    }
}
