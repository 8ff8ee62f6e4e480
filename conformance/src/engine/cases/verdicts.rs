//! Modules that no engine may run, each refused in the same words on all; and what all of them take.

use portcullis::engine::AnyEngine;

use crate::engine::case::{Case, verdict};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a_module_that_does_not_say_its_abi_is_refused",
        guest: "",
        hostcalls: &[],
        spec: "host#Missing or unknown Proxy-Wasm ABI version",
        run: |_, engine| {
            let reason = "the module has no ABI marker: it exports none of proxy_abi_version_0_1_0, \
                          proxy_abi_version_0_2_0 and proxy_abi_version_0_2_1; is it a Proxy-Wasm plugin?";
            assert_refused(engine, &format!("(module {MEMORY} {MALLOC})"), reason);
            let reason = "the module exports the ABI marker proxy_abi_version_0_3_0, but this host runs none but \
                          proxy_abi_version_0_1_0, proxy_abi_version_0_2_0 and proxy_abi_version_0_2_1";
            let newer = r#"(func (export "proxy_abi_version_0_3_0"))"#;
            assert_refused(engine, &format!("(module {MEMORY} {MALLOC} {newer})"), reason);
        },
    },
    Case {
        name: "a_module_of_two_abis_is_refused",
        guest: r#"(func (export "proxy_abi_version_0_1_0")) (func (export "proxy_abi_version_0_2_1"))"#,
        hostcalls: &[],
        // The reference host takes the first.
        spec: "portcullis#ABI marker",
        run: |case, engine| {
            let reason = "the module exports two ABI markers, proxy_abi_version_0_1_0 and proxy_abi_version_0_2_1; \
                          one must say which ABI it was built for";
            assert_refused(engine, &case.wat(), reason);
        },
    },
    Case {
        name: "a_module_without_memory_or_allocator_is_refused",
        guest: "",
        hostcalls: &[],
        spec: "portcullis#memory and allocator",
        run: |_, engine| {
            let reason = "exports no memory; the host must reach the plugin's memory, usually as the export \"memory\"";
            assert_refused(engine, &format!("(module (memory 1) {MARKER} {MALLOC})"), reason);
            let reason = "exports no allocator: neither malloc nor proxy_on_memory_allocate, both (i32) -> i32";
            assert_refused(engine, &format!("(module {MEMORY} {MARKER})"), reason);
            let reason = "exports malloc as (i64) -> (), but it is (i32) -> i32";
            let malloc = r#"(func (export "malloc") (param i64))"#;
            assert_refused(engine, &format!("(module {MEMORY} {MARKER} {malloc})"), reason);
        },
    },
    Case {
        name: "what_some_engine_lacks_is_refused_on_every_engine",
        guest: "",
        hostcalls: &[],
        spec: "portcullis#WebAssembly 2.0",
        run: |_, engine| {
            for (fields, reason) in [
                ("(memory 1 1 shared)", "has a shared memory; build the plugin without threads"),
                ("(memory i64 1)", "has a 64-bit memory; build the plugin for wasm32"),
                ("(memory 1) (memory 1)", "has more than one memory, but plugins have one"),
            ] {
                assert_refused(engine, &format!("(module {fields} {MARKER} {MALLOC})"), reason);
            }
            for (field, proposal) in [
                ("(func $f (return_call $f))", "tail calls"),
                ("(tag)", "exceptions"),
                ("(type (struct))", "garbage collection"),
                ("(func (param externref))", "references to host objects (externref)"),
                ("(func (result i32) (i32.atomic.load (i32.const 0)))", "threads"),
                (
                    "(func (result v128) (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0)))",
                    "relaxed SIMD",
                ),
            ] {
                let module = format!("(module {field} {MEMORY} {MARKER} {MALLOC})");
                let reason = format!(
                    "uses {proposal}, which not every engine has; build the plugin for WebAssembly 2.0 (at byte 0x"
                );
                let found = verdict(engine, &module).unwrap();
                assert!(found.starts_with(&reason), "{found}");
            }
        },
    },
    Case {
        name: "webassembly_2_0_is_taken_by_every_engine",
        guest: r#"
            (table $table 1 funcref)
            (global $wide (mut i64) (i64.const 1))
            (export "wide" (global $wide))
            (elem declare func $pair)
            (func $pair (result i32 i64) (i32.const 1) (i64.const 2))
            (func (export "proxy_on_tick") (param i32)
                (table.set $table (i32.const 0) (ref.func $pair))
                (call_indirect $table (result i32 i64) (i32.const 0))
                (global.set $wide)
                (call $report)
                (call $report (i32.wrap_i64 (global.get $wide)))
                (call $report (i32.extend8_s (i32.const 255)))
                (call $report (i32.trunc_sat_f32_s (f32.const 1e30)))
                (memory.fill (i32.const 1024) (i32.const 7) (i32.const 4))
                (call $report (i32.load (i32.const 1024))))
        "#,
        hostcalls: &[],
        spec: "portcullis#WebAssembly 2.0",
        run: |case, engine| assert_eq!(case.tick(engine), ["1", "2", "-1", "2147483647", "117901063"]),
    },
];

const MEMORY: &str = r#"(memory (export "memory") 1)"#;
const MARKER: &str = r#"(func (export "proxy_abi_version_0_2_1"))"#;
const MALLOC: &str = r#"(func (export "malloc") (param i32) (result i32) (i32.const 0))"#;

fn assert_refused(engine: &dyn AnyEngine, wat: &str, reason: &str) {
    assert_eq!(verdict(engine, wat).as_deref(), Some(reason));
}
