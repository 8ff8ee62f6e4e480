//! Modules before they run: whether they may, what they can reach, and their compiled code.

pub(crate) mod bytecode;
pub(crate) mod debug_info;
pub(crate) mod reach;
pub(crate) mod sealed_code;
