#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::Needs;
use crate::abi::callback::CallbackId;
use crate::abi::hostcall::HostcallId;
use crate::module::bytecode::Bytecode;
use crate::rights::Capabilities;

const PLUGIN: &str = r#"
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (import "env" "proxy_done" (func $done (result i32)))
    (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "proxy_abi_version_0_2_1"))
    (type $to_i32 (func (result i32)))"#;

const MALLOC: &str = r#"(func (export "malloc") (param i32) (result i32) (local.get 0))"#;

/// Returns what a plugin of these fields needs.
fn needs_with(allocator: &str, fields: &str) -> Needs {
    let wasm = wat::parse_str(format!("(module {PLUGIN} {allocator} {fields})")).unwrap();
    Needs::of(&Bytecode::judge(&wasm).unwrap()).unwrap()
}

/// The hostcalls that a plugin of these fields can reach.
fn reached(fields: &str) -> Vec<HostcallId> {
    needs_with(MALLOC, fields).hostcalls
}

#[test]
fn what_no_callback_leads_to_is_unreachable() {
    let needs = needs_with(
        MALLOC,
        r#"(func $a (call $b)) (func $b (drop (call $done)))
           (func (export "proxy_on_tick") (param i32) (call $a))
           (func (export "something_else") (call $exit (i32.const 0)))
           (func $dead (drop (call $log (i32.const 0) (i32.const 0) (i32.const 0))))"#,
    );
    assert_eq!(needs.hostcalls, [HostcallId::proxy_done]);
    let unreachable = [HostcallId::proxy_log, HostcallId::proxy_set_tick_period_milliseconds, HostcallId::proc_exit];
    assert_eq!(needs.unreachable, unreachable);
    assert_eq!(needs.callbacks, [CallbackId::on_tick]);
    assert_eq!(Ok(needs.capabilities()), Capabilities::from_names(["proxy_done", "proxy_on_tick"]));
}

#[test]
fn each_kind_of_root_counts() {
    for fields in [
        r#"(func (export "proxy_on_log") (param i32) (call $exit (i32.const 0)))"#,
        r#"(func $s (call $exit (i32.const 0))) (start $s)"#,
        r#"(func (export "_initialize") (call $exit (i32.const 0)))"#,
        r#"(func (export "_initialize")) (func (export "__main_void") (result i32) (call $exit (i32.const 0)) (i32.const 0))"#,
        r#"(func (export "_start") (call $exit (i32.const 0)))"#,
    ] {
        assert_eq!(reached(fields), [HostcallId::proc_exit], "{fields}");
    }
    let malloc = r#"(func (export "malloc") (param i32) (result i32) (call $exit (i32.const 0)) (i32.const 0))"#;
    assert_eq!(needs_with(malloc, "").hostcalls, [HostcallId::proc_exit]);
}

#[test]
fn what_the_host_never_calls_is_no_root() {
    // `_start` beside `_initialize`, and the allocator that is not chosen.
    let fields = r#"(func (export "_initialize")) (func (export "_start") (call $exit (i32.const 0)))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32) (drop (call $done)) (i32.const 0))"#;
    assert_eq!(reached(fields), []);
}

