//! The traits of an engine. Engines carry calls and bytes; this crate makes every decision.

pub(crate) mod any;
pub(crate) mod error;
pub(crate) mod memory;
pub(crate) mod recorded_trap;
pub(crate) mod trap;

pub use any::{AnyEngine, AnyModule};
pub use error::{EngineError, StartError};
pub use memory::{GuestMemory, OutOfBounds};
pub use recorded_trap::RecordedTrap;
pub use trap::{CallStack, Frame, Trap, WasmTrap, function_name};

use std::time::Duration;

use crate::model::limits::Limits;
use crate::module::bytecode::Bytecode;
use crate::module::sealed_code::SealedCode;
use crate::setters::setters;
use crate::vm::state::VmState;

/// A WebAssembly runtime that can run Proxy-Wasm guests.
pub trait WasmEngine: Clone + Send + Sync + 'static {
    /// The name used in configuration, logs and test names.
    const NAME: &'static str;
    /// The version of the runtime beneath it.
    const VERSION: &'static str;
    /// The limits that this engine can enforce.
    const FEATURES: EngineFeatures;
    /// Compiled code with the ABI's hostcalls linked; shared between threads.
    type Module: Clone + Send + Sync + 'static;
    /// One guest. It is used by one thread at a time; by which, only [`EngineFeatures::moves`] lets change.
    type Instance: Guest + 'static;

    /// Compiles and links a module that this crate has judged.
    ///
    /// # Errors
    /// Only what the engine alone can find, such as a compiler limit.
    fn load(&self, bytecode: &Bytecode<'_>) -> Result<Self::Module, EngineError>;

    /// Returns the settings that the engine was started with.
    fn settings(&self) -> &EngineSettings;

    /// Returns all that compiled code depends on besides the module: version, those settings that change code, the machine's CPU.
    fn fingerprint(&self) -> String {
        format!("{} {} stack {} {}", Self::NAME, Self::VERSION, self.settings().stack, std::env::consts::ARCH)
    }

    /// Returns the machine code of a module; `None` if this engine has none.
    ///
    /// # Errors
    /// The code cannot be had.
    fn save(&self, _: &Self::Module) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(None)
    }

    /// Restores the module from machine code that [`WasmEngine::save`] gave under the same fingerprint.
    ///
    /// # Errors
    /// The code cannot be used; compile instead.
    fn restore(&self, _: &Bytecode<'_>, _: &SealedCode<'_>) -> Result<Self::Module, EngineError> {
        let source = "this engine has no compiled code".into();
        Err(EngineError { engine: Self::NAME, operation: "restore a module", source })
    }

    /// Makes a guest. Its start section runs, within [`Limits::start_deadline`]; its start functions
    /// do not. It asks [`VmState::budget`] before a memory or table is made or grows.
    ///
    /// # Errors
    /// The start section trapped, or memory could not be had within the limits.
    fn instantiate(&self, module: &Self::Module, state: VmState, limits: &Limits)
    -> Result<Self::Instance, StartError>;
}

/// The guest that is calling in; implemented by engines, used by dispatch alone.
pub trait Caller {
    /// Returns the state of the guest's VM.
    fn state(&mut self) -> &mut VmState;
    /// Returns memory and state at once. Memory is empty while the start section runs.
    fn split(&mut self) -> (&mut [u8], &mut VmState);
    /// Re-enters the guest's allocator.
    ///
    /// # Errors
    /// The trap that ended the allocator; it must end the outer call too.
    fn call_allocator(&mut self, len: u32) -> Result<u32, Trap>;
}

