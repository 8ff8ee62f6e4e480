//! What only a real engine can show: that guests run, are limited and are stopped.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_core::testing::FakeHost;
use portcullis_core::{
    AbiVersion, Access, AnyEngine, AnyModule, Bytecode, CALLBACKS, Capabilities, ContextId, Direction, EngineSettings,
    HOSTCALLS, Headers, HeadersStatus, HostcallId, Limits, Plugin, StartError, StreamInfo, ValType, Vm, VmConfig,
    VmFailed,
};
use portcullis_wasmtime::Wasmtime;

/// What every guest has: hostcalls, a page of memory with some text, an allocator that moves on.
const PRELUDE: &str = r#"
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (import "env" "proxy_get_header_map_value" (func $header (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 1024) "hello")
    (data (i32.const 1040) ":authority")
    (func (export "proxy_abi_version_0_2_1"))
    (func $hello (drop (call $log (i32.const 2) (i32.const 1024) (i32.const 5))))
"#;

const MALLOC: &str = r#"(func (export "malloc") (param i32) (result i32) (i32.const 2048))"#;

fn load(engine: &dyn AnyEngine, fields: &str) -> Box<dyn AnyModule> {
    let wasm = wat::parse_str(format!("(module {PRELUDE} {fields})")).unwrap();
    engine.load(&Bytecode::judge(&wasm).unwrap()).unwrap()
}

fn module(fields: &str) -> Box<dyn AnyModule> {
    load(&Wasmtime::new(&EngineSettings::default()).unwrap(), fields)
}

fn start(fields: &str, limits: Limits) -> Result<(Vm, FakeHost), StartError> {
    let host = FakeHost::new();
    let config = VmConfig { limits, ..VmConfig::new(AbiVersion::V0_2_1) };
    Vm::start(&*module(fields), config, Box::new(host.clone())).map(|vm| (vm, host))
}

/// A guest with a plugin of every right.
fn guest(fields: &str, limits: Limits) -> (Vm, FakeHost, ContextId) {
    let (mut vm, host) = start(fields, limits).unwrap();
    let root = vm.add_plugin(Arc::new(Plugin::new("test"))).unwrap();
    (vm, host, root)
}

/// Why a guest fails whose `proxy_on_tick` does this.
fn failure(tick: &str, limits: Limits) -> String {
    let (mut vm, _, root) = guest(&format!(r#"(func (export "proxy_on_tick") (param i32) {tick})"#), limits);
    assert_eq!(vm.on_tick(root), Err(VmFailed));
    vm.failure().unwrap().to_owned()
}

fn with_malloc(tick: &str) -> String {
    format!("{tick}) {MALLOC} (func (param i32)")
}

/// Lends a guest a request with one header, and calls it.
fn request(vm: &mut Vm, root: ContextId) -> Result<HeadersStatus, VmFailed> {
    let stream = vm.create_stream(root, StreamInfo::default().into_shared())?;
    let mut headers = Headers::default();
    headers.add(b":authority", b"example.com");
    vm.stream(stream).unwrap().lend_headers(Direction::Request, headers, Access::Write);
    vm.on_headers(stream, Direction::Request, true)
}

/// A guest that asks for the header and logs it.
const ASK: &str = r#"
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (if (call $header (i32.const 0) (i32.const 1040) (i32.const 10) (i32.const 0) (i32.const 4)) (then unreachable))
        (call $log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4))))
"#;

#[test]
fn a_log_line_comes_out() {
    let (mut vm, host, root) =
        guest(&format!(r#"{MALLOC} (func (export "proxy_on_tick") (param i32) (call $hello))"#), Limits::default());
    assert_eq!(vm.on_tick(root), Ok(()));
    assert_eq!(host.messages(), ["hello"]);
    assert_eq!(host.lines()[0].plugin, "test");
}

#[test]
fn a_header_goes_in_through_an_allocator_that_grows_memory() {
    let malloc = r#"(func (export "malloc") (param i32) (result i32)
        (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)))"#;
    let (mut vm, host, root) = guest(&format!("{ASK} {malloc}"), Limits::default());
    assert_eq!(vm.memory_size(), 65536);
    assert_eq!(request(&mut vm, root), Ok(HeadersStatus::Continue));
    assert_eq!((host.messages(), vm.memory_size()), (vec!["example.com".to_owned()], 131_072));
}

