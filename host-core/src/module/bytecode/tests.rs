#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::{Bytecode, StartStyle};
use crate::abi::AbiVersion;
use crate::abi::callback::{CALLBACKS, CallbackId};
use crate::abi::hostcall::{HOSTCALLS, HostcallId};

const MEMORY: &str = r#"(memory (export "memory") 1)"#;
const MALLOC: &str = r#"(func (export "malloc") (param i32) (result i32) (local.get 0))"#;

/// A plugin of an ABI version, with these fields before the usual ones.
fn plugin(abi: AbiVersion, fields: &str) -> Vec<u8> {
    let marker = abi.marker();
    wat::parse_str(format!(r#"(module {fields} {MEMORY} (func (export "{marker}")) {MALLOC})"#)).unwrap()
}

fn refusal(wasm: &[u8]) -> String {
    Bytecode::judge(wasm).unwrap_err().to_string()
}

fn refusal_of(fields: &str) -> String {
    refusal(&plugin(AbiVersion::V0_2_1, fields))
}

fn refusal_of_module(fields: &str) -> String {
    refusal(&wat::parse_str(format!("(module {fields})")).unwrap())
}

#[test]
fn a_plugin_is_accepted() {
    let wasm = plugin(
        AbiVersion::V0_2_1,
        r#"(import "env" "proxy_log" (func (param i32 i32 i32) (result i32)))
           (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
           (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
           (import "Date" "now" (func (result f64)))
           (func (export "_initialize"))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
           (func (export "proxy_on_log") (param i32))
           (func (export "something_else") (param f32))"#,
    );
    let bytecode = Bytecode::judge(&wasm).unwrap();
    assert_eq!((bytecode.wasm, bytecode.abi, bytecode.start), (&*wasm, AbiVersion::V0_2_1, StartStyle::Initialize));
    assert_eq!((&*bytecode.memory, bytecode.allocator), ("memory", "malloc"));
    assert_eq!(bytecode.imports, [HostcallId::proxy_log, HostcallId::fd_write, HostcallId::now]);
    let callbacks = [CallbackId::initialize, CallbackId::on_request_headers, CallbackId::on_log];
    assert_eq!(bytecode.callbacks, callbacks);
}

#[test]
fn every_hostcall_and_callback_of_the_tables_is_accepted() {
    let types = |types: &[crate::abi::ValType]| types.iter().map(|t| format!(" {t}")).collect::<String>();
    for &abi in AbiVersion::ALL {
        let mut fields = String::new();
        let mut imports = 0;
        for decl in HOSTCALLS {
            for module in decl.id.linked_modules(abi) {
                let (name, params, results) = (decl.name, types(decl.params), types(decl.results));
                fields += &format!(r#"(import "{module}" "{name}" (func (param{params}) (result{results})))"#);
            }
            imports += usize::from(!decl.id.linked_modules(abi).is_empty());
        }
        let mut callbacks = Vec::new();
        for decl in
            CALLBACKS.iter().filter(|decl| decl.id.is_start_function() || (decl.since..=decl.until).contains(&abi))
        {
            if matches!(decl.id, CallbackId::start | CallbackId::main_void) {
                continue; // never called beside the others
            }
            let (name, params, results) = (decl.export, types(decl.params), types(decl.results));
            fields += &format!(r#"(func (export "{name}") (param{params}) (result{results}) unreachable)"#);
            callbacks.push(decl.id);
        }
        let wasm = plugin(abi, &fields);
        let bytecode = Bytecode::judge(&wasm).unwrap();
        assert_eq!((bytecode.abi, bytecode.imports.len(), bytecode.callbacks), (abi, imports, callbacks));
    }
}

#[test]
fn a_marker_is_a_function_of_any_type() {
    let global = r#"(global (export "proxy_abi_version_0_2_0") i32 (i32.const 0))"#;
    assert_eq!(Bytecode::judge(&plugin(AbiVersion::V0_1_0, global)).unwrap().abi, AbiVersion::V0_1_0);
    let marker = r#"(func (export "proxy_abi_version_0_1_0") (param i64) (result i64) (local.get 0))"#;
    let wasm = wat::parse_str(format!("(module {MEMORY} {marker} {MALLOC})")).unwrap();
    assert_eq!(Bytecode::judge(&wasm).unwrap().abi, AbiVersion::V0_1_0);
}

#[test]
fn two_markers_contradict_each_other() {
    assert_eq!(
        refusal_of(r#"(func (export "proxy_abi_version_0_2_0")) (func (export "proxy_abi_version_0_1_0"))"#),
        "the module exports two ABI markers, proxy_abi_version_0_2_0 and proxy_abi_version_0_1_0; one must say \
         which ABI it was built for"
    );
    // A version that this host does not know says that the plugin runs there, too.
    let newer = plugin(AbiVersion::V0_2_1, r#"(func (export "proxy_abi_version_0_3_0"))"#);
    assert_eq!(Bytecode::judge(&newer).unwrap().abi, AbiVersion::V0_2_1);
}

#[test]
fn header_callbacks_have_the_shape_that_they_are_exported_in() {
    for &abi in AbiVersion::ALL {
        for (params, id) in
            [("i32 i32", CallbackId::on_request_headers_0_1_0), ("i32 i32 i32", CallbackId::on_request_headers)]
        {
            let callback =
                format!(r#"(func (export "proxy_on_request_headers") (param {params}) (result i32) (i32.const 0))"#);
            assert_eq!(Bytecode::judge(&plugin(abi, &callback)).unwrap().callbacks, [id]);
        }
    }
}

#[test]
fn memory_is_the_export_of_that_name_or_else_the_first() {
    let other = wat::parse_str(format!(
        r#"(module (memory (export "other") (export "third") 2)
             (func (export "memory")) (func (export "proxy_abi_version_0_2_0")) {MALLOC})"#
    ));
    let other = other.unwrap();
    assert_eq!(Bytecode::judge(&other).unwrap().memory, "other");
    let both = plugin(AbiVersion::V0_2_1, r#"(export "another" (memory 0))"#);
    assert_eq!(Bytecode::judge(&both).unwrap().memory, "memory");
}

#[test]
fn start_functions_that_are_never_called_may_have_any_type() {
    let start = r#"(func (export "_start")) (func (export "main") (param i64))"#;
    let wasm = plugin(AbiVersion::V0_2_1, start);
    let bytecode = Bytecode::judge(&wasm).unwrap();
    assert_eq!((bytecode.start, bytecode.callbacks), (StartStyle::Start, vec![CallbackId::start]));
    let initialize = format!(r#"{start} (func (export "_initialize"))"#);
    assert_eq!(refusal_of(&initialize), "exports main as (i64) -> (), but it is (i32, i32) -> i32");
    assert_eq!(Bytecode::judge(&plugin(AbiVersion::V0_2_1, "")).unwrap().start, StartStyle::Neither);
}

#[test]
fn what_is_no_module_is_named() {
    let cases: [(&[u8], &str); 7] = [
        (b"", "it is empty"),
        (b"\0asm", "it ends after 4 bytes"),
        (b" (module)", "it is WebAssembly text; translate it with wat2wasm or wasm-tools parse"),
        (b"\x1f\x8b\x08\0", "it is compressed with gzip"),
        (b"<!DOCTYPE html>\n<html>", r#"it starts with "<!DOCTYPE html>\n" instead of "\x00asm\x01\x00\x00\x00""#),
        (b"\0asm\x02\0\0\0", r#"it starts with "\x00asm\x02\x00\x00\x00" instead of "\x00asm\x01\x00\x00\x00""#),
        (b"\x7fELF", r#"it starts with "\x7fELF" instead of "\x00asm\x01\x00\x00\x00""#),
    ];
    for (bytes, reason) in cases {
        assert_eq!(refusal(bytes), format!("not a WebAssembly module: {reason}"));
    }
    assert_eq!(
        refusal(b"\0asm\x0d\0\x01\0"),
        "a WebAssembly component, but plugins are modules; build it for wasm32-wasip1 rather than wasm32-wasip2"
    );
}

#[test]
fn missing_parts_are_named() {
    assert_eq!(
        refusal_of_module(&format!("{MEMORY} {MALLOC}")),
        "the module has no ABI marker: it exports none of proxy_abi_version_0_1_0, proxy_abi_version_0_2_0 and \
         proxy_abi_version_0_2_1; is it a Proxy-Wasm plugin?"
    );
    assert_eq!(
        refusal_of_module(r#"(func (export "proxy_abi_version_0_3_0"))"#),
        "the module exports the ABI marker proxy_abi_version_0_3_0, but this host runs none but \
         proxy_abi_version_0_1_0, proxy_abi_version_0_2_0 and proxy_abi_version_0_2_1"
    );
    assert_eq!(
        refusal_of_module(&format!(r#"(memory 1) (func (export "proxy_abi_version_0_2_1")) {MALLOC}"#)),
        "exports no memory; the host must reach the plugin's memory, usually as the export \"memory\""
    );
    assert_eq!(
        refusal_of_module(&format!(r#"{MEMORY} (func (export "proxy_abi_version_0_2_1"))"#)),
        "exports no allocator: neither malloc nor proxy_on_memory_allocate, both (i32) -> i32"
    );
}

#[test]
fn the_allocator_is_malloc_first() {
    let both = r#"(func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 0))"#;
    assert_eq!(Bytecode::judge(&plugin(AbiVersion::V0_2_1, both)).unwrap().allocator, "malloc");
    let module = |fields: &str| {
        wat::parse_str(format!(r#"(module {MEMORY} (func (export "proxy_abi_version_0_2_1")) {fields})"#)).unwrap()
    };
    assert_eq!(Bytecode::judge(&module(both)).unwrap().allocator, "proxy_on_memory_allocate");
    assert_eq!(
        refusal(&module(&format!(r#"(func (export "malloc") (param i64) (result i32) (i32.const 0)) {both}"#))),
        "exports malloc as (i64) -> i32, but it is (i32) -> i32"
    );
}

#[test]
fn imports_must_be_hostcalls_of_the_abi() {
    let cases = [
        (
            r#""env" "proxy_logg" (func)"#,
            "imports env.proxy_logg, which no ABI version has; did you mean env.proxy_log?",
        ),
        (
            r#""env" "fd_write" (func)"#,
            "imports env.fd_write, which no ABI version has; did you mean wasi_snapshot_preview1.fd_write?",
        ),
        (r#""wbg" "__wbindgen_throw" (func)"#, "imports wbg.__wbindgen_throw, which no ABI version has"),
        (r#""env" "bad\n\1bname" (func)"#, r"imports env.bad\n\u{1b}name, which no ABI version has"),
        (
            r#""env" "proxy_log" (func (param i32) (result i32))"#,
            "imports env.proxy_log as (i32) -> i32, but it is (i32, i32, i32) -> i32",
        ),
        (
            r#""env" "proxy_increment_metric" (func (param i32 f32) (result i32 v128))"#,
            "imports env.proxy_increment_metric as (i32, f32) -> (i32, v128), but it is (i32, i64) -> i32",
        ),
        (
            r#""env" "proxy_get_configuration" (func)"#,
            "imports env.proxy_get_configuration, which ABI 0.2.1 does not have (0.1.0 does)",
        ),
        (r#""env" "g" (global i32)"#, "imports the global env.g, but a plugin may import functions alone"),
        (r#""env" "m" (memory 1)"#, "imports the memory env.m, but a plugin may import functions alone"),
        (r#""env" "m" (memory 1 1 shared)"#, "imports the memory env.m, but a plugin may import functions alone"),
        (r#""env" "t" (table 1 funcref)"#, "imports the table env.t, but a plugin may import functions alone"),
        (r#""env" "e" (tag)"#, "imports the tag env.e, but a plugin may import functions alone"),
    ];
    for (import, message) in cases {
        assert_eq!(refusal_of(&format!("(import {import})")), message);
    }
    let wasm = plugin(AbiVersion::V0_1_0, r#"(import "env" "proxy_continue_stream" (func (param i32) (result i32)))"#);
    assert_eq!(refusal(&wasm), "imports env.proxy_continue_stream, which ABI 0.1.0 does not have (0.2.0 to 0.2.1 do)");
}

#[test]
fn callbacks_must_have_a_type_of_the_abi() {
    assert_eq!(
        refusal_of(r#"(func (export "proxy_on_request_headers") (param i32))"#),
        "exports proxy_on_request_headers as (i32) -> (), but it is (i32, i32, i32) -> i32 or (i32, i32) -> i32"
    );
    assert_eq!(
        refusal_of(r#"(func (export "proxy_on_tick"))"#),
        "exports proxy_on_tick as () -> (), but it is (i32) -> ()"
    );
    let global = plugin(AbiVersion::V0_2_1, r#"(global (export "proxy_on_tick") i32 (i32.const 0))"#);
    assert!(Bytecode::judge(&global).unwrap().callbacks.is_empty());
}

#[test]
fn what_some_engine_lacks_is_refused() {
    assert_eq!(refusal_of_module(r#"(memory 1 1 shared)"#), "has a shared memory; build the plugin without threads");
    assert_eq!(refusal_of_module(r#"(memory i64 1)"#), "has a 64-bit memory; build the plugin for wasm32");
    assert_eq!(refusal_of("(memory 1)"), "has more than one memory, but plugins have one");
    for (fields, proposal) in [
        ("(func $f (return_call $f))", "tail calls"),
        ("(func (result i32) (i32.atomic.rmw.add (i32.const 0) (i32.const 0)))", "threads"),
        ("(func (param v128) (result v128) (i32x4.relaxed_trunc_f32x4_s (local.get 0)))", "relaxed SIMD"),
        ("(table i64 1 funcref)", "64-bit tables"),
        ("(func (param i64 i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 1)))", "wide arithmetic"),
        ("(func (param externref))", "references to host objects (externref)"),
        ("(func (param (ref null func)) (br_on_null 0 (local.get 0)) drop)", "typed function references"),
        ("(type $t (func)) (func (param (ref $t)) (call_ref $t (local.get 0)))", "typed function references"),
        ("(tag)", "exceptions"),
        ("(func try end)", "exceptions"),
        ("(func (throw_ref (unreachable)))", "exceptions"),
        ("(type (struct))", "garbage collection"),
        ("(type (array i8))", "garbage collection"),
        ("(func (result i31ref) (ref.i31 (i32.const 0)))", "garbage collection"),
        ("(type $t (func)) (type (cont $t))", "stack switching"),
    ] {
        let message = refusal_of(fields);
        let (found, place) = message.split_once(" (at byte 0x").unwrap_or((&message, ""));
        let expected = format!("uses {proposal}, which not every engine has; build the plugin for WebAssembly 2.0");
        assert_eq!(found, expected, "{fields}");
        assert!(place.ends_with(')'), "{message}");
    }
    assert_eq!(
        refusal_of_module("(memory 1 (pagesize 1))"),
        "uses custom page sizes, which not every engine has; build the plugin for WebAssembly 2.0 (at byte 0xb)"
    );
    assert_eq!(
        refusal_of("(func $f (return_call $f))"),
        "uses tail calls, which not every engine has; build the plugin for WebAssembly 2.0 (at byte 0x52)"
    );
}

#[test]
fn what_all_engines_have_is_accepted() {
    for fields in [
        "(func (result i32 i64) (i32.const 0) (i64.const 0))",
        "(func (result i32) (i32.extend8_s (i32.trunc_sat_f32_s (f32.const 1))))",
        "(func (memory.fill (i32.const 0) (i32.const 0) (i32.const 1)))",
        "(table 1 funcref) (elem declare func 0) (func (table.set (i32.const 0) (ref.func 0)))",
        r#"(global (mut i32) (i32.add (i32.const 1) (i32.const 2))) (export "g" (global 0))"#,
        "(start 0)",
    ] {
        assert!(Bytecode::judge(&plugin(AbiVersion::V0_2_1, fields)).is_ok(), "{fields}");
    }
}

#[test]
fn invalid_code_is_refused_with_its_place() {
    assert_eq!(
        refusal_of("(func (result i32))"),
        "not valid WebAssembly 2.0: type mismatch: expected i32 but nothing on stack (at byte 0x56)"
    );
}

/// A `br_table` with so many targets besides its default.
fn br_table(targets: usize) -> String {
    format!("(br_table {}0 (i32.const 0))", "0 ".repeat(targets))
}

#[test]
fn a_br_table_is_held_to_what_every_engine_takes() {
    const MOST: usize = 65_520;
    let is_accepted = |fields: &str| Bytecode::judge(&plugin(AbiVersion::V0_2_1, fields)).is_ok();
    assert!(is_accepted(&format!("(func {})", br_table(MOST))));
    assert_eq!(
        refusal_of(&format!("(func {})", br_table(MOST + 1))),
        "function 0 has 65521 targets in a br_table, but not every engine takes more than 65520; split the function (at \
         byte 0x58)"
    );
    // Engines read code that cannot be reached all the same.
    assert!(refusal_of(&format!("(func unreachable {})", br_table(MOST + 1))).contains("65521 targets"));
    // Tables are not added up, and other instructions may have a table's bytes.
    let constant = "(drop (v128.const i8x16 14 14 255 255 255 255 14 14 14 14 14 14 14 14 14 14))";
    assert!(is_accepted(&format!("(func (block {}) {constant} {})", br_table(MOST), br_table(MOST))));
}

#[test]
fn offsets_of_stores_of_lanes_are_held_to_what_every_engine_takes() {
    let store = |instruction: &str, offset: u32, rest: &str| {
        format!("(func (local v128) {rest} ({instruction} offset={offset} 1 (i32.const 0) (local.get 0)))")
    };
    let is_accepted = |fields: &str| Bytecode::judge(&plugin(AbiVersion::V0_2_1, fields)).is_ok();
    for instruction in ["v128.store8_lane", "v128.store16_lane"] {
        assert!(is_accepted(&store(instruction, 65_535, "")), "{instruction}");
        assert_eq!(
            refusal_of(&store(instruction, 65_536, "")),
            format!(
                "function 0 has {instruction} with an offset of 65536, but not every engine takes more than 65535; add the \
                 offset to the address, or build the plugin without SIMD (at byte 0x58)"
            )
        );
        // Also where it cannot be reached, and in a function whose other bounds are counted.
        assert!(refusal_of(&store(instruction, u32::MAX, "unreachable")).contains("4294967295"), "{instruction}");
        assert!(refusal_of(&store(instruction, 65_536, &"nop ".repeat(70_000))).contains("65536"), "{instruction}");
    }
    assert!(is_accepted(&store("v128.store32_lane", u32::MAX, "")));
    // Other instructions may have the bytes of one.
    assert!(is_accepted("(func (drop (v128.const i8x16 0xfd 0x58 0 0xff 0xff 0x7f 0 0 0 0 0 0 0 0 0 0)))"));
}

#[test]
fn functions_are_held_to_what_every_engine_takes() {
    let is_accepted = |fields: &str| Bytecode::judge(&plugin(AbiVersion::V0_2_1, fields)).is_ok();
    let locals = |count: usize, ty: &str| format!("(func (local{}))", format!(" {ty}").repeat(count));
    assert!(is_accepted(&locals(30_000, "i32")));
    assert_eq!(
        refusal_of(&locals(30_001, "i32")),
        "function 0 has 30001 parameters and locals, but not every engine takes more than 30000; split the function \
         (at byte 0x51)"
    );
    let with_parameter = locals(30_000, "i32").replace("(func ", "(func (param i32) ");
    assert!(refusal_of(&with_parameter).contains("30001 parameters and locals"));
    assert!(is_accepted(&locals(21_845, "v128")));
    assert!(refusal_of(&locals(21_846, "v128")).contains("65538 places for locals and operands"));
    let operands = |count: usize| format!("(func {} {})", "i32.const 0 ".repeat(count), "drop ".repeat(count));
    assert!(is_accepted(&operands(32_767)));
    assert!(refusal_of(&operands(32_768)).contains("65536 places for locals and operands"));
    // What other functions have does not count.
    assert!(is_accepted(&format!("{} {} {}", operands(32_767), locals(30_000, "i64"), operands(32_767))));
}

#[test]
fn modules_are_held_to_what_every_engine_takes() {
    let is_accepted = |fields: &str| Bytecode::judge(&plugin(AbiVersion::V0_2_1, fields)).is_ok();
    let import = r#"(import "env" "proxy_done" (func (result i32)))"#;
    for (fields, most, what) in [
        ("(type (func))", 100_000, "types"),
        (import, 100_000, "imports"),
        ("(global i32 (i32.const 0))", 100_000, "globals"),
        ("(table 0 funcref)", 4, "tables"),
    ] {
        let more = refusal_of(&fields.repeat(most + 1));
        assert!(more.starts_with("has ") && more.contains(what), "{more}");
        assert!(more.contains(&format!(", but not every engine takes more than {most}; make do with fewer")), "{more}");
    }
    assert!(is_accepted(&"(table 1048576 134217728 funcref)".repeat(4)));
    assert_eq!(
        refusal_of("(table 1048577 funcref)"),
        "has 1048577 elements in a table, but not every engine takes more than 1048576; make do with fewer, or split the \
         plugin"
    );
    assert_eq!(
        refusal_of("(table 1 134217729 funcref)"),
        "has 134217729 elements as the most of a table, but not every engine takes more than 134217728; make do with \
         fewer, or split the plugin"
    );
}

#[test]
fn names_in_messages_are_short() {
    let long = "x".repeat(90_000);
    assert!(refusal_of(&format!(r#"(import "env" "{long}" (func))"#)).len() < 300);
    let params = "i32 ".repeat(900);
    assert!(refusal_of(&format!(r#"(func (export "proxy_on_tick") (param {params}))"#)).len() < 300);
}

/// A module with a section of nearly every kind.
fn sample() -> Vec<u8> {
    plugin(
        AbiVersion::V0_2_0,
        r#"(import "env" "proxy_log" (func (param i32 i32 i32) (result i32)))
           (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
           (table 2 funcref) (elem (i32.const 0) 0)
           (global (mut i32) (i32.const 4)) (data (i32.const 8) "hello") (start 2)
           (func (drop (call 0 (i32.const 2) (i32.const 8) (i32.const 5))))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local i64)
             (block (br_if 0 (local.get 0)) (loop (br_if 0 (i32.const 0)))) (i32.const 0))"#,
    )
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Bytecode::judge(&bytes);
        let module = [b"\0asm\x01\0\0\0", &*bytes].concat();
        let _ = Bytecode::judge(&module);
    }

    #[test]
    fn no_damage_to_a_plugin_makes_it_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        is_cut: bool,
    ) {
        let mut wasm = sample();
        for (at, byte) in damage {
            let at = at.index(wasm.len());
            wasm[at] ^= byte;
        }
        if is_cut {
            wasm.truncate(cut.index(wasm.len()));
        }
        let _ = Bytecode::judge(&wasm);
    }
}

#[test]
fn a_plugin_cut_short_or_with_one_bit_turned_is_judged() {
    let wasm = sample();
    assert!(Bytecode::judge(&wasm).is_ok());
    for len in 0..wasm.len() {
        let _ = Bytecode::judge(&wasm[..len]);
        for bit in 0..8 {
            let mut turned = wasm.clone();
            turned[len] ^= 1 << bit;
            let _ = Bytecode::judge(&turned);
        }
    }
}

#[test]
fn every_import_that_is_refused_is_named_up_to_a_limit() {
    let wasm = plugin(
        AbiVersion::V0_2_1,
        r#"(import "env" "proxy_lg" (func (param i32 i32 i32) (result i32)))
           (import "env" "proxy_log" (func (param i32 i32 i32) (result i32)))
           (import "env" "proxy_clear_route_cache" (func (result i32)))
           (import "wasi_nn" "load" (func))"#,
    );
    let refused: Vec<_> = Bytecode::refused_imports(&wasm, 9).iter().map(ToString::to_string).collect();
    assert_eq!(refused.len(), 3);
    assert_eq!(refused[0], refusal(&wasm), "the first is the verdict");
    assert!(refused[1].contains("ABI 0.2.1 does not have") && refused[2].contains("wasi_nn.load"), "{refused:?}");
    assert_eq!(Bytecode::refused_imports(&wasm, 2).len(), 2);
    assert!(Bytecode::refused_imports(b"no module", 9).is_empty());
}
