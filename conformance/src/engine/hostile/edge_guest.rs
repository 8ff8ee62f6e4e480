//! The guest that calls one hostcall with one bad argument after the other.
//!
//! Its memory has two pages, filled with one byte but for what the hostcall is to read. What lies outside the places
//! that the hostcall may write is summed up before the calls and behind them.

use std::fmt::Write;

use portcullis::abi::{HostcallId, ValType};

use super::arguments;
use super::parameters::{self, Role};
use crate::engine::prelude;

/// Bytes of the guest's memory.
pub(super) const SIZE: u64 = 2 << 16;
/// Where what is read begins; each parameter has 256 bytes.
const INPUTS: u64 = 2048;
/// Where what is written goes, 256 bytes for each parameter.
const OUTPUTS: u64 = 8192;
/// The address that the allocator returns, whatever it is asked for.
pub(super) const ALLOCATED: u64 = 16384;
const ALLOCATION: u64 = 4096;
/// Bytes that a hostcall may write at address 0: the longest structure is a `filestat`.
const STRUCTURE: u64 = 64;
/// Bytes that it may write into a buffer at address 0 that is as long as memory: the names in a directory are the most.
const BUFFER: u64 = 256;
/// Where the one vector leads.
const VECTOR: (u64, u64) = (0x600, 0x608);
/// Where the guest's helper puts a number that it reports.
const REPORT: (u64, u64) = (512, 520);

const POINTERS: [u64; 6] = [0, SIZE - 1, SIZE, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
const LENGTHS: [u64; 5] = [0, 1, SIZE, 0x7fff_ffff, 0xffff_ffff];
const NUMBERS: [i64; 8] = [0, 1, -1, i32::MAX as i64, i32::MIN as i64, i64::MAX, i64::MIN, SIZE as i64];

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// The arguments; those of floating-point parameters are not used.
    pub(super) arguments: Vec<i64>,
    /// Whether one of them leads beyond memory, so that no host can do what is asked.
    pub(super) is_outside: bool,
}

/// Returns calls of a hostcall: the first does what it is for. The others have one bad argument, or an address and its length, or all
/// addresses alike. Those that may change something come last.
pub(super) fn calls(hostcall: HostcallId, with_directory: bool) -> Vec<Call> {
    let parameters = parameters::of(hostcall);
    let good = good_arguments(hostcall, with_directory);
    let mut calls = vec![Call { arguments: good.clone(), is_outside: false }];
    let mut with = |changes: &[(usize, i64)]| {
        let mut arguments = good.clone();
        changes.iter().for_each(|(index, value)| arguments[*index] = *value);
        let is_outside = (0..arguments.len()).any(|index| leads_outside(&parameters, &arguments, index));
        calls.push(Call { arguments, is_outside });
    };
    for (index, (_, role)) in parameters.iter().enumerate() {
        match role {
            Role::Input { .. } | Role::Buffer => {
                for pointer in POINTERS.iter().map(|at| at.cast_signed()).chain([good[index]]) {
                    for len in LENGTHS.iter().map(|len| len.cast_signed()).chain([good[index + 1]]) {
                        with(&[(index, pointer), (index + 1, len)]);
                    }
                }
            }
            Role::Pointer { .. } => POINTERS.iter().for_each(|at| with(&[(index, at.cast_signed())])),
            Role::Length | Role::Number => {}
        }
    }
    let is_pointer = |role: &Role| matches!(role, Role::Input { .. } | Role::Buffer | Role::Pointer { .. });
    let pointers: Vec<_> = (0..parameters.len()).filter(|index| is_pointer(&parameters[*index].1)).collect();
    for at in POINTERS {
        with(&pointers.iter().map(|index| (*index, at.cast_signed())).collect::<Vec<_>>());
    }
    for (index, (_, role)) in parameters.iter().enumerate() {
        if *role == Role::Number {
            NUMBERS.iter().for_each(|number| with(&[(index, *number)]));
        }
    }
    calls
}

