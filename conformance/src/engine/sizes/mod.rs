//! Modules with much of one thing, for which every engine must have one verdict.

mod dimension;
mod functions;
mod modules;
mod offsets;
mod parts;

pub use dimension::Dimension;
use portcullis::engine::AnyEngine;
use portcullis::model::Limits;
use portcullis::module::Bytecode;
use portcullis::sandbox::VmSpec;
use portcullis::vm::{Vm, VmConfig};

use crate::engine::recorder::Recorder;

/// Returns whether an engine runs a module: compiles it, and starts a VM with as much memory and as many elements as it likes.
///
/// # Errors
/// The engine refuses the module, or a limit does: the text is theirs.
pub fn run(engine: &dyn AnyEngine, bytecode: &Bytecode<'_>) -> Result<(), String> {
    let limits = Limits::default().with_memory(1 << 32).with_table_elements(usize::MAX);
    let vm = VmSpec::default().with_limits(limits);
    let config = VmConfig { vm, ..VmConfig::new(bytecode.abi) };
    let module = engine.load(bytecode).map_err(|error| error.to_string())?;
    Vm::start(&*module, config, Box::new(Recorder::default())).map(drop).map_err(|error| error.to_string())
}

/// Returns all dimensions.
pub fn dimensions() -> impl Iterator<Item = &'static Dimension> {
    functions::DIMENSIONS.iter().chain(modules::DIMENSIONS).chain(offsets::DIMENSIONS)
}
