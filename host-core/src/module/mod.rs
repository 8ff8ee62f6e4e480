//! Modules before they run: their validation, the imports that they can reach, and their compiled code.

pub(crate) mod bytecode;
pub(crate) mod debug_info;
pub(crate) mod reach;
pub(crate) mod sealed_code;

pub use bytecode::{Begins, Bytecode, BytecodeError, MemoryShape, ModuleInfo, Producer, StartStyle};
pub use debug_info::{SourceLines, debug_info_size, without_debug_info};
pub use reach::Needs;
pub use sealed_code::{SealKey, SealedCode};