#[test]
fn a_header_callback_of_the_old_shape_is_called() {
    let old = r#"(func (export "proxy_on_request_headers") (param i32 i32) (result i32) (call $hello) (i32.const 1))"#;
    let (mut vm, host, root) = guest(&format!("{old} {MALLOC}"), Limits::default());
    assert_eq!(request(&mut vm, root), Ok(HeadersStatus::StopAllAndWatermark));
    assert_eq!(host.messages(), ["hello"]);
}

#[test]
fn a_memory_of_another_name_is_used() {
    let wat = format!("(module {PRELUDE} {MALLOC} (func (export \"_start\") (call $hello)))");
    let wasm = wat::parse_str(wat.replace(r#"(export "memory")"#, r#"(export "heap")"#)).unwrap();
    let module =
        AnyEngine::load(&Wasmtime::new(&EngineSettings::default()).unwrap(), &Bytecode::judge(&wasm).unwrap()).unwrap();
    let host = FakeHost::new();
    Vm::start(&*module, VmConfig::new(AbiVersion::V0_2_1), Box::new(host.clone())).unwrap();
    assert_eq!(host.messages(), ["hello"]);
}

#[test]
fn a_denied_hostcall_is_answered() {
    let tick = r#"(func (export "proxy_on_tick") (param i32)
        (if (i32.ne (call $log (i32.const 2) (i32.const 1024) (i32.const 5)) (i32.const 10)) (then unreachable)))"#;
    let (mut vm, host) = start(&format!("{tick} {MALLOC}"), Limits::default()).unwrap();
    let mut plugin = Plugin::new("test");
    plugin.capabilities = Capabilities::ALL.without(HostcallId::proxy_log);
    let root = vm.add_plugin(Arc::new(plugin)).unwrap();
    assert_eq!(vm.on_tick(root), Ok(()));
    assert_eq!((vm.state().denials(), host.lines()[0].from_host), (1, true));
}

#[test]
fn an_endless_loop_is_stopped() {
    let limits = Limits { deadline: Duration::from_millis(50), ..Limits::default() };
    let before = Instant::now();
    let reason = failure(&with_malloc("(loop (br 0))"), limits);
    assert_eq!(reason, "deadline: the plugin ran longer than its limit for one call");
    assert!(before.elapsed() >= Duration::from_millis(50));
}

#[test]
fn an_endless_start_is_stopped() {
    let limits = || Limits { start_deadline: Duration::from_millis(20), ..Limits::default() };
    let endless = "(func $endless (loop (br 0)))";
    for (fields, message) in [
        (r#"(start $endless)"#, "wasmtime cannot run the start section: deadline: "),
        (r#"(export "_initialize" (func $endless))"#, "_initialize failed: deadline: "),
        (r#"(func (export "proxy_on_vm_start") (param i32 i32) (result i32) (call $endless) (i32.const 1))"#, ""),
    ] {
        let started = start(&format!("{fields} {endless} {MALLOC}"), limits());
        match started {
            Err(error) => assert!(error.to_string().starts_with(message), "{error}"),
            Ok((mut vm, _)) => {
                let error = vm.add_plugin(Arc::new(Plugin::new("test"))).unwrap_err();
                assert!(error.to_string().starts_with("proxy_on_vm_start failed: deadline: "), "{error}");
            }
        }
    }
}

#[test]
fn an_endless_allocator_ends_the_outer_call() {
    let limits = Limits { deadline: Duration::from_millis(20), ..Limits::default() };
    let malloc = r#"(func (export "malloc") (param i32) (result i32) (loop (br 0)) unreachable)"#;
    let (mut vm, host, root) = guest(&format!("{ASK} {malloc}"), limits);
    assert_eq!(request(&mut vm, root), Err(VmFailed));
    assert_eq!(vm.failure(), Some("deadline: the plugin ran longer than its limit for one call"));
    assert!(host.lines().iter().all(|line| line.from_host));
}

#[test]
fn every_call_has_the_whole_deadline() {
    let limits = Limits { deadline: Duration::from_millis(30), ..Limits::default() };
    let tick = r#"(func (export "proxy_on_tick") (param i32))"#;
    let (mut vm, _, root) = guest(&format!("{tick} {MALLOC}"), limits);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(40));
        assert_eq!(vm.on_tick(root), Ok(()));
    }
}

#[test]
fn memory_stops_growing_at_its_limit() {
    let limits = Limits { memory: 3 << 16, ..Limits::default() };
    let tick = r#"(func (export "proxy_on_tick") (param i32)
        (if (i32.ne (memory.grow (i32.const 2)) (i32.const 1)) (then unreachable))
        (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable)))"#;
    let (mut vm, _, root) = guest(&format!("{tick} {MALLOC}"), limits);
    assert_eq!((vm.on_tick(root), vm.memory_size()), (Ok(()), 3 << 16));
}

