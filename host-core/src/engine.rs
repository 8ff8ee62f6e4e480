//! The seam: what an engine is. Engines move bytes and calls; every decision is this crate's.

use std::time::Duration;

use crate::bytecode::Bytecode;
use crate::error::{EngineError, Trap};
use crate::vm_state::VmState;

/// A WebAssembly runtime that can run Proxy-Wasm guests.
pub trait WasmEngine: Clone + Send + Sync + 'static {
    /// The name used in configuration, logs and test names.
    const NAME: &'static str;
    /// What this engine can enforce.
    const FEATURES: EngineFeatures;
    /// Compiled code with the ABI's hostcalls linked; shared between threads.
    type Module: Clone + Send + Sync + 'static;
    /// One guest; stays on the thread that made it.
    type Instance: Guest + 'static;

    /// Compiles and links a module that this crate has judged.
    ///
    /// # Errors
    /// Only what the engine alone can find, such as a compiler limit.
    fn load(&self, bytecode: &Bytecode<'_>) -> Result<Self::Module, EngineError>;

    /// Makes a guest. Its start section runs; its start functions do not.
    ///
    /// # Errors
    /// The start section trapped, or memory could not be had within the limits.
    fn instantiate(
        &self,
        module: &Self::Module,
        state: VmState,
        limits: &Limits,
    ) -> Result<Self::Instance, EngineError>;
}

/// The guest that is calling in; implemented by engines, used by dispatch alone.
pub trait Caller {
    /// The state of the guest's VM.
    fn state(&mut self) -> &mut VmState;
    /// Memory and state at once. Memory is empty while the start section runs.
    fn split(&mut self) -> (&mut [u8], &mut VmState);
    /// Re-enters the guest's allocator.
    ///
    /// # Errors
    /// The trap that ended the allocator; it must end the outer call too.
    fn call_allocator(&mut self, len: u32) -> Result<u32, Trap>;
}

macro_rules! guest {
    ($( $method:ident = $export:literal($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident; )*) => {
        /// A guest, ready to be called; implemented by engines, used by [`Vm`](crate::Vm) alone.
        ///
        /// Each callback is a typed call: `Ok(None)` when the guest does not export it in this
        /// shape. Each starts the deadline anew.
        pub trait Guest {
            /// The state of the guest's VM.
            fn state(&mut self) -> &mut VmState;
            /// How long a callback may run from now on.
            fn set_deadline(&mut self, deadline: Duration);
            /// Bytes of linear memory that the guest has now.
            fn memory_size(&mut self) -> usize;
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

/// What an engine can enforce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineFeatures {
    /// [`Limits::memory`] holds.
    pub memory_limit: bool,
    /// [`Limits::table_elements`] holds.
    pub table_limit: bool,
    /// [`Limits::deadline`] stops an endless loop.
    pub deadline: bool,
}

/// What one VM may use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Linear memory in bytes. Default 1 GiB.
    pub memory: usize,
    /// Elements of all tables together. Default 100,000.
    pub table_elements: usize,
    /// How long one callback may run. Default 1 s.
    pub deadline: Duration,
    /// How long each start function, `proxy_on_vm_start` and `proxy_on_configure` may run. Default 30 s.
    pub start_deadline: Duration,
    /// HTTP callouts in flight. Default 1024.
    pub callouts: usize,
    /// Metrics that the plugins of the VM define. Default 1000.
    pub metrics: usize,
    /// Bytes that a plugin may put into one body buffer. Default 64 MiB.
    pub buffer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 1 << 30,
            table_elements: 100_000,
            deadline: Duration::from_secs(1),
            start_deadline: Duration::from_secs(30),
            callouts: 1024,
            metrics: 1000,
            buffer: 64 << 20,
        }
    }
}
