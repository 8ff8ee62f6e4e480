use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::abi::callback::CallbackId;
use crate::abi::{AbiVersion, MapType};
use crate::engine::any::{AnyEngine, AnyModule};
use crate::engine::error::{EngineError, StartError};
use crate::engine::trap::Trap;
use crate::engine::{Caller, EngineFeatures, EngineSettings, Guest, WasmEngine};
use crate::hostcall::entry;
use crate::model::context::ContextId;
use crate::model::limits::Limits;
use crate::module::bytecode::{Begins, Bytecode, StartStyle};
use crate::rights::Capabilities;
use crate::vm::state::VmState;

type Callback = Box<dyn FnMut(&mut NullCaller<'_>, &[i32]) -> Result<i32, Trap> + Send>;

type Allocator = Box<dyn FnMut(&mut NullCaller<'_>) + Send>;

/// The behaviour of a guest of [`NullEngine`]: a closure for each callback that it exports.
#[derive(Default)]
pub struct Script {
    callbacks: HashMap<CallbackId, Callback>,
    allocator: Hook,
}

/// The behaviour of the allocator besides allocating.
#[derive(Default)]
struct Hook(Option<Allocator>);

impl Script {
    /// Returns a guest that exports nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Exports a callback. It gets its arguments and returns its result; 0 where there is none.
    #[must_use]
    pub fn on(mut self, id: CallbackId, run: impl FnMut(&mut NullCaller<'_>, &[i32]) -> i32 + Send + 'static) -> Self {
        let mut run = run;
        self.callbacks.insert(id, Box::new(move |caller, args| Ok(run(caller, args))));
        self
    }

    /// Exports a callback that may trap.
    #[must_use]
    pub fn try_on(
        mut self,
        id: CallbackId,
        run: impl FnMut(&mut NullCaller<'_>, &[i32]) -> Result<i32, Trap> + Send + 'static,
    ) -> Self {
        self.callbacks.insert(id, Box::new(run));
        self
    }

    /// Returns the callbacks that it exports.
    pub fn exports(&self) -> Capabilities {
        Capabilities::of_callbacks(&self.callbacks.keys().copied().collect::<Vec<_>>())
    }

    /// Has its allocator do this, too, when the host runs it.
    #[must_use]
    pub fn on_allocation(mut self, run: impl FnMut(&mut NullCaller<'_>) + Send + 'static) -> Self {
        self.allocator = Hook(Some(Box::new(run)));
        self
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.callbacks.keys()).finish()
    }
}

/// An engine whose guests are Rust closures. It runs no WebAssembly and enforces no limit.
#[derive(Clone)]
pub struct NullEngine {
    script: Arc<dyn Fn() -> Script + Send + Sync>,
    settings: EngineSettings,
}

impl NullEngine {
    /// Makes an engine whose guests are made by this function.
    pub fn new(script: impl Fn() -> Script + Send + Sync + 'static) -> Self {
        Self { script: Arc::new(script), settings: EngineSettings::default() }
    }

    /// Returns a module of this engine.
    ///
    /// # Errors
    /// Never.
    pub fn module(&self) -> Result<Box<dyn AnyModule>, EngineError> {
        AnyEngine::load(
            self,
            &Bytecode {
                wasm: &[],
                abi: AbiVersion::V0_2_1,
                memory: String::new(),
                allocator: "malloc",
                start: StartStyle::Neither,
                imports: Vec::new(),
                callbacks: Vec::new(),
                begins: Begins::default(),
            },
        )
    }
}

impl fmt::Debug for NullEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NullEngine")
    }
}

impl WasmEngine for NullEngine {
    const NAME: &'static str = "null";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const FEATURES: EngineFeatures = EngineFeatures { moves: true, ..EngineFeatures::NONE };
    type Module = ();
    type Instance = NullGuest;

    fn load(&self, _: &Bytecode<'_>) -> Result<(), EngineError> {
        Ok(())
    }

    fn settings(&self) -> &EngineSettings {
        &self.settings
    }

    fn instantiate(&self, (): &(), state: VmState, _: &Limits) -> Result<NullGuest, StartError> {
        let mut script = (self.script)();
        let allocator = std::mem::take(&mut script.allocator);
        Ok(NullGuest { script, parts: NullParts { state, memory: vec![0; 1 << 20], heap: HEAP, allocator } })
    }
}

/// Where the guest's heap begins; below is for tests to write to.
const HEAP: u32 = 1 << 16;

/// A guest of [`NullEngine`].
#[derive(Debug)]
pub struct NullGuest {
    script: Script,
    parts: NullParts,
}

#[derive(Debug)]
struct NullParts {
    state: VmState,
    memory: Vec<u8>,
    heap: u32,
    allocator: Hook,
}

/// A guest that is calling the host: what a closure of a [`Script`] gets.
#[derive(Debug)]
pub struct NullCaller<'a> {
    parts: &'a mut NullParts,
}

impl Caller for NullCaller<'_> {
    fn state(&mut self) -> &mut VmState {
        &mut self.parts.state
    }

    fn split(&mut self) -> (&mut [u8], &mut VmState) {
        (&mut self.parts.memory, &mut self.parts.state)
    }

    fn call_allocator(&mut self, len: u32) -> Result<u32, Trap> {
        if let Some(mut run) = self.parts.allocator.0.take() {
            run(self);
            self.parts.allocator = Hook(Some(run));
        }
        Ok(self.allocate(len))
    }
}