#[test]
fn tables_stop_growing_at_their_limit_together() {
    let limits = Limits { table_elements: 10, ..Limits::default() };
    let tables = "(table $a 4 funcref) (table $b 1 2 funcref)";
    let tick = r#"(func (export "proxy_on_tick") (param i32)
        (if (i32.ne (table.grow $b (ref.null func) (i32.const 2)) (i32.const -1)) (then unreachable))
        (if (i32.ne (table.grow $a (ref.null func) (i32.const 5)) (i32.const 4)) (then unreachable))
        (if (i32.ne (table.grow $b (ref.null func) (i32.const 1)) (i32.const -1)) (then unreachable)))"#;
    let (mut vm, _, root) = guest(&format!("{tables} {tick} {MALLOC}"), limits);
    assert_eq!(vm.on_tick(root), Ok(()));
}

#[test]
fn what_exceeds_a_limit_from_the_start_is_refused() {
    let memory = Limits { memory: 65535, ..Limits::default() };
    assert_eq!(
        start(MALLOC, memory).unwrap_err().to_string(),
        "wasmtime cannot instantiate the module: memory minimum size of 1 pages exceeds memory limits"
    );
    let table = Limits { table_elements: 10, ..Limits::default() };
    assert_eq!(
        start(&format!("(table 11 funcref) {MALLOC}"), table).unwrap_err().to_string(),
        "wasmtime cannot instantiate the module: table minimum size of 11 elements exceeds table limits"
    );
}

