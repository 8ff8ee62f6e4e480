//! The probe: a guest that calls what it is told to, when it is told to, and answers with what it got.
//!
//! The probe is a raw-ABI module without an SDK between. An operator loads it into the host under test, in front
//! of an upstream; from then on everything goes over requests with the header `x-probe`
//! ([`dialogue`]). A [`Program`] is data: hostcalls with their arguments, from a [script](Program::compile).

pub mod dialogue;
mod program;

pub use program::{Observation, Program, ScriptError};

use std::fmt::Write;

use portcullis_core::abi::{
    AbiVersion, CALLBACKS, CallbackDecl, CallbackId, HOSTCALLS, HostcallDecl, HostcallId, ValType,
};

use crate::text_format::{import, types};

/// A probe for one version of the ABI.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The version whose marker it has.
    pub abi: AbiVersion,
    /// Hostcalls that it does not import, because the host under test would not load it then.
    pub without: Vec<HostcallId>,
}

/// The version of the language between kit and probe.
pub const LANGUAGE: u8 = 2;

const INTERPRETER: &str = include_str!("interpreter.wat");

/// Where the answer to a hello stands.
const HELLO: usize = 61_632;

/// Where a thunk finds the arguments.
const ARGUMENTS: usize = 61_504;

/// Hostcalls of the interpreter itself.
const OWN: [HostcallId; 4] = [
    HostcallId::proxy_get_header_map_value,
    HostcallId::proxy_send_local_response,
    HostcallId::proxy_set_tick_period_milliseconds,
    HostcallId::proxy_get_buffer_bytes,
];

impl Probe {
    /// Returns a probe that imports all that there is in a version.
    pub fn new(abi: AbiVersion) -> Self {
        Self { abi, without: Vec::new() }
    }

    /// Returns whether it imports a hostcall.
    pub fn imports(&self, hostcall: HostcallId) -> bool {
        let decl = hostcall.decl();
        let is_own = OWN.contains(&hostcall);
        (decl.since..=decl.until).contains(&self.abi) && (is_own || !self.without.contains(&hostcall))
    }

    /// Returns the module.
    ///
    /// # Errors
    /// Never but for a mistake in the interpreter's text.
    pub fn wasm(&self) -> Result<Vec<u8>, wat::Error> {
        wat::parse_str(self.wat())
    }

    /// Returns the module in WebAssembly's text format.
    pub fn wat(&self) -> String {
        let imported = || HOSTCALLS.iter().filter(|decl| self.imports(decl.id));
        let mut text = String::from("(module\n");
        imported().for_each(|decl| text.push_str(&import(decl.id)));
        let _ = writeln!(text, "(table $thunks {} funcref)", HOSTCALLS.len());
        imported().for_each(|decl| text.push_str(&thunk(decl)));
        let marker = self.abi.marker();
        let _ = writeln!(text, "(func (export \"{marker}\"))");
        let _ = writeln!(text, "(data (i32.const {HELLO}) \"{}\")", self.hello());
        let callbacks = CALLBACKS.iter().filter(|decl| (decl.since..=decl.until).contains(&self.abi));
        callbacks.filter(|decl| !decl.id.is_start_function()).for_each(|decl| text.push_str(&callback(decl)));
        text.push_str(INTERPRETER);
        text.push(')');
        text
    }

    /// Returns language, version of the ABI, and a bit for each hostcall that is imported.
    fn hello(&self) -> String {
        let mut bytes = [0_u8; 32];
        let [language, abi, bits @ ..] = &mut bytes;
        *language = LANGUAGE;
        *abi = AbiVersion::ALL.iter().position(|abi| *abi == self.abi).map_or(u8::MAX, |at| at.to_le_bytes()[0]);
        for decl in HOSTCALLS.iter().filter(|decl| self.imports(decl.id)) {
            let row = decl.id as usize;
            if let Some(byte) = bits.get_mut(row / 8) {
                *byte |= 1 << (row % 8);
            }
        }
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "\\{byte:02x}");
            text
        })
    }
}

