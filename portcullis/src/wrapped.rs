//! Compiled modules with a wrapper that observes their guests.

use std::sync::Arc;

use bytes::Bytes;
use portcullis_chain::{LoadError, Module};
use portcullis_core::engine::{AnyModule, EngineError, Guest, StartError};
use portcullis_core::model::Limits;
use portcullis_core::module::Bytecode;
use portcullis_core::vm::VmState;

/// Returns the module with `wrap` around the part that makes its guests. It is not compiled again.
///
/// # Errors
/// The code of the module is none, as of one that was made for tests.
pub(crate) fn wrapped(
    module: &Arc<Module>,
    wrap: impl FnOnce(Box<dyn AnyModule>, &Bytecode<'_>) -> Box<dyn AnyModule>,
) -> Result<Module, LoadError> {
    let code = Bytes::copy_from_slice(module.code());
    Module::load_by(module.engine(), code, |bytecode| Ok(wrap(Box::new(Compiled(Arc::clone(module))), bytecode)))
}

/// A compiled module that others use, too.
struct Compiled(Arc<Module>);

impl AnyModule for Compiled {
    fn instantiate(&self, state: VmState, limits: &Limits) -> Result<Box<dyn Guest>, StartError> {
        self.0.compiled().instantiate(state, limits)
    }

    fn save(&self) -> Result<Option<Vec<u8>>, EngineError> {
        self.0.compiled().save()
    }

    fn moves(&self) -> bool {
        self.0.compiled().moves()
    }
}
