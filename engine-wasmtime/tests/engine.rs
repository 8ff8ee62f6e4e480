//! What wasmtime alone does: compiled code that is kept, and lines of source in traps. What every engine
//! does is in the conformance suite.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use portcullis_core::testing::FakeHost;
use portcullis_core::{AbiVersion, AnyEngine, AnyModule, Bytecode, EngineSettings, Plugin, SealKey, Vm, VmConfig};
use portcullis_wasmtime::Wasmtime;

const KEY: SealKey = SealKey::new([7; SealKey::LEN]);

const GUEST: &str = r#"(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 1024) "hello")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 2048))
  (func $inner
    (drop (call $log (i32.const 2) (i32.const 1024) (i32.const 5)))
    unreachable)
  (func (export "proxy_on_tick") (param i32)
    call $inner))
"#;

fn engine() -> Wasmtime {
    Wasmtime::new(&EngineSettings::default()).unwrap()
}

/// What a guest logs in its first tick, and why it fails there.
fn tick(module: &dyn AnyModule) -> (Vec<String>, String) {
    let host = FakeHost::new();
    let mut vm = Vm::start(module, VmConfig::new(AbiVersion::V0_2_1), Box::new(host.clone())).unwrap();
    let root = vm.add_plugin(Plugin::new("test").into()).unwrap();
    assert!(vm.on_tick(root).is_err());
    let lines = host.lines().into_iter().filter(|line| !line.from_host).map(|line| line.message).collect();
    (lines, vm.failure().unwrap().to_owned())
}

#[test]
fn a_restored_module_is_the_saved_one() {
    let wasm = wat::parse_str(GUEST).unwrap();
    let bytecode = Bytecode::judge(&wasm).unwrap();
    let engine = engine();
    let module = AnyEngine::load(&engine, &bytecode).unwrap();
    let subject = AnyEngine::fingerprint(&engine);
    let sealed = KEY.seal(&subject, &module.save().unwrap().unwrap());
    drop((module, engine));

    let engine = self::engine();
    assert_eq!(AnyEngine::fingerprint(&engine), subject);
    let code = KEY.open(&subject, sealed).unwrap();
    let restored = AnyEngine::restore(&engine, &bytecode, &code).unwrap();
    let reason = "trap: unreachable in inner, called by function 4";
    assert_eq!(tick(&*restored), (vec!["hello".to_owned()], reason.to_owned()));
}

#[test]
fn what_is_no_code_is_refused_though_it_is_sealed() {
    let wasm = wat::parse_str(GUEST).unwrap();
    let sealed = KEY.seal("subject", b"no machine code");
    let code = KEY.open("subject", sealed).unwrap();
    let error = AnyEngine::restore(&engine(), &Bytecode::judge(&wasm).unwrap(), &code).unwrap_err();
    assert!(error.to_string().starts_with("wasmtime cannot restore the module: "), "{error}");
}

#[test]
fn other_settings_have_another_fingerprint() {
    let settings = EngineSettings { stack: 1 << 16 };
    let fingerprints = [engine(), Wasmtime::new(&settings).unwrap()].map(|engine| AnyEngine::fingerprint(&engine));
    assert_ne!(fingerprints[0], fingerprints[1]);
}

#[test]
fn a_trap_names_lines_of_source_where_there_is_dwarf() {
    let wasm = wat::Parser::new()
        .generate_dwarf(wat::GenerateDwarf::Full)
        .parse_str(Some("src/guest.wat".as_ref()), GUEST)
        .unwrap();
    let module = AnyEngine::load(&engine(), &Bytecode::judge(&wasm).unwrap()).unwrap();
    let reason = "trap: unreachable in inner (src/guest.wat:9), called by function 4 (src/guest.wat:11)";
    assert_eq!(tick(&*module).1, reason);
}
