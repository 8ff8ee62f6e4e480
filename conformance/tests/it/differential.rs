//! Generated guests do the same on every engine: the same cases in each run, a few of them.
//!
//! `PROPTEST_CASES` makes more of them, `PROPTEST_RNG_SEED` others; see CONTRIBUTING.md.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt::Debug;

use portcullis::abi::HOSTCALLS;
use portcullis::engine::{AnyEngine, EngineSettings};
use portcullis_conformance::engine::differential::{Event, Shown, compare, events, script, smith};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

#[test]
fn any_code_does_the_same_on_every_engine() {
    check(48, smith::seeds(), |seed| seed.wasm());
}

#[test]
fn hostcalls_answer_the_same_on_every_engine() {
    let called = RefCell::new(HashSet::new());
    check(96, script::scripts(), |script| {
        called.borrow_mut().extend(script.hostcalls());
        script.wasm().map_err(|error| error.to_string())
    });
    let missed: Vec<_> = HOSTCALLS.iter().filter(|decl| !called.borrow().contains(&decl.id)).collect();
    assert!(missed.is_empty(), "no guest calls {missed:?}");
}

fn check<T: Debug>(cases: u32, guests: impl Strategy<Value = T>, wasm: impl Fn(&T) -> Result<Vec<u8>, String>) {
    let engines = engines();
    let engines: Vec<&dyn AnyEngine> = engines.iter().map(|engine| &**engine).collect();
    let [equal, refused, nothing] = [Cell::new(0), Cell::new(0), Cell::new(0)];
    let result = runner(cases).run(&(guests, events()), |(guest, events): (T, Vec<Event>)| {
        let wasm = wasm(&guest).map_err(TestCaseError::fail)?;
        let shown = compare(&engines, &wasm, &events).map_err(|difference| {
            let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("difference.wasm");
            let kept = std::fs::write(&file, &wasm);
            TestCaseError::fail(format!("{difference}\nthe module: {} ({kept:?})", file.display()))
        })?;
        let counter = match shown {
            Shown::Equal => &equal,
            Shown::Refused => &refused,
            Shown::Nothing => &nothing,
        };
        counter.set(counter.get() + 1);
        Ok(())
    });
    println!("{} guests ran, {} were refused, {} show nothing", equal.get(), refused.get(), nothing.get());
    if let Err(error) = result {
        panic!("{error}");
    }
    assert!(equal.get() > refused.get() + nothing.get(), "most guests must show something");
}

fn engines() -> Vec<Box<dyn AnyEngine>> {
    let start = |info: &portcullis::engine::EngineInfo| info.start(&EngineSettings::default());
    portcullis::engine::all().iter().filter_map(|info| start(info).ok()).collect()
}

/// Runs so many cases, always the same, unless the environment says otherwise.
fn runner(cases: u32) -> TestRunner {
    let chosen = |variable| std::env::var_os(variable).is_some();
    /// In milliseconds. Histories and modules shrink in ever smaller steps.
    const SHRINKING: u32 = 60_000;
    let mut config = Config { failure_persistence: None, max_shrink_time: SHRINKING, ..Config::default() };
    if !chosen("PROPTEST_CASES") {
        config.cases = cases;
    }
    if !chosen("PROPTEST_RNG_SEED") {
        config.rng_seed = RngSeed::Fixed(0);
    }
    TestRunner::new(config)
}
