use std::time::{Duration, Instant};

use portcullis_core::engine::{CallStack, Caller, Trap};
use portcullis_core::vm::VmState;
use wasmer::{AsStoreMut, FunctionEnvMut, Memory, StoreMut, TypedFunction};

use crate::error::trap;

/// The data that hostcalls reach: the VM's state, and handles looked up once. The handles are empty while the
/// start section runs.
pub(crate) struct Data {
    pub(crate) vm: VmState,
    pub(crate) memory: Option<Memory>,
    pub(crate) malloc: Option<TypedFunction<i32, i32>>,
    /// When the outermost call must have ended.
    expires: Instant,
    /// The maximum that the module sets its memory, in bytes.
    maximum: Option<usize>,
}

/// The guest that is calling in.
pub(crate) struct CallerCx<'a>(pub(crate) FunctionEnvMut<'a, Data>);

impl Caller for CallerCx<'_> {
    #[inline]
    fn state(&mut self) -> &mut VmState {
        &mut self.0.data_mut().vm
    }

    #[inline]
    fn split(&mut self) -> (&mut [u8], &mut VmState) {
        let (data, store) = self.0.data_and_store_mut();
        let Some(memory) = &data.memory else { return (&mut [], &mut data.vm) };
        (bytes(memory, store), &mut data.vm)
    }

    /// The deadline of the outer call goes on.
    fn call_allocator(&mut self, len: u32) -> Result<u32, Trap> {
        let Some(malloc) = self.0.data().malloc.clone() else { return Ok(0) };
        let returned = malloc.call(&mut self.0.as_store_mut(), len.cast_signed());
        returned.map(i32::cast_unsigned).map_err(trap)
    }
}

/// The bytes of a memory, as long as its store is borrowed.
pub(crate) fn bytes<'a>(memory: &Memory, store: StoreMut<'a>) -> &'a mut [u8] {
    let view = memory.view(&store);
    let len = usize::try_from(view.data_size()).unwrap_or_default();
    #[allow(unsafe_code, reason = "wasmer has no slice of a memory")]
    // SAFETY: the memory belongs to the store, which is borrowed for as long as the slice lives,
    // so the guest does not run, and the memory neither moves nor is written by others: it is
    // not shared, which the core has checked. A view is as long as its memory.
    unsafe {
        std::slice::from_raw_parts_mut(view.data_ptr(), len)
    }
}

impl Data {
    pub(crate) fn new(vm: VmState, maximum: Option<usize>) -> Self {
        Self { vm, memory: None, malloc: None, expires: Instant::now(), maximum }
    }

    pub(crate) fn start_clock(&mut self, deadline: Duration) {
        let now = Instant::now();
        // A deadline beyond what the clock can count is none.
        self.expires = now.checked_add(deadline).unwrap_or_else(|| now + Duration::from_secs(u32::MAX.into()));
    }

    /// [`CHECK`](crate::meter::CHECK).
    pub(crate) fn check(&self) -> Result<(), Trap> {
        if Instant::now() >= self.expires { Err(Trap::Deadline(CallStack::default())) } else { Ok(()) }
    }

    /// [`GROW_MEMORY`](crate::meter::GROW_MEMORY).
    pub(crate) fn grow_memory(&mut self, delta: i32, pages: i32) -> i32 {
        const PAGE: usize = 1 << 16;
        let desired = (pages.cast_unsigned() as usize).saturating_add(delta.cast_unsigned() as usize);
        if self.vm.budget().grow_memory(desired.saturating_mul(PAGE), self.maximum) { delta } else { -1 }
    }

    /// [`GROW_TABLE`](crate::meter::GROW_TABLE).
    pub(crate) fn grow_table(&mut self, delta: i32, elements: i32, maximum: i32) -> i32 {
        let current = elements.cast_unsigned() as usize;
        let desired = current.saturating_add(delta.cast_unsigned() as usize);
        let maximum = usize::try_from(maximum).ok();
        if self.vm.budget().grow_table(current, desired, maximum) { delta } else { -1 }
    }
}
