use portcullis_core::engine::{CallStack, EngineError, Frame, StartError, Trap, WasmEngine, WasmTrap};
use portcullis_core::model::Limits;
use portcullis_core::module::SourceLines;
use wasmtime::{FrameInfo, WasmBacktrace};

use crate::Wasmtime;

/// Says what wasmtime could not do, and why in one line.
pub(crate) fn cannot(operation: &'static str) -> impl Fn(wasmtime::Error) -> EngineError {
    move |error| EngineError::new(Wasmtime::NAME, operation, format!("{error:#}"))
}

/// The start section trapped, or an allocation failed.
pub(crate) fn cannot_instantiate(error: wasmtime::Error, limits: &Limits, lines: &SourceLines) -> StartError {
    if error.is::<WasmBacktrace>() || error.is::<wasmtime::Trap>() {
        return StartError::start_section(&trap(error, lines), limits);
    }
    cannot("instantiate the module")(error).into()
}

/// Why a guest was stopped: what a hostcall raised, or what wasmtime found.
pub(crate) fn trap(error: wasmtime::Error, lines: &SourceLines) -> Trap {
    let error = match error.downcast::<Trap>() {
        Ok(trap) => return trap,
        Err(error) => error,
    };
    let frames = error.downcast_ref().map(WasmBacktrace::frames).unwrap_or_default();
    let stack: CallStack = frames.iter().map(|info| frame(info, lines)).collect();
    let trap = match error.downcast_ref() {
        Some(wasmtime::Trap::Interrupt) => return Trap::Deadline(stack),
        Some(wasmtime::Trap::StackOverflow) => return Trap::Stack(stack),
        Some(wasmtime::Trap::UnreachableCodeReached) => WasmTrap::Unreachable,
        Some(wasmtime::Trap::MemoryOutOfBounds) => WasmTrap::MemoryOutOfBounds,
        Some(wasmtime::Trap::TableOutOfBounds) => WasmTrap::TableOutOfBounds,
        Some(wasmtime::Trap::IndirectCallToNull) => WasmTrap::IndirectCallToNull,
        Some(wasmtime::Trap::BadSignature) => WasmTrap::BadSignature,
        Some(wasmtime::Trap::IntegerDivisionByZero) => WasmTrap::DivisionByZero,
        Some(wasmtime::Trap::IntegerOverflow) => WasmTrap::IntegerOverflow,
        Some(wasmtime::Trap::BadConversionToInteger) => WasmTrap::BadConversion,
        Some(other) => WasmTrap::Other(other.to_string()),
        None => WasmTrap::Other(error.root_cause().to_string()),
    };
    Trap::Wasm(trap, stack)
}

fn frame<'a>(frame: &'a FrameInfo, lines: &'a SourceLines) -> Frame<'a> {
    let source = frame.module_offset().and_then(|offset| lines.find(offset as u64));
    Frame { function: frame.func_index(), name: frame.func_name(), source }
}