macro_rules! guest {
    ($( $method:ident = $export:literal($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident; )*) => {
        /// A guest, ready to be called; implemented by engines, used by [`Vm`](crate::vm::Vm) alone.
        ///
        /// Each callback is a typed call: `Ok(None)` when the guest does not export it in this
        /// shape. Each starts the deadline anew.
        pub trait Guest: Send {
            /// Returns the state of the guest's VM.
            fn state(&mut self) -> &mut VmState;
            /// Sets how long a callback may run from now on.
            fn set_deadline(&mut self, deadline: Duration);
            /// Returns the linear memory that the guest has now.
            fn memory(&mut self) -> &[u8];
            /// Returns the bits of an exported global, if it is one and holds a number. Numbers of 32 and 64 bits are
            /// followed by zeros.
            fn global(&mut self, export: &str) -> Option<u128>;
            /// Begins to note again and again which functions are running, under this name, if the engine was
            /// started for it ([`EngineSettings::samples`]) and can do so.
            fn begin_samples(&mut self, name: &str) {
                let _ = name;
            }
            /// Returns what was noted since, as a file of the Firefox profiler (its processed format); nothing is noted any
            /// more. `None` if nothing was to be.
            fn take_samples(&mut self) -> Option<Vec<u8>> {
                None
            }
            $(
                #[doc = concat!("Calls `", $export, "`.")]
                #[doc = ""]
                #[doc = "# Errors"]
                #[doc = "The trap that ended the guest."]
                fn $method(&mut self, $($arg: $ty),*) -> Result<Option<$ret>, Trap>;
            )*
        }
    };
}
crate::for_each_callback!(guest);

/// Abilities of an engine beyond running guests. One that it lacks is a known gap of the conformance suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineFeatures {
    /// [`Limits::memory`] holds.
    pub memory_limit: bool,
    /// [`Limits::table_elements`] holds.
    pub table_limit: bool,
    /// [`Limits::stack`] holds.
    pub stack_limit: bool,
    /// [`Limits::deadline`] stops an endless loop.
    pub deadline: bool,
    /// Compiled code can be saved and restored ([`WasmEngine::save`]).
    pub precompiled: bool,
    /// Traps name the functions that were running.
    pub backtrace: bool,
    /// Traps name lines of source, where the module has DWARF.
    pub source_lines: bool,
    /// Guests may use vector instructions (SIMD).
    pub simd: bool,
    /// Hostcalls return floating-point numbers, as AssemblyScript's `Date.now` and `seed` do.
    pub float_results: bool,
    /// Guests are sampled for a profile ([`Guest::take_samples`]).
    pub samples: bool,
    /// `perf` can be told the names of compiled functions ([`EngineSettings::perf_map`]).
    pub perf_map: bool,
    /// Guests may move to another thread between calls. Those of an engine that cannot panic there when they are called; when
    /// they are dropped there, they are leaked, with what they have been charged of `limits.shared` and `limits.buffers`.
    pub moves: bool,
}

impl EngineFeatures {
    /// Nothing.
    pub const NONE: Self = Self {
        memory_limit: false,
        table_limit: false,
        stack_limit: false,
        deadline: false,
        precompiled: false,
        backtrace: false,
        source_lines: false,
        simd: false,
        float_results: false,
        samples: false,
        perf_map: false,
        moves: false,
    };

    /// Lists each feature by its name.
    pub fn list(self) -> Vec<(&'static str, bool)> {
        vec![
            ("memory limit", self.memory_limit),
            ("table limit", self.table_limit),
            ("stack limit", self.stack_limit),
            ("deadline", self.deadline),
            ("compiled code", self.precompiled),
            ("backtrace", self.backtrace),
            ("source lines", self.source_lines),
            ("simd", self.simd),
            ("float results", self.float_results),
            ("guest profile", self.samples),
            ("perf map", self.perf_map),
            ("moves", self.moves),
        ]
    }
}

/// Settings of an engine: those fixed when code is compiled, and those of samplers that watch it run.
///
/// ```
/// use portcullis_core::engine::EngineSettings;
/// use portcullis_core::model::Limits;
///
/// let limits = Limits::default().with_stack(1 << 20);
/// assert_eq!(EngineSettings::from(&limits).with_samples(true).stack, 1 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct EngineSettings {
    /// Stack of guest code in bytes ([`Limits::stack`]).
    pub stack: usize,
    /// Guests can be sampled ([`Guest::begin_samples`]), where the engine can ([`EngineFeatures::samples`]). Its clock
    /// beats faster for that. The code is the same.
    pub samples: bool,
    /// The names of compiled functions are written to `/tmp/perf-PID.map`, where Linux's `perf` looks for them, where
    /// the engine can ([`EngineFeatures::perf_map`]). The code is the same.
    pub perf_map: bool,
    /// The number of short-lived VMs to prepare for: the engine sets aside places for so many at once, where that makes the making
    /// of a VM faster, and makes no more. None sets nothing aside. The code is the same.
    pub places: Option<u32>,
}

impl EngineSettings {
    setters! {
        with_stack(usize) -> stack;
        with_samples(bool) -> samples;
        with_perf_map(bool) -> perf_map;
        with_places(impl Into<Option<u32>>) -> places;
    }
}

impl Default for EngineSettings {
    fn default() -> Self {
        (&Limits::default()).into()
    }
}

impl From<&Limits> for EngineSettings {
    fn from(limits: &Limits) -> Self {
        Self { stack: limits.stack, samples: false, perf_map: false, places: None }
    }
}
