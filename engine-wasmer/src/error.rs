use std::fmt::Display;

use portcullis_core::engine::{CallStack, EngineError, Frame, StartError, Trap, WasmTrap};
use portcullis_core::model::Limits;
use wasmer::sys::vm::TrapCode;
use wasmer::{FrameInfo, InstantiationError, RuntimeError};

use crate::meter::ADDED;

/// Says what wasmer could not do, and why in one line.
pub(crate) fn cannot<E: Display>(operation: &'static str) -> impl Fn(E) -> EngineError {
    move |error| EngineError::new("wasmer", operation, error.to_string())
}

/// The start section trapped, or an allocation failed.
pub(crate) fn cannot_instantiate(error: InstantiationError, limits: &Limits) -> StartError {
    match error {
        InstantiationError::Start(error) => StartError::start_section(&trap(error), limits),
        other => cannot("instantiate the module")(other).into(),
    }
}

/// Why a guest was stopped: what a hostcall raised, or what wasmer found.
pub(crate) fn trap(error: RuntimeError) -> Trap {
    let stack: CallStack = error.trace().iter().map(frame).collect();
    let error = match error.downcast::<Trap>() {
        // Raised by a function that knows no stack.
        Ok(Trap::Deadline(_)) => return Trap::Deadline(stack),
        Ok(trap) => return trap,
        Err(error) => error,
    };
    let trap = match error.clone().to_trap() {
        Some(TrapCode::StackOverflow) => return Trap::Stack(stack),
        Some(TrapCode::UnreachableCodeReached) => WasmTrap::Unreachable,
        Some(TrapCode::HeapAccessOutOfBounds) => WasmTrap::MemoryOutOfBounds,
        Some(TrapCode::TableAccessOutOfBounds) => WasmTrap::TableOutOfBounds,
        Some(TrapCode::IndirectCallToNull) => WasmTrap::IndirectCallToNull,
        Some(TrapCode::BadSignature) => WasmTrap::BadSignature,
        Some(TrapCode::IntegerDivisionByZero) => WasmTrap::DivisionByZero,
        Some(TrapCode::IntegerOverflow) => WasmTrap::IntegerOverflow,
        Some(TrapCode::BadConversionToInteger) => WasmTrap::BadConversion,
        Some(other) => WasmTrap::Other(other.message().to_owned()),
        None => WasmTrap::Other(error.message()),
    };
    Trap::Wasm(trap, stack)
}

/// Indices as they were before functions were added.
fn frame(frame: &FrameInfo) -> Frame<'_> {
    Frame { function: frame.func_index().saturating_sub(ADDED), name: frame.function_name(), source: None }
}
