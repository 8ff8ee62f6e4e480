//! What wasmtime alone does: lines of source in traps. What every engine does is in the conformance
//! suite.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use portcullis_core::testing::FakeHost;
use portcullis_core::{AbiVersion, AnyEngine, Bytecode, EngineSettings, Plugin, Vm, VmConfig};
use portcullis_wasmtime::Wasmtime;

const GUEST: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 2048))
  (func $inner
    unreachable)
  (func (export "proxy_on_tick") (param i32)
    call $inner))
"#;

#[test]
fn a_trap_names_lines_of_source_where_there_is_dwarf() {
    let wasm = wat::Parser::new()
        .generate_dwarf(wat::GenerateDwarf::Full)
        .parse_str(Some("src/guest.wat".as_ref()), GUEST)
        .unwrap();
    let engine = Wasmtime::new(&EngineSettings::default()).unwrap();
    let module = AnyEngine::load(&engine, &Bytecode::judge(&wasm).unwrap()).unwrap();
    let mut vm = Vm::start(&*module, VmConfig::new(AbiVersion::V0_2_1), Box::new(FakeHost::new())).unwrap();
    let root = vm.add_plugin(Plugin::new("test").into()).unwrap();
    assert!(vm.on_tick(root).is_err());
    let reason = "trap: unreachable in inner (src/guest.wat:6), called by function 3 (src/guest.wat:8)";
    assert_eq!(vm.failure(), Some(reason));
}
