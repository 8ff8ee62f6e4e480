//! Modules with much of something have one verdict on every engine.

use std::num::NonZero;
use std::sync::Mutex;
use std::thread;

use portcullis::engine::{AnyEngine, EngineSettings};
use portcullis::module::Bytecode;
use portcullis_conformance::engine::sizes::{dimensions, run};

#[test]
fn what_is_accepted_runs_on_every_engine() {
    let (engines, failures) = (engines(), Mutex::new(Vec::new()));
    let sizes = Mutex::new(dimensions().flat_map(|it| it.accepted.iter().map(move |size| (it, *size))));
    let work = || {
        let next = || sizes.lock().unwrap().next();
        while let Some((dimension, size)) = next() {
            if let Err(error) = runs_on(&engines, &dimension.wasm(size)) {
                failures.lock().unwrap().push(format!("{} of {size}: {error}", dimension.name));
            }
        }
    };
    // Compilers take nearly all of the time, and not all of them use more than one core.
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(work);
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{failures:#?}");
}

fn runs_on(engines: &[Box<dyn AnyEngine>], wasm: &[u8]) -> Result<(), String> {
    let bytecode = Bytecode::judge(wasm).map_err(|error| error.to_string())?;
    engines
        .iter()
        .try_for_each(|engine| run(&**engine, &bytecode).map_err(|error| format!("{}: {error}", engine.name())))
}

#[test]
fn what_some_engine_cannot_hold_is_refused_for_all() {
    for (dimension, size) in dimensions().flat_map(|it| it.refused.iter().map(move |size| (it, *size))) {
        let wasm = dimension.wasm(size);
        assert!(Bytecode::judge(&wasm).is_err(), "{} of {size}", dimension.name);
    }
}

/// Returns every engine that is built in, and wasmtime as it is started for a VM for each stream.
fn engines() -> Vec<Box<dyn AnyEngine>> {
    let usual = EngineSettings::default();
    let places = usual.clone().with_places(Some(4));
    let all = portcullis::engine::all().iter().map(|info| info.start(&usual));
    let in_places =
        portcullis::engine::all().iter().filter(|info| info.name == "wasmtime").map(|info| info.start(&places));
    all.chain(in_places).map(Result::unwrap).collect()
}
