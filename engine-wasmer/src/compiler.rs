use std::fmt;

use portcullis_core::engine::EngineSettings;
use wasmer::sys::{CompilerConfig, EngineBuilder, NativeEngineExt};

use crate::tunables::Stack;

/// A compiler of wasmer's: an engine for each.
pub trait Compiler: Clone + Copy + fmt::Debug + Send + Sync + 'static {
    /// The name of the engine that compiles with it.
    const ENGINE: &'static str;
    /// Whether it compiles vector instructions.
    const SIMD: bool;
    /// Whether its code can read floating-point results of hostcalls.
    const FLOAT_RESULTS: bool;
    /// Whether it tells `perf` the names of functions.
    const PERF_MAP: bool;

    /// Wasmer's engine with it.
    fn build(settings: &EngineSettings) -> wasmer::Engine;
}

/// Compiles for speed.
#[derive(Clone, Copy, Debug)]
pub struct Cranelift;

impl Compiler for Cranelift {
    const ENGINE: &'static str = "wasmer";
    const SIMD: bool = true;
    const FLOAT_RESULTS: bool = true;
    const PERF_MAP: bool = true;

    fn build(settings: &EngineSettings) -> wasmer::Engine {
        let mut compiler = wasmer::sys::Cranelift::new();
        if settings.perf_map {
            compiler.enable_perfmap();
        }
        EngineBuilder::new(compiler).engine().into()
    }
}

/// Compiles fast, in one pass.
#[cfg(feature = "singlepass")]
#[derive(Clone, Copy, Debug)]
pub struct Singlepass;

#[cfg(feature = "singlepass")]
impl Compiler for Singlepass {
    const ENGINE: &'static str = "wasmer-singlepass";
    const SIMD: bool = false;
    // Found by the conformance suite with wasmer 7.4: it reads a register for whole numbers.
    const FLOAT_RESULTS: bool = false;
    const PERF_MAP: bool = false;

    fn build(_: &EngineSettings) -> wasmer::Engine {
        EngineBuilder::new(wasmer::sys::Singlepass::new()).engine().into()
    }
}

pub(crate) fn engine<C: Compiler>(settings: &EngineSettings) -> wasmer::Engine {
    let mut engine = C::build(settings);
    engine.set_tunables(Stack::new(settings.stack));
    engine
}
