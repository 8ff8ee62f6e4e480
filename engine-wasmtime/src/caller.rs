use std::sync::Arc;

use portcullis_core::engine::{Caller, Trap};
use portcullis_core::module::SourceLines;
use portcullis_core::vm::VmState;
use wasmtime::{Memory, ResourceLimiter, TypedFunc};

use crate::error::trap;
use crate::sampler::Sampler;

/// The data of a store: the VM's state, and handles looked up once. The handles are empty while the
/// start section runs.
pub(crate) struct Data {
    pub(crate) vm: VmState,
    pub(crate) lines: Arc<SourceLines>,
    pub(crate) memory: Option<Memory>,
    /// Shared, because it is taken out for each call, and to clone the handle itself costs more.
    pub(crate) malloc: Option<Arc<TypedFunc<i32, i32>>>,
    /// The sampler, if the VM is profiled.
    pub(crate) sampler: Option<Box<Sampler>>,
}

/// The guest that is calling in.
pub(crate) struct CallerCx<'a>(pub(crate) wasmtime::Caller<'a, Data>);

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
        let Some(malloc) = self.0.data().malloc.clone() else { return Ok(0) };
        let allocated = malloc.call(&mut self.0, len.cast_signed());
        allocated.map(i32::cast_unsigned).map_err(|error| trap(error, &self.0.data().lines))
    }
}

impl ResourceLimiter for Data {
    fn memory_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.vm.budget().grow_memory(desired, maximum))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.vm.budget().grow_table(current, desired, maximum))
    }
}
