#![doc = include_str!("../README.md")]
#![warn(missing_debug_implementations)]

#[cfg(test)]
mod aarch64;
mod bound;
mod caller;
mod compiler;
mod cost;
mod error;
#[cfg(test)]
mod growth;
mod instance;
mod link;
mod meter;
mod tunables;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use portcullis_core::abi::HostcallId;
use portcullis_core::engine::{EngineError, EngineFeatures, EngineSettings, StartError, WasmEngine};
use portcullis_core::model::Limits;
use portcullis_core::module::{Bytecode, SealedCode};
use portcullis_core::vm::VmState;

#[cfg(feature = "singlepass")]
pub use crate::compiler::Singlepass;
pub use crate::compiler::{Compiler, Cranelift};
use crate::error::cannot;
pub use crate::instance::Instance;

/// The engine. Clones are the same engine.
#[derive(Clone)]
pub struct Wasmer<C = Cranelift> {
    /// Tells what its code depends on, and has no module.
    engine: wasmer::Engine,
    settings: EngineSettings,
    compiler: PhantomData<C>,
}

/// Compiled code. Hostcalls belong to a store in wasmer, so each instance links its own.
#[derive(Clone)]
pub struct Module {
    module: wasmer::Module,
    /// An engine of its own: wasmer keeps the code of all modules of an engine for as long as the engine.
    engine: wasmer::Engine,
    about: Arc<About>,
}

/// The facts about its module that an instance needs.
struct About {
    abi: portcullis_core::abi::AbiVersion,
    imports: Vec<HostcallId>,
    memory: String,
    allocator: &'static str,
}

impl Wasmer {
    /// An engine that compiles with Cranelift.
    ///
    /// # Errors
    /// Never; other engines may not start.
    pub fn new(settings: &EngineSettings) -> Result<Self, EngineError> {
        Self::with_compiler(settings)
    }
}

impl<C: Compiler> Wasmer<C> {
    /// An engine that compiles with `C`.
    ///
    /// # Errors
    /// Never; other engines may not start.
    pub fn with_compiler(settings: &EngineSettings) -> Result<Self, EngineError> {
        Ok(Self { engine: compiler::engine::<C>(settings), settings: settings.clone(), compiler: PhantomData })
    }
}

impl<C: Compiler> WasmEngine for Wasmer<C> {
    const NAME: &'static str = C::ENGINE;
    const VERSION: &'static str = wasmer_types::VERSION;
    const FEATURES: EngineFeatures = {
        let mut features = EngineFeatures::NONE;
        features.memory_limit = true;
        features.table_limit = true;
        features.stack_limit = true;
        features.deadline = true;
        features.precompiled = true;
        features.backtrace = true;
        features.simd = C::SIMD;
        features.float_results = C::FLOAT_RESULTS;
        features.perf_map = C::PERF_MAP;
        // Its stores hold what is bound to their thread.
        features.moves = false;
        features
    };
    type Module = Module;
    type Instance = Instance;

    fn load(&self, bytecode: &Bytecode<'_>) -> Result<Module, EngineError> {
        let metered = meter::metered(bytecode.wasm).map_err(cannot("meter the module"))?;
        let engine = compiler::engine::<C>(&self.settings);
        let module = wasmer::Module::from_binary(&engine, &metered).map_err(cannot("compile the module"))?;
        Ok(Module { module, engine, about: About::of(bytecode) })
    }

    fn settings(&self) -> &EngineSettings {
        &self.settings
    }

    /// Wasmer's code depends on the CPU's features.
    fn fingerprint(&self) -> String {
        let (stack, target) = (self.settings.stack, wasmer::sys::Target::default());
        let (engine, cpu) = (self.engine.deterministic_id(), target.cpu_features());
        format!("{} {} stack {stack} {engine} {} {cpu:?}", Self::NAME, Self::VERSION, target.triple())
    }

    fn save(&self, module: &Module) -> Result<Option<Vec<u8>>, EngineError> {
        module.module.serialize().map(|code| Some(code.to_vec())).map_err(cannot("save the module"))
    }

    fn restore(&self, bytecode: &Bytecode<'_>, code: &SealedCode<'_>) -> Result<Module, EngineError> {
        let engine = compiler::engine::<C>(&self.settings);
        #[allow(unsafe_code, reason = "compiled code runs unchecked, whoever compiled it")]
        // SAFETY: the code came from `save` and is unchanged: nothing else can be sealed code.
        let module = unsafe { wasmer::Module::deserialize(&engine, code.bytes()) };
        Ok(Module { module: module.map_err(cannot("restore the module"))?, engine, about: About::of(bytecode) })
    }

    fn instantiate(&self, module: &Module, state: VmState, limits: &Limits) -> Result<Instance, StartError> {
        Instance::new(&module.engine, module, state, limits)
    }
}

impl About {
    fn of(bytecode: &Bytecode<'_>) -> Arc<Self> {
        Arc::new(Self {
            abi: bytecode.abi,
            imports: bytecode.imports.clone(),
            memory: bytecode.memory.clone(),
            allocator: bytecode.allocator,
        })
    }
}

impl<C> fmt::Debug for Wasmer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wasmer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").finish_non_exhaustive()
    }
}