/// Returns the module: in the headers of a request it makes the calls, reports each answer, and whether its memory is as it was.
pub(super) fn module(hostcall: HostcallId, with_directory: bool, calls: &[Call]) -> String {
    let lead = arguments::lead(hostcall).1;
    let Prepared { imports, data, mut code } = prepared(hostcall, with_directory);
    code.push_str("(local.set $before (call $sum))");
    for call in calls {
        let text = call_text(hostcall, &call.arguments);
        let _ = match hostcall.decl().results {
            [] => write!(code, "{lead} {text} (call $report (i32.const 0))"),
            _ => write!(code, "{lead} (call $report {text})"),
        };
    }
    code.push_str("(call $report (i64.ne (local.get $before) (call $sum)))");
    let sum = sum(&kept(&parameters::of(hostcall)));
    let allocator = format!("(i32.const {ALLOCATED})");
    whole(hostcall, &imports, &allocator, &format!("{data} {sum}"), &code)
}

/// Returns the module of a guest with another allocator, which makes the good call and tells of what it is handed.
pub(super) fn allocating(hostcall: HostcallId, allocator: &str) -> String {
    let Prepared { imports, data, mut code } = prepared(hostcall, false);
    let index = parameters::of(hostcall).iter().position(|(name, _)| *name == "ret_ptr").unwrap_or_default();
    let (address, len) = (output(index), output(index + 1));
    let _ = write!(
        code,
        "(local.set $before (i64.extend_i32_u {call}))
         (call $report (i32.wrap_i64 (local.get $before)))
         (call $report (i32.load (i32.const {address})))
         (call $report (i32.load (i32.const {len})))
         (if (i64.eqz (local.get $before))
            (then (call $dump (i32.load (i32.const {address})) (i32.load (i32.const {len})))))",
        call = good_call(hostcall)
    );
    whole(hostcall, &imports, allocator, &data, &code)
}

/// Returns the call that does what the hostcall is for.
pub(super) fn good_call(hostcall: HostcallId) -> String {
    call_text(hostcall, &good_arguments(hostcall, false))
}

/// Returns where a parameter has its answer written.
pub(super) const fn output(index: usize) -> u64 {
    OUTPUTS + index as u64 * 256
}

/// Imports, data and preparations of a guest before its calls.
struct Prepared {
    imports: Vec<HostcallId>,
    data: String,
    code: String,
}

fn prepared(hostcall: HostcallId, with_directory: bool) -> Prepared {
    let (hostcalls, lead) = arguments::lead(hostcall);
    let mut imports = [&[hostcall], hostcalls].concat();
    if with_directory && hostcall != HostcallId::path_open {
        imports.push(HostcallId::path_open);
    }
    let mut data = String::from(r#"(data $words "some\00\00\00\00\ff\ff\ff\ffauth")"#);
    let mut code = format!(
        "(memory.fill (i32.const 0) (i32.const 0xa5) (i32.const {SIZE}))
         (memory.init $words (i32.const 1600) (i32.const 0) (i32.const 16))"
    );
    for (index, (name, role)) in parameters::of(hostcall).iter().enumerate() {
        if matches!(role, Role::Input { .. } | Role::Pointer { written: false }) {
            put_input(&mut data, &mut code, index, arguments::bytes(hostcall, name));
        }
    }
    if with_directory {
        code.push_str(
            "(drop (call $path_open (i32.const 3) (i32.const 0) (i32.const 1600) (i32.const 4)
                (i32.const 0) (i64.const 0xfffffff) (i64.const 0) (i32.const 0) (i32.const 1608)))",
        );
    }
    // What the lead writes, it has written.
    code.push_str(lead);
    Prepared { imports, data, code }
}

fn whole(hostcall: HostcallId, imports: &[HostcallId], allocator: &str, fields: &str, code: &str) -> String {
    let marker = hostcall.decl().until.marker();
    prelude::module(
        imports,
        &format!(
            r#"(memory (export "memory") 2 512) (func (export "{marker}")) {fields}
            (func (export "malloc") (param i32) (result i32) {allocator})
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local $before i64)
                {code} (i32.const 0))"#
        ),
    )
}

fn good_arguments(hostcall: HostcallId, with_directory: bool) -> Vec<i64> {
    let parameters = parameters::of(hostcall);
    (0..parameters.len()).map(|index| good(hostcall, &parameters, index, with_directory)).collect()
}

