use std::sync::Arc;

use portcullis_chain::{Chain, ChainError, Module, PluginSpec, Snapshot, Worker};
use portcullis_core::abi::AbiVersion;
use portcullis_core::engine::{AnyModule, EngineError, Guest, StartError};
use portcullis_core::model::{Limits, Plugin};
use portcullis_core::testing::{FakeHost, NullEngine, Script};
use portcullis_core::vm::{Vm, VmConfig, VmState};
use portcullis_driver::{Builder, Driver, ManyThreads};

use crate::common::Answering;

/// A module whose guests stay on the thread that made them.
struct Staying(Box<dyn AnyModule>);

impl AnyModule for Staying {
    fn instantiate(&self, state: VmState, limits: &Limits) -> Result<Box<dyn Guest>, StartError> {
        self.0.instantiate(state, limits)
    }

    fn save(&self) -> Result<Option<Vec<u8>>, EngineError> {
        self.0.save()
    }

    fn moves(&self) -> bool {
        false
    }
}

fn load(worker: &mut Worker) -> Result<Chain, ChainError> {
    let compiled = Box::new(Staying(NullEngine::new(Script::new).module().unwrap()));
    let module = Arc::new(Module::from_compiled("staying", AbiVersion::V0_2_1, None, compiled));
    worker.load(&[PluginSpec::new(Plugin::new("plugin"), module)])
}

fn build_shared(worker: Worker) -> Result<Driver<ManyThreads, Answering>, EngineError> {
    let now = std::time::Instant::now();
    Builder::new(worker, Answering::default(), move |time| now + time).build_shared()
}

const MESSAGE: &str =
    "its guests stay on the thread that made them; take wasmtime or wasmi, or a driver that stays on one thread";

#[test]
fn guests_that_stay_on_their_thread_are_refused_by_drivers_of_many_before_and_after() {
    let mut worker = Worker::new(|| Box::new(FakeHost::new()));
    load(&mut worker).unwrap();
    let error = build_shared(worker).unwrap_err();
    assert!(error.to_string().contains("staying") && error.to_string().contains(MESSAGE), "{error}");

    let driver = build_shared(Worker::new(|| Box::new(FakeHost::new()))).unwrap();
    let error = driver.call(load).unwrap_err();
    assert!(error.source.to_string().contains(MESSAGE), "{error}");
}

#[test]
fn so_are_those_of_single_streams() {
    let compiled = Box::new(Staying(NullEngine::new(Script::new).module().unwrap()));
    let module = Module::from_compiled("staying", AbiVersion::V0_2_1, None, compiled);
    let moving = NullEngine::new(Script::new).module().unwrap();
    let moving = Arc::new(Module::from_compiled("null", AbiVersion::V0_2_1, None, moving));
    let spec = PluginSpec::new(Plugin::new("plugin"), moving);
    let config = VmConfig::new(AbiVersion::V0_2_1);
    let mut vm = Vm::start(spec.module.compiled(), config, Box::new(FakeHost::new())).unwrap();
    let root = vm.add_plugin(Arc::new(spec.plugin.clone())).unwrap();
    let spec = spec.with_snapshot(Some(Arc::new(Snapshot::new(module, vm.snapshot(root).unwrap()))));
    let driver = build_shared(Worker::new(|| Box::new(FakeHost::new()))).unwrap();
    let error = driver.call(|worker| worker.load(&[spec])).unwrap_err();
    assert!(error.source.to_string().contains(MESSAGE), "{error}");
}

/// Fails to compile if a driver of many threads, or its future, is not `Send`.
#[test]
fn a_driver_of_many_threads_moves() {
    fn moves(_: impl Send + 'static) {}
    let driver = build_shared(Worker::new(|| Box::new(FakeHost::new()))).unwrap();
    moves(driver.clone());
    moves(driver.run());
}
