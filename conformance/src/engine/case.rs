use std::error::Error;

use portcullis::abi::HostcallId;
use portcullis::engine::AnyEngine;
use portcullis::module::Bytecode;

use crate::engine::prelude;

/// One thing that every engine must do.
#[derive(Debug)]
pub struct Case {
    /// The shown behaviour, as a sentence of a name: `absent_key_is_not_found`.
    pub name: &'static str,
    /// The guest, as fields of a module in WebAssembly's text format. [`Case::wat`] says what it
    /// may leave out.
    pub guest: &'static str,
    /// The hostcalls that it calls, each as the function `$name`.
    pub hostcalls: &'static [HostcallId],
    /// Where the rule stands: an ABI version and a heading of its specification, `wasi` and a
    /// function, `host` and what the reference host does, or `portcullis` and our own decision.
    pub spec: &'static str,
    /// Runs the guest and panics if it does something else.
    pub run: fn(&Self, &dyn AnyEngine),
}

/// Cases about one thing.
#[derive(Clone, Copy)]
pub struct Topic {
    /// The name that stands before those of its cases.
    pub name: &'static str,
    /// The cases.
    pub cases: &'static [Case],
}

impl Case {
    /// Returns the whole module. Before the guest stand the imports of its hostcalls and of `$proxy_log`;
    /// behind it helpers to report what it sees, and those that it lacks of the marker of ABI
    /// 0.2.1, a memory of one page and a `malloc` that never frees.
    ///
    /// * `(call $report i32)`, `(call $report64 i64)`: a number.
    /// * `(call $dump pointer length)`: bytes.
    /// * `(call $answer status)`: the status of a hostcall that returns bytes to the words at 0 and
    ///   4, the word at 4, and the bytes if there are any. Both words are -1 before each call.
    pub fn wat(&self) -> String {
        prelude::module(self.hostcalls, self.guest)
    }

    /// Returns why the module cannot be loaded.
    ///
    /// # Errors
    /// The module can be loaded.
    ///
    /// # Panics
    /// The guest is no valid text format.
    pub fn verdict(&self, engine: &dyn AnyEngine) -> Option<String> {
        verdict(engine, &self.wat())
    }
}

/// Returns why a module, in the text format, cannot be loaded.
pub(crate) fn verdict(engine: &dyn AnyEngine, wat: &str) -> Option<String> {
    let load = || -> Result<(), Box<dyn Error>> {
        let wasm = wat::parse_str(wat)?;
        engine.load(&Bytecode::judge(&wasm)?)?;
        Ok(())
    };
    load().err().map(|error| error.to_string())
}
