use std::fmt;

use portcullis_core::engine::{CallStack, EngineError, Trap, WasmEngine, WasmTrap};
use wasmi::TrapCode;
use wasmi::errors::{ErrorKind, HostError, InstantiationError, MemoryError};

use crate::Wasmi;

/// A hostcall raised a trap, which [`Data`](crate::caller::Data) keeps.
#[derive(Debug)]
pub(crate) struct Raised;

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a hostcall raised a trap")
    }
}

impl HostError for Raised {}

/// Says what wasmi could not do, and why in one line.
pub(crate) fn cannot(operation: &'static str) -> impl Fn(wasmi::Error) -> EngineError {
    move |error| EngineError::new(Wasmi::NAME, operation, error.to_string())
}

/// Whether a guest that was made broke a rule: in its start section, or by a segment that does not fit.
pub(crate) fn is_of_start(error: &wasmi::Error) -> bool {
    matches!(error.kind(), ErrorKind::TrapCode(_) | ErrorKind::Host(_)) || segment(error).is_some()
}

/// An error of wasmi, which keeps no backtrace.
pub(crate) fn trap(error: &wasmi::Error) -> Trap {
    let trap = match error.as_trap_code() {
        Some(TrapCode::OutOfFuel) => return Trap::Deadline(CallStack::default()),
        Some(TrapCode::StackOverflow) => return Trap::Stack(CallStack::default()),
        Some(TrapCode::UnreachableCodeReached) => WasmTrap::Unreachable,
        Some(TrapCode::MemoryOutOfBounds) => WasmTrap::MemoryOutOfBounds,
        Some(TrapCode::TableOutOfBounds) => WasmTrap::TableOutOfBounds,
        Some(TrapCode::IndirectCallToNull) => WasmTrap::IndirectCallToNull,
        Some(TrapCode::BadSignature) => WasmTrap::BadSignature,
        Some(TrapCode::IntegerDivisionByZero) => WasmTrap::DivisionByZero,
        Some(TrapCode::IntegerOverflow) => WasmTrap::IntegerOverflow,
        Some(TrapCode::BadConversionToInteger) => WasmTrap::BadConversion,
        Some(other) => WasmTrap::Other(other.to_string()),
        None => segment(error).unwrap_or_else(|| WasmTrap::Other(error.to_string())),
    };
    Trap::Wasm(trap, CallStack::default())
}

/// The trap of a segment that does not fit, which wasmi does not count among its traps.
fn segment(error: &wasmi::Error) -> Option<WasmTrap> {
    match error.kind() {
        ErrorKind::Memory(MemoryError::OutOfBoundsAccess) => Some(WasmTrap::MemoryOutOfBounds),
        ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) => {
            Some(WasmTrap::TableOutOfBounds)
        }
        _ => None,
    }
}
