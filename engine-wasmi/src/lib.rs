#![doc = include_str!("../README.md")]
#![warn(missing_debug_implementations)]

mod caller;
mod error;
mod instance;
mod link;

use std::fmt;
use std::sync::Arc;

use portcullis_core::engine::{EngineError, EngineFeatures, EngineSettings, StartError, WasmEngine};
use portcullis_core::model::Limits;
use portcullis_core::module::Bytecode;
use portcullis_core::vm::VmState;
use wasmi::{CompilationMode, Config, Engine, Linker};

use crate::caller::Data;
use crate::error::cannot;
pub use crate::instance::Instance;

/// The engine. Clones are the same engine.
#[derive(Clone, Debug)]
pub struct Wasmi {
    settings: EngineSettings,
}

/// Translated code, and the hostcalls to link it with.
#[derive(Clone)]
pub struct Module {
    module: wasmi::Module,
    /// An engine of its own: wasmi keeps the code of all modules that an engine has translated for as long as the engine.
    engine: Engine,
    linker: Arc<Linker<Data>>,
    memory: Arc<str>,
    allocator: &'static str,
}

impl Wasmi {
    /// An engine that interprets.
    ///
    /// # Errors
    /// Never; other engines may not start.
    pub fn new(settings: &EngineSettings) -> Result<Self, EngineError> {
        Ok(Self { settings: settings.clone() })
    }
}

impl WasmEngine for Wasmi {
    const NAME: &'static str = "wasmi";
    const VERSION: &'static str = "2.0";
    const FEATURES: EngineFeatures = {
        let mut features = EngineFeatures::NONE;
        features.memory_limit = true;
        features.table_limit = true;
        features.stack_limit = true;
        features.deadline = true;
        features.simd = true;
        features.float_results = true;
        features.moves = true;
        features
    };
    type Module = Module;
    type Instance = Instance;

    fn load(&self, bytecode: &Bytecode<'_>) -> Result<Module, EngineError> {
        let engine = Engine::new(&config(&self.settings));
        let module = wasmi::Module::new(&engine, bytecode.wasm).map_err(cannot("translate the module"))?;
        let linker = link::linker(&engine, bytecode.abi).map_err(cannot("link the hostcalls"))?;
        let (memory, allocator) = (bytecode.memory.as_str().into(), bytecode.allocator);
        Ok(Module { module, engine, linker: linker.into(), memory, allocator })
    }

    fn settings(&self) -> &EngineSettings {
        &self.settings
    }

    fn instantiate(&self, module: &Module, state: VmState, limits: &Limits) -> Result<Instance, StartError> {
        Instance::new(&module.engine, module, state, limits)
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").finish_non_exhaustive()
    }
}

/// Accepts what [`Bytecode::judge`] accepts.
fn config(settings: &EngineSettings) -> Config {
    /// The least that a frame takes on engines that compile, in bytes.
    const FRAME: usize = 32;
    let mut config = Config::default();
    config
        .wasm_tail_call(false)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .consume_fuel(true)
        .ignore_custom_sections(true)
        // Lazy translation costs fuel, and a call that has too little for it cannot be resumed.
        .compilation_mode(CompilationMode::Eager)
        .set_min_stack_height(settings.stack.min(1 << 10))
        .set_max_stack_height(settings.stack)
        .set_max_recursion_depth(settings.stack / FRAME);
    config
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn code_goes_with_the_last_clone_of_its_module() {
        let plugin = r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
            (func (export "malloc") (param i32) (result i32) i32.const 1024))"#;
        let wasm = wat::parse_str(plugin).unwrap();
        let wasmi = Wasmi::new(&EngineSettings::default()).unwrap();
        let module = wasmi.load(&Bytecode::judge(&wasm).unwrap()).unwrap();
        let (code, clone) = (module.engine.weak(), module.clone());
        drop(module);
        assert!(code.upgrade().is_some());
        drop(clone);
        assert!(code.upgrade().is_none(), "the engine keeps the code of a module that has gone");
    }
}
