use std::time::{Duration, Instant};

use portcullis_core::engine::{CallStack, Caller, Trap};
use portcullis_core::vm::VmState;
use wasmi::errors::{MemoryError, TableError};
use wasmi::{AsContextMut, Error, Memory, ResourceLimiter, TypedFunc, TypedResumableCall, WasmParams, WasmResults};
use wasmi_core::LimiterError;

use crate::error::{Raised, trap};

/// Fuel between looks at the clock: about as many instructions, well under a millisecond of them.
const SLICE: u64 = 100_000;

/// The data of a store: the VM's state, and handles looked up once. The handles are empty while the
/// start section runs.
pub(crate) struct Data {
    pub(crate) vm: VmState,
    pub(crate) memory: Option<Memory>,
    pub(crate) malloc: Option<TypedFunc<i32, i32>>,
    /// When the outermost call must have ended.
    pub(crate) expires: Instant,
    /// The trap that [`Raised`] stands for, because wasmi hands out its errors only to be looked at.
    raised: Option<Trap>,
}

/// The guest that is calling in.
pub(crate) struct CallerCx<'a>(pub(crate) wasmi::Caller<'a, Data>);

impl Caller for CallerCx<'_> {
    #[inline]
    fn state(&mut self) -> &mut VmState {
        &mut self.0.data_mut().vm
    }

    #[inline]
    fn split(&mut self) -> (&mut [u8], &mut VmState) {
        let Some(memory) = self.0.data().memory else { return (&mut [], self.state()) };
        let (bytes, data) = memory.data_and_store_mut(&mut self.0);
        (bytes, &mut data.vm)
    }

    /// The deadline of the outer call goes on.
    fn call_allocator(&mut self, len: u32) -> Result<u32, Trap> {
        let Some(malloc) = self.0.data().malloc else { return Ok(0) };
        run(&malloc, &mut self.0, len.cast_signed()).map(i32::cast_unsigned)
    }
}

impl CallerCx<'_> {
    pub(crate) fn raise(mut self, trap: Trap) -> Error {
        self.0.data_mut().raised = Some(trap);
        Error::host(Raised)
    }
}

impl Data {
    pub(crate) fn new(vm: VmState) -> Self {
        Self { vm, memory: None, malloc: None, expires: Instant::now(), raised: None }
    }

    /// Why a guest was stopped: what a hostcall raised, or what wasmi found.
    pub(crate) fn trap(&mut self, error: &Error) -> Trap {
        self.raised.take().unwrap_or_else(|| trap(error))
    }

    pub(crate) fn start_clock(&mut self, deadline: Duration) {
        let now = Instant::now();
        // A deadline beyond what the clock can count is none.
        self.expires = now.checked_add(deadline).unwrap_or_else(|| now + Duration::from_secs(u32::MAX.into()));
    }
}

/// Calls a function, and lets it go on after each slice of fuel until its time is up.
pub(crate) fn run<P: WasmParams, R: WasmResults>(
    function: &TypedFunc<P, R>,
    mut store: impl AsContextMut<Data = Data>,
    arguments: P,
) -> Result<R, Trap> {
    let mut store = store.as_context_mut();
    let mut call = store.set_fuel(SLICE).and_then(|()| function.call_resumable(&mut store, arguments));
    loop {
        call = match call {
            Ok(TypedResumableCall::Finished(result)) => return Ok(result),
            Ok(TypedResumableCall::HostTrap(ended)) => return Err(store.data_mut().trap(ended.host_error())),
            Ok(TypedResumableCall::OutOfFuel(_)) if Instant::now() >= store.data().expires => {
                return Err(Trap::Deadline(CallStack::default()));
            }
            Ok(TypedResumableCall::OutOfFuel(paused)) => {
                store.set_fuel(paused.required_fuel().max(SLICE)).and_then(|()| paused.resume(&mut store))
            }
            Err(error) => return Err(store.data_mut().trap(&error)),
        }
    }
}

impl ResourceLimiter for Data {
    fn memory_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> Result<bool, LimiterError> {
        Ok(self.vm.budget().grow_memory(desired, maximum))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool, LimiterError> {
        Ok(self.vm.budget().grow_table(current, desired, maximum))
    }

    fn memory_grow_failed(&mut self, _: &MemoryError) -> Result<(), LimiterError> {
        Ok(())
    }

    fn table_grow_failed(&mut self, _: &TableError) -> Result<(), LimiterError> {
        Ok(())
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        usize::MAX
    }

    fn memories(&self) -> usize {
        1
    }
}
