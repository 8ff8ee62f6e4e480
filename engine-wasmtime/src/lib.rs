//! The wasmtime engine for Portcullis: moves bytes and calls, decides nothing.
//!
//! ```
//! use portcullis_core::AnyEngine;
//! use portcullis_wasmtime::Wasmtime;
//!
//! let engine: Box<dyn AnyEngine> = Box::new(Wasmtime::new()?);
//! assert_eq!(engine.name(), "wasmtime");
//! # Ok::<(), portcullis_core::EngineError>(())
//! ```

mod caller;
mod error;
mod instance;
mod link;

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use portcullis_core::{Bytecode, EngineError, EngineFeatures, Limits, VmState, WasmEngine};
use wasmtime::{Config, Engine, EngineWeak, InstancePre, OptLevel, WasmFeatures};

use crate::caller::Data;
use crate::error::cannot;
pub use crate::instance::Instance;

/// How far apart the clock beats that deadlines are counted in.
const TICK: Duration = Duration::from_millis(10);

/// Stack for guest code and what it calls. A thread needs as much again for the host's own frames.
const STACK: usize = 512 << 10;

/// Frames named in the message of a trap.
const FRAMES: usize = 20;

/// The engine. Clones are the same engine.
#[derive(Clone)]
pub struct Wasmtime(Engine);

/// Compiled code with the hostcalls linked.
#[derive(Clone)]
pub struct Module {
    pre: InstancePre<Data>,
    memory: Arc<str>,
    allocator: &'static str,
}

impl Wasmtime {
    /// An engine that compiles for speed, and a thread that beats its clock while it lives.
    ///
    /// # Errors
    /// The machine cannot run wasmtime, or start a thread.
    pub fn new() -> Result<Self, EngineError> {
        let engine = Engine::new(&config()).map_err(cannot("start"))?;
        beat(engine.weak()).map_err(wasmtime::Error::from).map_err(cannot("start its clock"))?;
        Ok(Self(engine))
    }
}

impl WasmEngine for Wasmtime {
    const NAME: &'static str = "wasmtime";
    const FEATURES: EngineFeatures = EngineFeatures { memory_limit: true, table_limit: true, deadline: true };
    type Module = Module;
    type Instance = Instance;

    fn load(&self, bytecode: &Bytecode<'_>) -> Result<Module, EngineError> {
        let module = wasmtime::Module::from_binary(&self.0, bytecode.wasm).map_err(cannot("compile the module"))?;
        let linker = link::linker(&self.0, bytecode.abi).map_err(cannot("link the hostcalls"))?;
        let pre = linker.instantiate_pre(&module).map_err(cannot("link the module"))?;
        Ok(Module { pre, memory: bytecode.memory.as_str().into(), allocator: bytecode.allocator })
    }

    fn instantiate(&self, module: &Module, state: VmState, limits: &Limits) -> Result<Instance, EngineError> {
        Instance::new(&self.0, module, state, limits)
    }
}

/// Accepts what [`Bytecode::judge`] accepts.
fn config() -> Config {
    let features = WasmFeatures::WASM2.union(WasmFeatures::EXTENDED_CONST).difference(WasmFeatures::GC_TYPES);
    let mut config = Config::new();
    config
        .wasm_features(features.complement(), false)
        .concurrency_support(false)
        .cranelift_opt_level(OptLevel::Speed)
        .parallel_compilation(true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        .wasm_backtrace_max_frames(NonZeroUsize::new(FRAMES))
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable);
    config
}

/// Beats an engine's clock until the engine is gone.
fn beat(engine: EngineWeak) -> io::Result<JoinHandle<()>> {
    let beat = move || {
        loop {
            thread::sleep(TICK);
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
        let engine = Engine::new(&config()).unwrap_or_default();
        let clock = beat(engine.weak());
        drop(engine);
        assert!(clock.is_ok_and(|clock| clock.join().is_ok()));
    }
}
