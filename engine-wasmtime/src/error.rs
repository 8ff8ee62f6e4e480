use std::fmt::{self, Write};

use portcullis_core::{EngineError, Trap, WasmEngine};
use wasmtime::WasmBacktrace;

use crate::Wasmtime;

/// Length of a function's name in a message, in bytes.
const NAME: usize = 200;
/// Length of all names in a message.
const NAMES: usize = 2000;

/// Says what wasmtime could not do, and why in one line.
pub(crate) fn cannot(operation: &'static str) -> impl Fn(wasmtime::Error) -> EngineError {
    move |error| EngineError { engine: Wasmtime::NAME, operation, source: format!("{error:#}").into() }
}

/// A limit is too low for what the guest starts with, or its start section trapped.
pub(crate) fn cannot_instantiate(error: wasmtime::Error) -> EngineError {
    if error.is::<WasmBacktrace>() {
        let source = Box::new(trap(error));
        return EngineError { engine: Wasmtime::NAME, operation: "run the start section", source };
    }
    cannot("instantiate the module")(error)
}

/// Why a guest was stopped: what a hostcall raised, or what wasmtime found.
pub(crate) fn trap(error: wasmtime::Error) -> Trap {
    let error = match error.downcast::<Trap>() {
        Ok(trap) => return trap,
        Err(error) => error,
    };
    match error.downcast_ref() {
        Some(wasmtime::Trap::Interrupt) => Trap::Deadline,
        Some(wasmtime::Trap::StackOverflow) => Trap::Stack,
        Some(code) => Trap::Wasm(describe(&code.to_string(), &error)),
        None => Trap::Wasm(describe(&error.root_cause().to_string(), &error)),
    }
}

/// The reason, and the functions that it happened in.
fn describe(reason: &str, error: &wasmtime::Error) -> String {
    let mut text = reason.trim_start_matches("wasm trap: ").to_owned();
    let frames = error.downcast_ref().map(WasmBacktrace::frames).unwrap_or_default();
    let limit = text.len() + NAMES;
    for (frame, before) in frames.iter().zip([" in ", ", called by "].into_iter().chain(std::iter::repeat(", by "))) {
        if text.len() > limit {
            text.push_str(", and so on");
            break;
        }
        text.push_str(before);
        let mut name = Name { text: &mut text, room: NAME };
        let written = match frame.func_name() {
            Some(function) => write!(name, "{:#}", rustc_demangle::demangle(function)),
            None => write!(name, "function {}", frame.func_index()),
        };
        if written.is_err() {
            text.push_str("...");
        }
    }
    text
}

/// Takes a name that the guest chose: printable, and no more of it than there is room for.
struct Name<'a> {
    text: &'a mut String,
    room: usize,
}

impl Write for Name<'_> {
    fn write_str(&mut self, name: &str) -> fmt::Result {
        name.chars().try_for_each(|c| {
            self.room = self.room.checked_sub(c.len_utf8()).ok_or(fmt::Error)?;
            self.text.push(if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
            Ok(())
        })
    }
}
