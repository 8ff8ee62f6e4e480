//! Which modules run, and which are refused in which words.

use portcullis::abi::HostcallId::proxy_log;
use portcullis::abi::{AbiVersion, HOSTCALLS};
use portcullis::module::Bytecode;
use portcullis::vm::{Vm, VmConfig};

use crate::engine::case::{Case, verdict};
use crate::engine::prelude;
use crate::engine::recorder::Recorder;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "an_unknown_import_is_refused",
        guest: r#"(import "env" "proxy_get_propertie" (func))"#,
        hostcalls: &[],
        spec: "host#missing import",
        run: |case, engine| {
            let verdict =
                "imports env.proxy_get_propertie, which no ABI version has; did you mean env.proxy_get_property?";
            assert_eq!(case.verdict(engine).as_deref(), Some(verdict));
        },
    },
    Case {
        name: "a_hostcall_of_another_abi_version_is_refused",
        guest: r#"(import "env" "proxy_clear_route_cache" (func (result i32)))"#,
        hostcalls: &[],
        spec: "host#missing import",
        run: |case, engine| {
            let verdict = "imports env.proxy_clear_route_cache, which ABI 0.2.1 does not have (0.1.0 does)";
            assert_eq!(case.verdict(engine).as_deref(), Some(verdict));
        },
    },
    Case {
        name: "a_hostcall_of_another_type_is_refused",
        guest: r#"(import "env" "proxy_increment_metric" (func (param i32 i32) (result i32)))"#,
        hostcalls: &[],
        spec: "host#import type mismatch",
        run: |case, engine| {
            let verdict = "imports env.proxy_increment_metric as (i32, i32) -> i32, but it is (i32, i64) -> i32";
            assert_eq!(case.verdict(engine).as_deref(), Some(verdict));
        },
    },
    Case {
        name: "a_callback_of_another_type_is_refused",
        guest: r#"(func (export "proxy_on_request_body") (param i32 i32) (result i32) (i32.const 0))"#,
        hostcalls: &[],
        spec: "host#Bad function signature",
        run: |case, engine| {
            let verdict = "exports proxy_on_request_body as (i32, i32) -> i32, but it is (i32, i32, i32) -> i32";
            assert_eq!(case.verdict(engine).as_deref(), Some(verdict));
        },
    },
    Case {
        name: "a_hostcall_may_be_imported_twice",
        guest: r#"
            (import "env" "proxy_log" (func $again (param i32 i32 i32) (result i32)))
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $again (i32.const 2) (i32.const 0) (i32.const 0)))
                (call $report (call $proxy_log (i32.const 2) (i32.const 0) (i32.const 0))))
        "#,
        hostcalls: &[proxy_log],
        spec: "host#duplicate imports",
        run: |case, engine| assert_eq!(case.tick(engine), ["", "0", "", "0"]),
    },
    Case {
        name: "both_modules_of_wasi_are_linked",
        guest: r#"
            (import "wasi_unstable" "sched_yield" (func $old (result i32)))
            (import "wasi_snapshot_preview1" "sched_yield" (func $new (result i32)))
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $old))
                (call $report (call $new)))
        "#,
        hostcalls: &[],
        spec: "v0.2.1#WASI",
        run: |case, engine| assert_eq!(case.tick(engine), ["0", "0"]),
    },
    Case {
        name: "a_memory_of_another_name_is_used",
        guest: r#"
            (memory (export "heap") 1)
            (data (i32.const 1024) "here")
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_log (i32.const 2) (i32.const 1024) (i32.const 4))))
        "#,
        hostcalls: &[proxy_log],
        spec: "host#first exported memory",
        run: |case, engine| assert_eq!(case.tick(engine), ["here", "0"]),
    },
    Case {
        name: "an_imported_memory_is_refused",
        guest: r#"(import "env" "memory" (memory 1))"#,
        hostcalls: &[],
        // The reference host makes one.
        spec: "portcullis#imported memory",
        run: |case, engine| {
            let verdict = "imports the memory env.memory, but a plugin may import functions alone";
            assert_eq!(case.verdict(engine).as_deref(), Some(verdict));
        },
    },
    Case {
        name: "a_module_without_memory_is_refused",
        guest: "",
        hostcalls: &[],
        spec: "v0.2.1#Memory management",
        run: |_, engine| {
            let wat = r#"(module (memory 1) (func (export "proxy_abi_version_0_2_1")) (func (export "memory")))"#;
            let verdict = verdict(engine, wat).unwrap();
            assert!(verdict.starts_with("exports no memory; "), "{verdict}");
        },
    },
    Case {
        name: "all_that_plugins_may_import_is_linked",
        guest: "",
        hostcalls: &[],
        spec: "portcullis#linking",
        run: |_, engine| {
            for &abi in AbiVersion::ALL {
                let wasm = wat::parse_str(importing_everything(abi)).unwrap();
                let module = engine.load(&Bytecode::judge(&wasm).unwrap()).unwrap();
                let vm = Vm::start(&*module, VmConfig::new(abi), Box::new(Recorder::default()));
                assert_eq!(vm.map(|mut vm| vm.memory_size()).unwrap(), 1 << 16);
            }
        },
    },
    Case {
        name: "a_module_serves_several_threads",
        guest: r#"
            (data (i32.const 1024) "hello")
            (func (export "_initialize") (drop (call $proxy_log (i32.const 2) (i32.const 1024) (i32.const 5))))
        "#,
        hostcalls: &[proxy_log],
        spec: "portcullis#threads",
        run: |case, engine| {
            let wasm = wat::parse_str(case.wat()).unwrap();
            let bytecode = Bytecode::judge(&wasm).unwrap();
            let module = engine.load(&bytecode).unwrap();
            let start = || {
                let recorder = Recorder::default();
                Vm::start(&*module, VmConfig::new(bytecode.abi), Box::new(recorder.clone())).unwrap();
                recorder.take().into_iter().map(|line| line.text).collect::<Vec<_>>()
            };
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
                for thread in threads {
                    assert_eq!(thread.join().unwrap(), ["hello"]);
                }
            });
        },
    },
    Case {
        name: "simd_runs",
        guest: r#"
            (func (export "proxy_on_tick") (param i32)
                (call $report (i32x4.extract_lane 1
                    (i32x4.add (v128.const i32x4 1 2 3 4) (i32x4.splat (i32.const 40))))))
        "#,
        hostcalls: &[],
        spec: "portcullis#WebAssembly 2.0",
        run: |case, engine| assert_eq!(case.tick(engine), ["42"]),
    },
];

/// Returns a guest of this ABI version that imports every hostcall from every module that has it.
fn importing_everything(abi: AbiVersion) -> String {
    let imports = HOSTCALLS
        .iter()
        .flat_map(|decl| decl.id.linked_modules(abi).iter().map(|module| prelude::import_from(module, decl, "")));
    let (imports, marker) = (imports.collect::<String>(), abi.marker());
    format!(
        r#"(module {imports} (memory (export "memory") 1) (func (export "{marker}"))
           (func (export "malloc") (param i32) (result i32) (i32.const 0)))"#
    )
}