fn good(hostcall: HostcallId, parameters: &[(&str, Role)], index: usize, with_directory: bool) -> i64 {
    let (name, role) = parameters[index];
    let place = index as u64 * 256;
    match role {
        Role::Input { .. } | Role::Pointer { written: false } => (INPUTS + place + 4).cast_signed(),
        Role::Buffer | Role::Pointer { written: true } => output(index).cast_signed(),
        Role::Length => match parameters[index - 1] {
            (of, Role::Input { unit }) => (arguments::bytes(hostcall, of).len() as u64 / unit).cast_signed(),
            _ => 8,
        },
        Role::Number => arguments::number(hostcall, name, with_directory),
    }
}

fn leads_outside(parameters: &[(&str, Role)], arguments: &[i64], index: usize) -> bool {
    let word = |index: usize| arguments[index].cast_unsigned() & 0xffff_ffff;
    match parameters[index].1 {
        Role::Input { unit } => word(index) + unit * word(index + 1) > SIZE,
        Role::Buffer => word(index) + word(index + 1) > SIZE,
        Role::Pointer { .. } => word(index) + 4 > SIZE,
        Role::Length | Role::Number => false,
    }
}

/// Adds an input with its length before the bytes, as in a string of AssemblyScript.
fn put_input(data: &mut String, code: &mut String, index: usize, bytes: &[u8]) {
    let text: String = [&[4, 0, 0, 0], bytes].concat().iter().map(|byte| format!("\\{byte:02x}")).collect();
    let _ = write!(data, r#"(data $input{index} "{text}")"#);
    let (at, len) = (INPUTS + index as u64 * 256, bytes.len() + 4);
    let _ = write!(code, "(memory.init $input{index} (i32.const {at}) (i32.const 0) (i32.const {len}))");
}

fn call_text(hostcall: HostcallId, arguments: &[i64]) -> String {
    let argument = |(ty, value): (&ValType, &i64)| match ty {
        ValType::I32 => format!(" (i32.const {})", u32::try_from(value & 0xffff_ffff).unwrap_or(0)),
        ValType::I64 => format!(" (i64.const {value})"),
        ValType::F64 => " (f64.const 1.5)".to_owned(),
    };
    let arguments: String = hostcall.decl().params.iter().zip(arguments).map(argument).collect();
    format!("(call ${hostcall}{arguments})")
}

/// Returns memory that must not change, as ranges of whole double words.
fn kept(parameters: &[(&str, Role)]) -> Vec<(u64, u64)> {
    // The lead writes here.
    let mut written = vec![REPORT, (1608, 1616)];
    for (index, (name, role)) in parameters.iter().enumerate() {
        let at = output(index);
        match (role, *name) {
            (Role::Buffer, _) => written.extend([(0, BUFFER), (at, at + BUFFER), (SIZE - 8, SIZE)]),
            (Role::Pointer { written: true }, _) => written.extend([(0, STRUCTURE), (at, at + STRUCTURE)]),
            _ => {}
        }
        match (role, *name) {
            (_, "iovs") => written.push(VECTOR),
            (_, "ret_ptr") => written.push((ALLOCATED, ALLOCATED + ALLOCATION)),
            _ => {}
        }
    }
    written.sort_unstable();
    let mut kept = Vec::new();
    let mut at = 0;
    for (from, to) in written.into_iter().chain([(SIZE, SIZE)]) {
        if at < from {
            kept.push((at, from));
        }
        at = at.max(to);
    }
    kept
}

/// Returns a function that sums up what is to be kept, in which each bit and each place counts.
fn sum(kept: &[(u64, u64)]) -> String {
    let mut code = String::new();
    for (from, to) in kept {
        let _ = write!(
            code,
            "(local.set $at (i32.const {from}))
             (loop $next
                (local.set $sum (i64.mul (i64.const 0x100000001b3)
                    (i64.xor (i64.rotl (local.get $sum) (i64.const 5)) (i64.load (local.get $at)))))
                (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const {to}))))"
        );
    }
    format!("(func $sum (result i64) (local $at i32) (local $sum i64) {code} (local.get $sum))")
}
