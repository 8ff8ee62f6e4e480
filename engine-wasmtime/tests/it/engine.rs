//! Behaviour of wasmtime alone: lines of source in traps, samples, perf maps. Behaviour of every engine is in the conformance
//! suite.

use std::sync::{Arc, mpsc};
use std::time::Instant;

use portcullis_core::abi::AbiVersion;
use portcullis_core::engine::{AnyEngine, AnyModule, EngineError, EngineSettings, Guest, StartError};
use portcullis_core::model::{ContextId, Limits, Plugin, StreamInfo};
use portcullis_core::module::Bytecode;
use portcullis_core::observe::{profile::Samples, profile::profile};
use portcullis_core::testing::FakeHost;
use portcullis_core::vm::{Vm, VmConfig, VmState};
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
    // Without the directory that the compiler ran in.
    let reason = "trap: unreachable in inner (guest.wat:6), called by function 3 (guest.wat:8)";
    assert_eq!(vm.failure(), Some(reason));
}

#[test]
fn compiled_code_has_the_version_of_the_runtime() {
    let wasm = wat::parse_str(GUEST).unwrap();
    let engine: Box<dyn AnyEngine> = Box::new(Wasmtime::new(&EngineSettings::default()).unwrap());
    let code = engine.load(&Bytecode::judge(&wasm).unwrap()).unwrap().save().unwrap().unwrap();
    let version = engine.version();
    // Three numbers, none of which may differ.
    assert_eq!(version.split('.').filter(|number| number.parse::<u32>().is_ok()).count(), 3, "{version}");
    assert!(code.windows(version.len()).any(|bytes| bytes == version.as_bytes()), "{version}");
    assert!(engine.fingerprint().contains(version));
}

/// Runs for a while, for ever, or through the host's allocator in between.
const BUSY: &str = r#"(module
  (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func $spin (param $times i32)
    (loop $again
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1))))))
  (func $deep (param $left i32)
    (call $spin (i32.const 10000))
    (if (local.get $left) (then (call $deep (i32.sub (local.get $left) (i32.const 1))))))
  (func $malloc (export "malloc") (param i32) (result i32) (call $spin (i32.const 20000000)) (i32.const 2048))
  (func $tick (export "proxy_on_tick") (param i32)
    (call $spin (i32.const 20000000))
    (drop (call $buffer (i32.const 6) (i32.const 0) (i32.const 6) (i32.const 0) (i32.const 4))))
  (func (export "proxy_on_log") (param i32) (call $deep (i32.const 8000)))
  (func $delete (export "proxy_on_delete") (param i32) (loop $again (br $again))))
"#;

/// A guest that is sampled, and what came of it when it has gone.
fn sampled(settings: &EngineSettings, run: impl FnOnce(&mut Vm, ContextId)) -> Option<String> {
    let engine = Wasmtime::new(settings).unwrap();
    let module = AnyEngine::load(&engine, &Bytecode::judge(&wat::parse_str(BUSY).unwrap()).unwrap()).unwrap();
    let (sender, samples) = mpsc::channel();
    let module = Sampled(module, sender);
    let mut config = VmConfig::new(AbiVersion::V0_2_1);
    config.vm.configuration = b"sixsix".as_slice().into();
    let mut vm = Vm::start(&module, config, Box::new(FakeHost::new())).unwrap();
    let root = vm.add_plugin(Plugin::new("test").into()).unwrap();
    run(&mut vm, root);
    drop(vm);
    samples.try_recv().ok().map(|bytes| String::from_utf8(bytes).unwrap())
}

#[derive(Debug)]
struct Sampled(Box<dyn AnyModule>, mpsc::Sender<Vec<u8>>);

impl AnyModule for Sampled {
    fn instantiate(&self, state: VmState, limits: &Limits) -> Result<Box<dyn Guest>, StartError> {
        let sender = self.1.clone();
        let samples: Samples = Box::new(move |bytes| sender.send(bytes).unwrap());
        profile(&*self.0, state, limits, &Arc::default(), Some(("busy", samples)))
    }

    fn save(&self) -> Result<Option<Vec<u8>>, EngineError> {
        self.0.save()
    }

    fn moves(&self) -> bool {
        self.0.moves()
    }
}

fn settings() -> EngineSettings {
    EngineSettings::default().with_samples(true)
}

#[test]
fn samples_name_the_functions_that_ran() {
    let profile = sampled(&settings(), |vm, root| vm.on_tick(root).unwrap()).unwrap();
    for part in ["\"threads\"", "\"samples\"", "\"busy\"", "\"spin\"", "\"malloc\"", "\"tick\""] {
        assert!(profile.contains(part), "{part}: {profile}");
    }
    assert!(!profile.contains("\"deep\""), "what did not run: {profile}");
}

#[test]
fn a_guest_that_is_sampled_is_held_to_its_deadline() {
    let profile = sampled(&settings(), |vm, root| {
        let begin = Instant::now();
        assert!(vm.delete(root).is_err());
        assert!(vm.failure().unwrap().starts_with("deadline"), "{:?}", vm.failure());
        assert!(begin.elapsed() >= Limits::default().deadline);
    });
    assert!(profile.unwrap().contains("\"delete\""));
}

#[test]
fn a_deep_stack_is_no_sample() {
    let profile = sampled(&settings(), |vm, root| {
        let stream = vm.create_stream(root, StreamInfo::default().into_shared()).unwrap();
        vm.on_log(stream).unwrap();
    });
    let profile = profile.unwrap();
    // Each frame is a row of this table, but those that are deeper than 64 KiB.
    let (_, table) = profile.split_once("\"stackTable\":{\"length\":").unwrap();
    let frames: usize = table.split(',').next().unwrap().parse().unwrap();
    assert!((100..(64 << 10) / 16).contains(&frames), "{frames}");
}

#[test]
fn an_engine_that_was_not_started_for_it_takes_no_samples() {
    assert_eq!(sampled(&EngineSettings::default(), |vm, root| vm.on_tick(root).unwrap()), None);
}

#[test]
fn perf_finds_the_names_of_functions() {
    let engine = Wasmtime::new(&EngineSettings::default().with_perf_map(true)).unwrap();
    AnyEngine::load(&engine, &Bytecode::judge(&wat::parse_str(BUSY).unwrap()).unwrap()).unwrap();
    let path = format!("/tmp/perf-{}.map", std::process::id());
    let map = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    assert!(map.lines().any(|line| line.ends_with("spin")), "{map}");
}