/// Returns a function without parameters, in the row of its hostcall: it takes the arguments from memory and
/// makes a number of the result.
fn thunk(decl: &HostcallDecl) -> String {
    let argument = |(index, ty): (usize, &ValType)| {
        let load = format!("(i64.load (i32.const {}))", ARGUMENTS + 8 * index);
        match ty {
            ValType::I32 => format!("(i32.wrap_i64 {load})"),
            ValType::I64 => load,
            ValType::F64 => format!("(f64.reinterpret_i64 {load})"),
        }
    };
    let arguments: Vec<_> = decl.params.iter().enumerate().map(argument).collect();
    let name = decl.name;
    let call = format!("(call ${name} {})", arguments.join(" "));
    let result = match decl.results {
        [] => format!("{call} (i64.const 0)"),
        [ValType::I32] => format!("(i64.extend_i32_s {call})"),
        [ValType::F64] => format!("(i64.reinterpret_f64 {call})"),
        _ => call,
    };
    format!(
        "(func $thunk_{name} (result i64) {result})\n(elem (table $thunks) (i32.const {}) func $thunk_{name})\n",
        decl.id as usize
    )
}

fn callback(decl: &CallbackDecl) -> String {
    let phase = decl.id as usize;
    let body = match decl.id {
        CallbackId::on_context_create => format!(
            "(if (local.get 1)
                (then (drop (call $at (i32.const {phase}) (i32.const 0) (i32.const 0))))
                (else (call $starting (i32.const {phase}))))"
        ),
        CallbackId::on_vm_start | CallbackId::on_configure | CallbackId::validate_configuration => {
            format!("(call $starting (i32.const {phase})) (i32.const 1)")
        }
        CallbackId::on_request_headers | CallbackId::on_request_headers_0_1_0 => {
            format!("(call $request_headers (i32.const {phase}) (local.get 0))")
        }
        CallbackId::on_new_connection => {
            format!("(call $claim (local.get 0)) (call $at (i32.const {phase}) (local.get 0) (i32.const 0))")
        }
        CallbackId::on_done => format!("(call $at (i32.const {phase}) (local.get 0) (global.get $done))"),
        id => {
            let context = if belongs_to_a_stream(id) { "(local.get 0)" } else { "(i32.const 0)" };
            let call = format!("(call $at (i32.const {phase}) {context} (i32.const 0))");
            if decl.results.is_empty() { format!("(drop {call})") } else { call }
        }
    };
    let (export, params, results) = (decl.export, types(decl.params), types(decl.results));
    format!("(func (export \"{export}\") (param{params}) (result{results}) {body})\n")
}

/// Returns whether a callback's first parameter is a stream. Those of callouts, queues and ticks are roots.
pub(crate) fn belongs_to_a_stream(id: CallbackId) -> bool {
    use CallbackId as Id;
    matches!(
        id,
        Id::on_new_connection
            | Id::on_downstream_data
            | Id::on_upstream_data
            | Id::on_downstream_connection_close
            | Id::on_upstream_connection_close
            | Id::on_request_headers
            | Id::on_request_headers_0_1_0
            | Id::on_request_body
            | Id::on_request_trailers
            | Id::on_request_metadata
            | Id::on_response_headers
            | Id::on_response_headers_0_1_0
            | Id::on_response_body
            | Id::on_response_trailers
            | Id::on_response_metadata
            | Id::on_done
            | Id::on_log
            | Id::on_delete
    )
}

#[cfg(test)]
mod tests {
    use portcullis_core::module::Bytecode;

    use super::*;

    #[test]
    fn each_version_of_the_probe_is_a_module_that_hosts_load() {
        for &abi in AbiVersion::ALL {
            let wasm = Probe::new(abi).wasm().unwrap_or_else(|error| panic!("{abi}: {error}"));
            let bytecode = Bytecode::judge(&wasm).unwrap_or_else(|error| panic!("{abi}: {error}"));
            assert_eq!(bytecode.abi, abi);
        }
    }
}