#[test]
fn an_exported_import_is_reached_without_code() {
    assert_eq!(reached(r#"(export "proxy_on_log" (func $exit))"#), [HostcallId::proc_exit]);
}

/// A way to `done` through a table, and one of another type to `exit`.
const TABLE: &str = r#"
    (table $t 2 funcref)
    (func $f (result i32) (call $done))
    (func $g (call $exit (i32.const 0)))"#;

const CALL: &str = r#"(func (export "proxy_on_tick") (param i32) (drop (call_indirect (type $to_i32) (i32.const 0))))"#;

#[test]
fn an_indirect_call_reaches_the_functions_of_its_type() {
    let elements = "(elem (i32.const 0) $f $g)";
    assert_eq!(reached(&format!("{TABLE} {elements} {CALL}")), [HostcallId::proxy_done]);
    assert_eq!(reached(&format!("{TABLE} {elements}")), [], "nobody calls");
    assert_eq!(reached(&format!("{TABLE} {CALL}")), [], "nothing is in the table");
    // An equal type is the same type, whatever its index.
    let call = CALL.replace("$to_i32", "$also");
    let other = "(type $between (func (param f32))) (type $also (func (result i32)))";
    assert_eq!(reached(&format!("{other} {TABLE} {elements} {call}")), [HostcallId::proxy_done]);
    // An import may stand in a table itself.
    assert_eq!(reached(&format!("{TABLE} (elem (i32.const 0) $done) {CALL}")), [HostcallId::proxy_done]);
}

#[test]
fn wherever_a_reference_comes_from_it_counts() {
    for reference in [
        "(elem (i32.const 0) funcref (ref.func $f))",
        "(elem funcref (ref.func $f))",
        "(elem func $f)",
        "(global funcref (ref.func $f))",
        // Written to the table while running.
        r#"(elem declare func $f)
           (func (export "proxy_on_log") (param i32) (table.set $t (i32.const 0) (ref.func $f)))"#,
        r#"(elem declare func $f)
           (func $later (drop (table.grow $t (ref.func $f) (i32.const 1))))
           (func (export "proxy_on_log") (param i32) (call $later))"#,
        r#"(elem (i32.const 0) $f) (export "table" (table $t))"#,
    ] {
        assert_eq!(reached(&format!("{TABLE} {reference} {CALL}")), [HostcallId::proxy_done], "{reference}");
    }
    // It permits a reference that no code makes.
    assert_eq!(reached(&format!("{TABLE} (elem declare func $f) {CALL}")), []);
    let dead = "(elem declare func $f) (func $dead (table.set $t (i32.const 0) (ref.func $f)))";
    assert_eq!(reached(&format!("{TABLE} {dead} {CALL}")), []);
}

#[test]
fn the_order_in_which_calls_and_references_are_found_is_nothing() {
    // The reference is found behind the indirect call, in what the indirect call reaches.
    let fields = r#"
        (table $t 2 funcref)
        (elem declare func $f)
        (func $f (result i32) (call $done))
        (func $maker (result i32) (table.set $t (i32.const 1) (ref.func $f)) (i32.const 0))
        (elem (i32.const 0) $maker)"#;
    assert_eq!(reached(&format!("{fields} {CALL}")), [HostcallId::proxy_done]);
}

#[test]
fn recursion_and_deep_chains_end() {
    let cycle = r#"(func $a (call $b)) (func $b (call $a) (call $exit (i32.const 0)))
        (func (export "proxy_on_log") (param i32) (call $a))"#;
    assert_eq!(reached(cycle), [HostcallId::proc_exit]);
    let mut chain = String::from(r#"(func (export "proxy_on_log") (param i32) (call $f0))"#);
    const DEPTH: usize = 50_000;
    for i in 0..DEPTH {
        chain += &format!("(func $f{i} (call $f{}))", i + 1);
    }
    chain += &format!("(func $f{DEPTH} (call $exit (i32.const 0)))");
    assert_eq!(reached(&chain), [HostcallId::proc_exit]);
}

/// Both versions of WASI's module are one hostcall.
#[test]
fn one_of_two_imports_of_a_hostcall_is_enough() {
    let wasm = wat::parse_str(format!(
        r#"(module (import "wasi_unstable" "proc_exit" (func $old (param i32))) {PLUGIN} {MALLOC}
            (func (export "proxy_on_log") (param i32) (call $old (i32.const 0))))"#
    ))
    .unwrap();
    let needs = Needs::of(&Bytecode::judge(&wasm).unwrap()).unwrap();
    assert_eq!(needs.hostcalls, [HostcallId::proc_exit]);
    assert!(!needs.unreachable.contains(&HostcallId::proc_exit));
}

#[test]
fn what_needs_no_capability_is_no_need() {
    let wasm = wat::parse_str(format!(
        r#"(module (import "env" "pthread_equal" (func $equal (param i32 i32) (result i32))) {PLUGIN} {MALLOC}
            (func (export "proxy_on_log") (param i32) (drop (call $equal (i32.const 0) (i32.const 0)))))"#
    ))
    .unwrap();
    let needs = Needs::of(&Bytecode::judge(&wasm).unwrap()).unwrap();
    assert_eq!(needs.hostcalls, [HostcallId::pthread_equal]);
    assert!(needs.capabilities().held().eq(["proxy_on_log"]));
}

/// A module that was judged, and then one byte of it changed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let wasm = wat::parse_str(format!("(module {PLUGIN} {MALLOC} {TABLE} (elem (i32.const 0) $f $g) {CALL})")).unwrap();
    let places = 0..wasm.len();
    (Just(wasm), places, any::<u8>()).prop_map(|(mut wasm, place, byte)| {
        wasm[place] = byte;
        wasm
    })
}

proptest! {
    /// Modules that were judged can be read; bytes that nobody validated are an error at worst.
    #[test]
    fn no_bytes_make_it_panic(wasm in damaged()) {
        let judged = wat::parse_str(format!("(module {PLUGIN} {MALLOC})")).unwrap();
        let bytecode = Bytecode { wasm: &wasm, ..Bytecode::judge(&judged).unwrap() };
        let _ = Needs::of(&bytecode);
        if let Ok(bytecode) = Bytecode::judge(&wasm) {
            prop_assert!(Needs::of(&bytecode).is_ok());
        }
        let _ = crate::module::bytecode::ModuleInfo::read(&wasm);
    }
}
