//! Guests that call hostcalls one after another, with arguments that matter, and report each result.

mod argument;

use std::fmt::Write;

use portcullis::abi::{AbiVersion, CALLBACKS, CallbackId, HOSTCALLS, HostcallId, ValType};
use proptest::prelude::*;
use proptest::sample::Index;

use super::traced::DIGEST;
use crate::engine::prelude;
use argument::{Choice, DATA};

/// The code of a guest.
#[derive(Clone, Debug)]
pub struct Script {
    abi: AbiVersion,
    malloc: Malloc,
    /// Whether hostcalls and callbacks run in a start section, too.
    early: Vec<Call>,
    callbacks: Vec<(CallbackId, Vec<Call>, i32)>,
}

/// One hostcall.
#[derive(Clone, Debug)]
struct Call {
    hostcall: Index,
    arguments: Vec<Choice>,
}

#[derive(Clone, Copy, Debug)]
enum Malloc {
    Honest,
    Null,
    /// Answers the last bytes of memory.
    AtTheEnd,
    Beyond,
    Grows,
    Traps,
    /// Calls what an allocator may not.
    NotCallable,
    Calls,
}

/// Returns any script.
pub fn scripts() -> impl Strategy<Value = Script> {
    let abi = prop::sample::select(AbiVersion::ALL.to_vec());
    let malloc = prop_oneof![
        8 => Just(Malloc::Honest),
        1 => Just(Malloc::Null),
        1 => Just(Malloc::AtTheEnd),
        1 => Just(Malloc::Beyond),
        2 => Just(Malloc::Grows),
        1 => Just(Malloc::Traps),
        1 => Just(Malloc::NotCallable),
        2 => Just(Malloc::Calls),
    ];
    let call = || {
        (any::<Index>(), prop::collection::vec(argument::choices(), 12))
            .prop_map(|(hostcall, arguments)| Call { hostcall, arguments })
    };
    // Start functions fail at most hostcalls, so few guests have them.
    let callbacks: Vec<_> = CALLBACKS.iter().map(|decl| decl.id).filter(|id| !id.is_start_function()).collect();
    let body = (prop::collection::vec(call(), 0..6), prop_oneof![4 => Just(0), 2 => Just(1), 1 => any::<i32>()]);
    let callbacks = prop::collection::vec((prop::sample::select(callbacks), body), 4..16);
    let early = prop_oneof![5 => Just(Vec::new()), 1 => prop::collection::vec(call(), 1..3)];
    (abi, malloc, early, callbacks).prop_map(|(abi, malloc, early, callbacks)| Script {
        abi,
        malloc,
        early,
        callbacks: callbacks.into_iter().map(|(id, (calls, result))| (id, calls, result)).collect(),
    })
}

impl Script {
    /// Returns the hostcalls that it calls.
    pub fn hostcalls(&self) -> Vec<HostcallId> {
        let calls = self.callbacks.iter().flat_map(|(_, calls, _)| calls).chain(&self.early);
        let mut ids: Vec<_> = calls.map(|call| call.id(self.abi)).collect();
        if matches!(self.malloc, Malloc::NotCallable) {
            ids.push(HostcallId::proxy_done);
        }
        ids.sort_by_key(|id| *id as usize);
        ids.dedup();
        ids
    }

    /// Returns the module.
    ///
    /// # Errors
    /// The text is no module: a defect of this generator.
    pub fn wasm(&self) -> Result<Vec<u8>, wat::Error> {
        let marker = self.abi.marker();
        let malloc = self.malloc.body();
        let mut text = format!(
            r#"(func (export "{marker}")) (global $next (mut i32) (i32.const 8192))
            (func (export "malloc") (param i32) (result i32) {malloc})
            (func (export "{DIGEST}") (param i32 i32)
                (drop (call $proxy_log (i32.const 0) (i32.const 0) (i32.mul (memory.size) (i32.const 65536)))))
            "#
        );
        for (at, bytes) in DATA {
            let _ = writeln!(text, "(data (i32.const {at}) \"{bytes}\")");
        }
        if !self.early.is_empty() {
            let _ = writeln!(text, "(start $early) (func $early {})", self.body(&self.early));
        }
        let mut exported = Vec::new();
        for (id, calls, result) in &self.callbacks {
            let decl = id.decl();
            if exported.contains(&decl.export) || decl.export == DIGEST {
                continue;
            }
            exported.push(decl.export);
            let (params, results) = (" i32".repeat(decl.params.len()), " i32".repeat(decl.results.len()));
            // Plugins refuse to start with 0.
            let is_start = matches!(id, CallbackId::on_vm_start | CallbackId::on_configure);
            let result = if is_start { result | 1 } else { *result };
            let result = if decl.results.is_empty() { String::new() } else { format!("(i32.const {result})") };
            let (export, body) = (decl.export, self.body(calls));
            let _ = writeln!(text, r#"(func (export "{export}") (param{params}) (result{results}) {body} {result})"#);
        }
        wat::parse_str(prelude::module(&self.hostcalls(), &text))
    }

    fn body(&self, calls: &[Call]) -> String {
        calls.iter().map(|call| call.text(self.abi)).collect()
    }
}

impl Call {
    /// Returns any hostcall that the ABI version has.
    fn id(&self, abi: AbiVersion) -> HostcallId {
        let linked: Vec<_> = HOSTCALLS.iter().filter(|decl| !decl.id.linked_modules(abi).is_empty()).collect();
        self.hostcall.get(&linked).id
    }

    fn text(&self, abi: AbiVersion) -> String {
        let decl = self.id(abi).decl();
        let arguments = argument::values(decl.id, &self.arguments);
        let constants = decl.params.iter().zip(arguments).map(|(ty, value)| match ty {
            ValType::F64 => format!("(f64.reinterpret_i64 (i64.const {value}))"),
            _ => format!("({ty}.const {value})"),
        });
        let call = format!("(call ${} {})", decl.name, constants.collect::<String>());
        match decl.results {
            [ValType::I32] => format!("(call $report {call})\n"),
            [ValType::I64] => format!("(call $report64 {call})\n"),
            [ValType::F64] => format!("(call $report64 (i64.reinterpret_f64 {call}))\n"),
            _ => format!("{call}\n"),
        }
    }
}

impl Malloc {
    const fn body(self) -> &'static str {
        match self {
            Self::Honest => {
                "(global.get $next)
                (global.set $next (i32.add (i32.const 8192)
                    (i32.and (i32.const 16383) (i32.add (global.get $next) (local.get 0)))))"
            }
            Self::Null => "(i32.const 0)",
            Self::AtTheEnd => "(i32.sub (i32.mul (memory.size) (i32.const 65536)) (local.get 0))",
            Self::Beyond => "(i32.const -16)",
            Self::Grows => "(i32.mul (memory.grow (i32.const 1)) (i32.const 65536))",
            Self::Traps => "(i32.div_u (i32.const 1) (i32.const 0))",
            Self::NotCallable => "(call $report (call $proxy_done)) (i32.const 4096)",
            Self::Calls => "(call $report (local.get 0)) (i32.const 4096)",
        }
    }
}
