//! Reachability: the hostcalls to which a way leads from the functions that the host calls.
//!
//! A module imports more than it uses: the Rust SDK brings every hostcall that it has a wrapper for. So its code is
//! followed from the callbacks, the allocator, the start functions and the start section. An indirect call may go to
//! every function of its type whose reference is in an element segment, in a global, or in code that can run. That is
//! all that it can reach: the host holds no references, and imports are functions alone, so whatever is in a table
//! (exported or written to while running) was once in one of these places.
//!
//! The answer is never too small. It is too large where a toolchain calls much through tables (Go), or where code
//! stands that no input makes run.

mod code;
#[cfg(test)]
mod tests;
mod walk;

use crate::abi::callback::CallbackId;
use crate::abi::hostcall::{HOSTCALLS, HostcallId};
use crate::module::bytecode::{Bytecode, BytecodeError};
use crate::rights::Capabilities;

/// The hostcalls that a plugin can reach, and the callbacks that it exports.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Needs {
    /// The hostcalls that it can reach, WASI among them, in the order of the table.
    pub hostcalls: Vec<HostcallId>,
    /// The hostcalls that it imports and cannot reach, in the order of the table.
    pub unreachable: Vec<HostcallId>,
    /// The callbacks that it exports, start functions left out, in the order of the table.
    pub callbacks: Vec<CallbackId>,
}

impl Needs {
    /// Follows a module's code. This takes time and memory in proportion to its size, however it is made.
    ///
    /// # Errors
    /// The bytes are no valid module, so they were not judged.
    pub fn of(bytecode: &Bytecode<'_>) -> Result<Self, BytecodeError> {
        let code = code::Code::read(bytecode.wasm)?;
        let callbacks = bytecode.callbacks.iter().map(|id| id.decl().export);
        let roots: Vec<_> = callbacks.chain([bytecode.allocator]).collect();
        let reached = walk::reachable_imports(&code, &roots)?;
        let (hostcalls, unreachable) = in_order(&bytecode.imports).partition(|id| reached.contains(&Some(*id)));
        let mut callbacks: Vec<_> = bytecode.callbacks.iter().copied().filter(|id| !id.is_start_function()).collect();
        callbacks.sort_by_key(|id| *id as u8);
        Ok(Self { hostcalls, unreachable, callbacks })
    }

    /// The rights with which nothing that the plugin does is denied, and every callback reaches it.
    pub fn capabilities(&self) -> Capabilities {
        let hostcalls = self.hostcalls.iter().map(|id| id.decl().name);
        let callbacks = self.callbacks.iter().map(|id| id.decl().export);
        hostcalls.chain(callbacks).fold(Capabilities::NONE, |set, name| set.or(Capabilities::named(name)))
    }
}

fn in_order(ids: &[HostcallId]) -> impl Iterator<Item = HostcallId> {
    HOSTCALLS.iter().map(|decl| decl.id).filter(|id| ids.contains(id))
}
