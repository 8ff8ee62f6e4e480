#![doc = include_str!("../README.md")]
#![warn(missing_debug_implementations)]

mod caller;
mod error;
mod instance;
mod link;
mod sampler;

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use portcullis_core::engine::{CallStack, EngineError, EngineFeatures, EngineSettings, StartError, WasmEngine};
use portcullis_core::model::Limits;
use portcullis_core::module::{Bytecode, SealedCode, SourceLines};
use portcullis_core::vm::VmState;
use wasmtime::{
    Config, Enabled, Engine, EngineWeak, InstancePre, ModuleVersionStrategy, OptLevel, PoolingAllocationConfig,
    ProfilingStrategy, WasmFeatures,
};

use crate::caller::Data;
use crate::error::cannot;
pub use crate::instance::Instance;
use crate::instance::Places;

/// How far apart the clock beats that deadlines are counted in.
const TICK: Duration = Duration::from_millis(10);

/// How far apart it beats where guests are sampled.
const SAMPLING_TICK: Duration = Duration::from_millis(1);

/// The engine. Clones are the same engine.
///
/// A thread that runs guests needs [`EngineSettings::stack`] of stack for them, and as much again
/// for the host's own frames.
#[derive(Clone)]
pub struct Wasmtime {
    engine: Engine,
    settings: EngineSettings,
}

/// Compiled code with the hostcalls linked.
#[derive(Clone)]
pub struct Module {
    pre: InstancePre<Data>,
    places: Arc<Places>,
    lines: Arc<SourceLines>,
    memory: Arc<str>,
    allocator: &'static str,
}

impl fmt::Debug for Wasmtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wasmtime").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").finish_non_exhaustive()
    }
}

impl Wasmtime {
    /// An engine that compiles for speed, and a thread that beats its clock while it lives.
    ///
    /// # Errors
    /// The machine cannot run wasmtime, or start a thread.
    pub fn new(settings: &EngineSettings) -> Result<Self, EngineError> {
        let engine = config(settings).and_then(|config| Engine::new(&config)).map_err(cannot("start"))?;
        let engine = Self { engine, settings: settings.clone() };
        beat(engine.engine.weak(), engine.tick()).map_err(wasmtime::Error::from).map_err(cannot("start its clock"))?;
        Ok(engine)
    }

    fn tick(&self) -> Duration {
        if self.settings.samples { SAMPLING_TICK } else { TICK }
    }

    fn link(&self, module: &wasmtime::Module, bytecode: &Bytecode<'_>) -> Result<Module, EngineError> {
        let linker = link::linker(&self.engine, bytecode.abi).map_err(cannot("link the hostcalls"))?;
        let pre = linker.instantiate_pre(module).map_err(cannot("link the module"))?;
        let (places, lines) = (Arc::new(Places::find(module)), Arc::new(SourceLines::read(bytecode.wasm)));
        Ok(Module { pre, places, lines, memory: bytecode.memory.as_str().into(), allocator: bytecode.allocator })
    }
}

impl WasmEngine for Wasmtime {
    const NAME: &'static str = "wasmtime";
    const VERSION: &'static str = wasmtime_environ::VERSION;
    const FEATURES: EngineFeatures = {
        let mut features = EngineFeatures::NONE;
        features.memory_limit = true;
        features.table_limit = true;
        features.stack_limit = true;
        features.deadline = true;
        features.precompiled = true;
        features.backtrace = true;
        features.source_lines = true;
        features.simd = true;
        features.float_results = true;
        features.samples = true;
        features.perf_map = true;
        features.moves = true;
        features
    };
    type Module = Module;
    type Instance = Instance;

    fn load(&self, bytecode: &Bytecode<'_>) -> Result<Module, EngineError> {
        let module =
            wasmtime::Module::from_binary(&self.engine, bytecode.wasm).map_err(cannot("compile the module"))?;
        self.link(&module, bytecode)
    }

    fn settings(&self) -> &EngineSettings {
        &self.settings
    }

    /// Wasmtime sums up all that its code depends on: version, configuration, the CPU's features.
    fn fingerprint(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        format!("{} {} stack {} {:016x}", Self::NAME, Self::VERSION, self.settings.stack, hasher.finish())
    }

    fn save(&self, module: &Module) -> Result<Option<Vec<u8>>, EngineError> {
        module.pre.module().serialize().map(Some).map_err(cannot("save the module"))
    }

    fn restore(&self, bytecode: &Bytecode<'_>, code: &SealedCode<'_>) -> Result<Module, EngineError> {
        #[allow(unsafe_code, reason = "compiled code runs unchecked, whoever compiled it")]
        // SAFETY: the code came from `save` and is unchanged: nothing else can be sealed code.
        let module = unsafe { wasmtime::Module::deserialize(&self.engine, code.bytes()) };
        self.link(&module.map_err(cannot("restore the module"))?, bytecode)
    }

    fn instantiate(&self, module: &Module, state: VmState, limits: &Limits) -> Result<Instance, StartError> {
        Instance::new(self, module, state, limits)
    }
}

/// Accepts what [`Bytecode::judge`] accepts.
fn config(settings: &EngineSettings) -> wasmtime::Result<Config> {
    let features = WasmFeatures::WASM2.union(WasmFeatures::EXTENDED_CONST).difference(WasmFeatures::GC_TYPES);
    let mut config = Config::new();
    config
        .wasm_features(features.complement(), false)
        .concurrency_support(false)
        .cranelift_opt_level(OptLevel::Speed)
        .parallel_compilation(true)
        .epoch_interruption(true)
        .max_wasm_stack(settings.stack)
        .wasm_backtrace_max_frames(NonZeroUsize::new(CallStack::FRAMES + 1))
        // It would read the DWARF anew for each function of each backtrace.
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable)
        // By itself it takes code of any version with the same first number.
        .module_version(ModuleVersionStrategy::Custom(wasmtime_environ::VERSION.to_owned()))?;
    if settings.perf_map {
        config.profiler(ProfilingStrategy::PerfMap);
    }
    if let Some(places) = settings.places {
        config.allocation_strategy(pool(places));
    }
    Ok(config)
}

/// Memory for so many VMs at once. A place that a VM has left keeps what it has touched, up to a bound, and gets its first
/// bytes back: faults of pages are most of what a VM of a few microseconds costs.
fn pool(places: u32) -> PoolingAllocationConfig {
    /// Bytes that a place keeps.
    const KEPT: usize = 128 << 10;
    /// The sizes that a module may have; VMs that use less leave the rest to others.
    const TABLES: u32 = 4;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(places)
        .total_memories(places)
        .total_tables(places.saturating_mul(TABLES))
        .max_tables_per_module(TABLES)
        .table_elements(1 << 20)
        .max_core_instance_size(16 << 20)
        // The budget of a VM bounds it.
        .max_memory_size(1 << 32)
        .linear_memory_keep_resident(KEPT)
        .table_keep_resident(KEPT)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Beats an engine's clock until the engine is gone.
fn beat(engine: EngineWeak, tick: Duration) -> io::Result<JoinHandle<()>> {
    let beat = move || {
        loop {
            thread::sleep(tick);
            let Some(engine) = engine.upgrade() else { break };
            engine.increment_epoch();
        }
    };
    thread::Builder::new().name("wasmtime-clock".to_owned()).spawn(beat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_stops_with_the_engine() {
        let engine = config(&EngineSettings::default()).and_then(|config| Engine::new(&config)).unwrap_or_default();
        let clock = beat(engine.weak(), TICK);
        drop(engine);
        assert!(clock.is_ok_and(|clock| clock.join().is_ok()));
    }
}