impl NullCaller<'_> {
    fn allocate(&mut self, len: u32) -> u32 {
        let address = self.parts.heap;
        self.parts.heap = address.saturating_add(len);
        let size = usize::try_from(self.parts.heap).unwrap_or(usize::MAX);
        if size <= self.parts.memory.len() { address } else { 0 }
    }

    /// Puts bytes into guest memory; says where, as pointer and length.
    pub fn put(&mut self, bytes: &[u8]) -> (i32, i32) {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let address = self.allocate(len);
        let start = address as usize;
        if let Some(target) = self.parts.memory.get_mut(start..start + bytes.len()) {
            target.copy_from_slice(bytes);
        }
        (address.cast_signed(), len.cast_signed())
    }

    /// Puts a serialized map into guest memory; says where, as pointer and length.
    pub fn put_pairs(&mut self, entries: &[(&str, &str)]) -> (i32, i32) {
        let word = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
        let mut all = word(entries.len()).to_vec();
        for (name, value) in entries {
            all.extend(word(name.len()).iter().chain(&word(value.len())));
        }
        for (name, value) in entries {
            all.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
        }
        self.put(&all)
    }

    /// Returns a word of guest memory.
    pub fn word(&self, pointer: i32) -> u32 {
        let start = pointer.cast_unsigned() as usize;
        let bytes = self.parts.memory.get(start..).and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// Grows guest memory to a number of bytes, if the limit allows it; says whether it does.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let fits = self.parts.state.budget().grow_memory(bytes, None);
        if fits && bytes > self.parts.memory.len() {
            self.parts.memory.resize(bytes, 0);
        }
        fits
    }

    /// Runs a hostcall that returns bytes; gives it the two out-pointers, returns status and bytes.
    pub fn bytes(&mut self, call: impl FnOnce(&mut Self, i32, i32) -> Result<i32, Trap>) -> Result<Vec<u8>, i32> {
        let status = call(self, 8, 12).unwrap_or(-1);
        let (start, len) = (self.word(8) as usize, self.word(12) as usize);
        if status != 0 {
            return Err(status);
        }
        Ok(self.parts.memory.get(start..start + len).unwrap_or_default().to_vec())
    }

    /// Calls `proxy_log` at info.
    pub fn log(&mut self, message: &str) {
        let (pointer, len) = self.put(message.as_bytes());
        let _ = entry::proxy_log(self, 2, pointer, len);
    }

    /// Calls `proxy_get_header_map_value`; returns the value, or the status.
    pub fn header(&mut self, map: MapType, name: &str) -> Result<String, i32> {
        let (key, key_len) = self.put(name.as_bytes());
        let value =
            self.bytes(|caller, p, l| entry::proxy_get_header_map_value(caller, map as i32, key, key_len, p, l));
        value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Calls `proxy_add_header_map_value`.
    pub fn add_header(&mut self, map: MapType, name: &str, value: &str) -> i32 {
        let ((key, key_len), (value, value_len)) = (self.put(name.as_bytes()), self.put(value.as_bytes()));
        entry::proxy_add_header_map_value(self, map as i32, key, key_len, value, value_len).unwrap_or(-1)
    }

    /// Calls `proxy_get_buffer_bytes` for a whole buffer.
    pub fn buffer(&mut self, buffer: crate::abi::BufferType) -> Result<Vec<u8>, i32> {
        self.bytes(|caller, p, l| entry::proxy_get_buffer_bytes(caller, buffer as i32, 0, i32::MAX, p, l))
    }

    /// Calls `proxy_set_buffer_bytes` for a whole buffer.
    pub fn set_buffer(&mut self, buffer: crate::abi::BufferType, data: &[u8]) -> i32 {
        let (data, len) = self.put(data);
        entry::proxy_set_buffer_bytes(self, buffer as i32, 0, i32::MAX, data, len).unwrap_or(-1)
    }

    /// Calls `proxy_send_local_response` without headers.
    pub fn local_response(&mut self, status: i32, body: &str) -> i32 {
        let (body, len) = self.put(body.as_bytes());
        entry::proxy_send_local_response(self, status, 0, 0, body, len, 0, 0, -1).unwrap_or(-1)
    }

    /// Calls `proxy_continue_stream`.
    pub fn continue_stream(&mut self, stream: crate::abi::StreamType) -> i32 {
        entry::proxy_continue_stream(self, stream as i32).unwrap_or(-1)
    }

    /// Calls `proxy_set_effective_context`.
    pub fn set_effective(&mut self, context: i32) -> i32 {
        entry::proxy_set_effective_context(self, context).unwrap_or(-1)
    }

    /// Returns the context that hostcalls act on.
    pub fn acting(&mut self) -> ContextId {
        self.state().acting()
    }
}

trait FromRaw {
    fn from_raw(raw: i32) -> Self;
}

impl FromRaw for () {
    fn from_raw(_: i32) -> Self {}
}

impl FromRaw for i32 {
    fn from_raw(raw: i32) -> Self {
        raw
    }
}

macro_rules! null_guest {
    ($( $method:ident = $export:literal($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident; )*) => {
        impl Guest for NullGuest {
            fn state(&mut self) -> &mut VmState {
                &mut self.parts.state
            }

            fn set_deadline(&mut self, _: Duration) {}

            fn memory(&mut self) -> &[u8] {
                &self.parts.memory
            }

            fn global(&mut self, _: &str) -> Option<u128> {
                None
            }

            $(
                fn $method(&mut self, $($arg: $ty),*) -> Result<Option<$ret>, Trap> {
                    let Some(run) = self.script.callbacks.get_mut(&CallbackId::$method) else { return Ok(None) };
                    self.parts.heap = HEAP;
                    run(&mut NullCaller { parts: &mut self.parts }, &[$($arg),*]).map(|raw| Some(<$ret>::from_raw(raw)))
                }
            )*
        }
    };
}
crate::for_each_callback!(null_guest);