#[test]
fn a_trap_names_the_functions_that_it_happened_in() {
    let functions = r#"unreachable) (func $outer (call $_ZN4core9panicking5panic17h0123456789abcdefE))
        (func $_ZN4core9panicking5panic17h0123456789abcdefE"#;
    let reason = failure(&with_malloc(&format!("(call $outer)) (func {functions} unreachable")), Limits::default());
    assert_eq!(
        reason,
        "trap: wasm `unreachable` instruction executed in core::panicking::panic, called by outer, by function 5"
    );
}

#[test]
fn other_traps_are_named() {
    for (tick, reason) in [
        ("(drop (i32.load (i32.const -1)))", "trap: out of bounds memory access in function 5"),
        ("(drop (i32.div_s (local.get 0) (i32.const 0)))", "trap: integer divide by zero in function 5"),
        ("(call $exit (i32.const 3))", "the plugin called proc_exit(3)"),
    ] {
        assert_eq!(failure(&with_malloc(tick), Limits::default()), reason);
    }
}

#[test]
fn endless_recursion_is_stopped_and_its_message_is_short() {
    assert_eq!(
        failure(
            &with_malloc("(call $deep (i32.const 0))) (func $deep (param i32) (call $deep (local.get 0))"),
            Limits::default()
        ),
        "stack: the plugin used more stack than its limit"
    );
    let name = "f".repeat(5000);
    let deep = format!(
        "(call ${name} (i32.const 40))) (func ${name} (param i32)
        (if (i32.eqz (local.get 0)) (then unreachable)) (call ${name} (i32.sub (local.get 0) (i32.const 1)))"
    );
    let reason = failure(&with_malloc(&deep), Limits::default());
    assert!(reason.len() < 2500 && reason.ends_with("fff..., and so on"), "{reason}");
}

#[test]
fn an_allocator_that_traps_ends_the_outer_call() {
    let malloc = r#"(func $bad (export "malloc") (param i32) (result i32) unreachable)"#;
    let (mut vm, _, root) = guest(&format!("{ASK} {malloc}"), Limits::default());
    assert_eq!(request(&mut vm, root), Err(VmFailed));
    assert_eq!(vm.failure(), Some("trap: wasm `unreachable` instruction executed in bad, called by function 5"));
}

#[test]
fn an_allocator_may_not_call_what_it_likes() {
    let malloc = r#"(func (export "malloc") (param i32) (result i32) (call $exit (i32.const 0)) (i32.const 0))"#;
    let (mut vm, _, root) = guest(&format!("{ASK} {malloc}"), Limits::default());
    assert_eq!(request(&mut vm, root), Err(VmFailed));
    assert_eq!(
        vm.failure(),
        Some("the plugin called proc_exit, which is not allowed while the host runs the plugin's allocator")
    );
}

#[test]
fn a_start_section_may_log_though_nothing_is_heard() {
    let (_, host) = start(&format!("(start $hello) {MALLOC}"), Limits::default()).unwrap();
    assert!(host.messages().is_empty());
    let error = start(&format!("(start $bad) (func $bad unreachable) {MALLOC}"), Limits::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "wasmtime cannot run the start section: trap: wasm `unreachable` instruction executed in bad"
    );
    let error = start(&format!("(start $bad) (func $bad (call $exit (i32.const 7))) {MALLOC}"), Limits::default());
    assert_eq!(error.unwrap_err().to_string(), "wasmtime cannot run the start section: the plugin called proc_exit(7)");
}

#[test]
fn everything_in_the_tables_links_and_resolves() {
    let types = |types: &[ValType]| types.iter().map(|t| format!(" {t}")).collect::<String>();
    for abi in AbiVersion::ALL {
        let mut fields = String::new();
        for decl in HOSTCALLS {
            for module in decl.id.linked_modules(abi) {
                let (name, params, results) = (decl.name, types(decl.params), types(decl.results));
                fields += &format!(r#"(import "{module}" "{name}" (func (param{params}) (result{results})))"#);
            }
        }
        for decl in CALLBACKS.iter().filter(|decl| !decl.id.is_start_function() && decl.until == AbiVersion::V0_2_1) {
            let (name, params, results) = (decl.export, types(decl.params), types(decl.results));
            fields += &format!(r#"(func (export "{name}") (param{params}) (result{results}) unreachable)"#);
        }
        let wat =
            format!(r#"(module {fields} {MALLOC} (memory (export "memory") 1) (func (export "{}")))"#, abi.marker());
        let wasm = wat::parse_str(wat).unwrap();
        let module =
            AnyEngine::load(&Wasmtime::new(&EngineSettings::default()).unwrap(), &Bytecode::judge(&wasm).unwrap())
                .unwrap();
        let mut vm = Vm::start(&*module, VmConfig::new(abi), Box::new(FakeHost::new())).unwrap();
        let error = vm.add_plugin(Arc::new(Plugin::new("test"))).unwrap_err();
        assert!(error.to_string().starts_with("proxy_on_context_create failed: trap: "), "{error}");
    }
}

#[test]
fn simd_runs() {
    let tick = r#"(func (export "proxy_on_tick") (param i32)
        (if (i32x4.extract_lane 0 (i32x4.add (v128.const i32x4 1 2 3 4) (v128.const i32x4 -1 0 0 0))) (then unreachable)))"#;
    let (mut vm, _, root) = guest(&format!("{tick} {MALLOC}"), Limits::default());
    assert_eq!(vm.on_tick(root), Ok(()));
}

#[test]
fn a_module_serves_several_threads() {
    let module = module(&format!(r#"{MALLOC} (func (export "_initialize") (call $hello))"#));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let host = FakeHost::new();
                Vm::start(&*module, VmConfig::new(AbiVersion::V0_2_1), Box::new(host.clone())).unwrap();
                assert_eq!(host.messages(), ["hello"]);
            });
        }
    });
}
