//! How wasmer makes memories and stacks.

#![allow(unsafe_code, reason = "the trait's methods are unsafe; they only pass on what they get")]

use std::ptr::NonNull;

use wasmer::sys::vm::{
    MemoryError, MemoryStyle, TableStyle, VMConfig, VMMemory, VMMemoryDefinition, VMTable, VMTableDefinition,
};
use wasmer::sys::{BaseTunables, Target, Tunables};
use wasmer::{MemoryType, TableType};

/// Wasmer's own choices, but for the size of the stack that guests run on.
pub(crate) struct Stack {
    base: BaseTunables,
    config: VMConfig,
}

impl Stack {
    pub(crate) fn new(bytes: usize) -> Self {
        let base = BaseTunables::for_target(&Target::default());
        Self { base, config: VMConfig { wasm_stack_size: Some(bytes) } }
    }
}

impl Tunables for Stack {
    fn memory_style(&self, memory: &MemoryType) -> MemoryStyle {
        self.base.memory_style(memory)
    }

    fn table_style(&self, table: &TableType) -> TableStyle {
        self.base.table_style(table)
    }

    fn create_host_memory(&self, ty: &MemoryType, style: &MemoryStyle) -> Result<VMMemory, MemoryError> {
        self.base.create_host_memory(ty, style)
    }

    unsafe fn create_vm_memory(
        &self,
        ty: &MemoryType,
        style: &MemoryStyle,
        definition: NonNull<VMMemoryDefinition>,
    ) -> Result<VMMemory, MemoryError> {
        // SAFETY: the caller promises what the method promises its own.
        unsafe { self.base.create_vm_memory(ty, style, definition) }
    }

    fn create_host_table(&self, ty: &TableType, style: &TableStyle) -> Result<VMTable, String> {
        self.base.create_host_table(ty, style)
    }

    unsafe fn create_vm_table(
        &self,
        ty: &TableType,
        style: &TableStyle,
        definition: NonNull<VMTableDefinition>,
    ) -> Result<VMTable, String> {
        // SAFETY: the caller promises what the method promises its own.
        unsafe { self.base.create_vm_table(ty, style, definition) }
    }

    fn vmconfig(&self) -> &VMConfig {
        &self.config
    }
}
