//! Behaviour of wasmer alone: the meter that stops guests. Behaviour of every engine is in the conformance
//! suite.

use std::time::Duration;

use portcullis_core::abi::AbiVersion;
use portcullis_core::engine::{AnyEngine, EngineSettings};
use portcullis_core::model::{Limits, Plugin};
use portcullis_core::module::Bytecode;
use portcullis_core::sandbox::VmSpec;
use portcullis_core::testing::FakeHost;
use portcullis_core::vm::{Vm, VmConfig};
use portcullis_wasmer::Wasmer;

const DEADLINE: &str = "deadline: 30ms (limits.deadline) passed";

fn engine() -> Wasmer {
    Wasmer::new(&EngineSettings::default()).unwrap()
}

/// A guest whose `proxy_on_tick` runs this.
fn guest(fields: &str, tick: &str) -> Vec<u8> {
    let wat = format!(
        r#"(module
          (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
          {fields}
          (memory (export "memory") 16)
          (data $passive "bytes")
          (func (export "proxy_abi_version_0_2_1"))
          (func (export "malloc") (param i32) (result i32) (i32.const 2048))
          (func (export "proxy_on_tick") (param i32) {tick}))"#
    );
    wat::parse_str(wat).unwrap()
}

/// Why a guest fails in its first tick.
fn failure(fields: &str, tick: &str) -> Option<String> {
    let wasm = guest(fields, tick);
    let module = AnyEngine::load(&engine(), &Bytecode::judge(&wasm).unwrap()).unwrap();
    let limits = Limits::default().with_deadline(Duration::from_millis(30));
    let vm = VmSpec::default().with_limits(limits);
    let config = VmConfig { vm, ..VmConfig::new(AbiVersion::V0_2_1) };
    let mut vm = Vm::start(&*module, config, Box::new(FakeHost::new())).unwrap();
    let root = vm.add_plugin(Plugin::new("test").into()).unwrap();
    let _ = vm.on_tick(root);
    vm.failure().map(|reason| reason.split_once(" in ").map_or(reason, |(reason, _)| reason).to_owned())
}

#[test]
fn bulk_operations_are_paid_for_by_their_length() {
    for bulk in [
        "(memory.fill (i32.const 0) (i32.const 1) (i32.const 1048576))",
        "(memory.copy (i32.const 0) (i32.const 8) (i32.const 1048568))",
        "(memory.init $passive (i32.const 0) (i32.const 0) (i32.const 5))",
        "(table.fill $table (i32.const 0) (ref.null func) (i32.const 9000))",
        "(table.copy $table $table (i32.const 0) (i32.const 8) (i32.const 9000))",
        "(table.init $table $none (i32.const 0) (i32.const 0) (i32.const 0))",
    ] {
        let fields = "(table $table 10000 funcref) (elem $none funcref)";
        assert_eq!(failure(fields, &format!("(loop {bulk} (br 0))")).as_deref(), Some(DEADLINE), "{bulk}");
    }
}

#[test]
fn calls_without_a_loop_are_stopped() {
    // Twice as many calls at each step, 64 deep.
    let fields = "(func $twice (param i32)
        (if (local.get 0) (then
            (call $twice (i32.sub (local.get 0) (i32.const 1)))
            (call $twice (i32.sub (local.get 0) (i32.const 1))))))";
    assert_eq!(failure(fields, "(call $twice (i32.const 64))").as_deref(), Some(DEADLINE));
    let fields = "(type $t (func (param i32))) (table funcref (elem $twice)) (func $twice (type $t)
        (if (local.get 0) (then
            (call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0))
            (call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0)))))";
    assert_eq!(failure(fields, "(call $twice (i32.const 64))").as_deref(), Some(DEADLINE));
}

#[test]
fn a_loop_of_hostcalls_is_stopped() {
    let tick = "(loop (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1048576))) (br 0))";
    assert_eq!(failure("", tick).as_deref(), Some(DEADLINE));
}

#[test]
fn a_loop_that_only_grows_is_stopped() {
    for grow in ["(memory.grow (i32.const 0))", "(table.grow $table (ref.null func) (i32.const 0))"] {
        let found = failure("(table $table 1 funcref)", &format!("(loop (drop {grow}) (br 0))"));
        assert_eq!(found.as_deref(), Some(DEADLINE), "{grow}");
    }
}

#[test]
fn a_loop_that_is_left_and_entered_again_is_stopped() {
    let tick = "(loop $outer (loop $inner (br_if $inner (i32.const 0))) (br $outer))";
    assert_eq!(failure("", tick).as_deref(), Some(DEADLINE));
    let table = "(loop $outer (block (br_table 0 1 (i32.const 7))) (br $outer))";
    assert_eq!(failure("", table).as_deref(), Some(DEADLINE));
}

#[cfg(target_os = "linux")]
#[test]
fn code_goes_with_its_module() {
    const MODULES: usize = 200;
    let executable = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|line| line.split_whitespace().nth(1).is_some_and(|rights| rights.contains('x'))).count()
    };
    let plugin = r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) i32.const 1024))"#;
    let (engine, wasm) = (engine(), wat::parse_str(plugin).unwrap());
    let load = || AnyEngine::load(&engine, &Bytecode::judge(&wasm).unwrap()).unwrap();
    let before = executable();
    let kept: Vec<_> = (0..MODULES).map(|_| load()).collect();
    assert!(executable() >= before + MODULES / 2, "each has executable memory of its own");
    drop(kept);
    // Other tests of this process have a few.
    assert!(executable() < before + MODULES / 4, "{} and then {}", before, executable());
}
