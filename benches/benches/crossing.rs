//! What it costs to cross between host and guest, once.
//!
//! `empty_call` is one callback of a guest that does nothing. The others are one hostcall each,
//! out of a loop inside the guest; `empty_loop` is that loop alone. `bare_...` is the same on the engine alone, without a
//! host: `empty_call` beside `bare_empty_call` and `increment_metric` beside `bare_increment` say what the host costs.
//! `profiled_...` is the same in a VM that is measured.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{Bencher, Criterion};
use portcullis::core::profile::profile;
use portcullis::core::{
    Access, AnyEngine, AnyModule, ContextId, Direction, EngineError, Guest, Limits, Plugin, StartError, StreamInfo, Vm,
    VmState,
};
use portcullis_benches::{EMPTY, Failure, LOOPS, engines, floor, load, looping, start};

const LOG: &str = "(call $log (i32.const 2) (i32.const 1024) (i32.const 20))";

/// Name, what is prepared, what is repeated, the status that it must have.
const HOSTCALLS: &[(&str, &str, &str, u8)] = &[
    ("empty_loop", "", "(local.get 0)", 1),
    (
        "increment_metric",
        "(drop (call $define (i32.const 0) (i32.const 1024) (i32.const 6) (i32.const 0)))",
        "(call $increment (i32.const 4) (i64.const 1))",
        0,
    ),
    ("log_20_bytes", "", LOG, 0),
    (
        "header_value_through_the_allocator",
        "(drop (call $effective (i32.const 2)))",
        "(call $header (i32.const 0) (i32.const 1044) (i32.const 10) (i32.const 0) (i32.const 4))",
        0,
    ),
    (
        "http_call_that_fails_early",
        "",
        "(call $http_call (i32.const 1024) (i32.const 6) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))",
        2,
    ),
];

fn main() -> Result<(), Failure> {
    let mut criterion = Criterion::default().configure_from_args();
    for engine in engines()? {
        crossing(&mut criterion, &*engine)?;
    }
    criterion.final_summary();
    Ok(())
}

fn crossing(criterion: &mut Criterion, engine: &dyn AnyEngine) -> Result<(), Failure> {
    let mut group = criterion.benchmark_group(format!("crossing/{}", engine.name()));
    let (mut vm, root) = guest(engine, EMPTY)?;
    group.bench_function("empty_call", |bench| bench.iter(|| black_box(vm.on_tick(root))));
    for (name, prepare, work, expected) in HOSTCALLS {
        let (mut vm, root) = guest(engine, &looping(prepare, work, *expected))?;
        vm.on_tick(root).map_err(|_| format!("{name}: {}", vm.failure().unwrap_or_default()))?;
        group.bench_function(*name, |bench| per_loop(bench, || vm.on_tick(root).is_ok()));
    }
    for (name, code) in [("profiled_empty_call", EMPTY.to_owned()), ("profiled_log_20_bytes", looping("", LOG, 0))] {
        let (mut vm, root) = guest_of(Box::new(Measured(load(engine, &code)?)))?;
        match name {
            "profiled_empty_call" => group.bench_function(name, |bench| bench.iter(|| black_box(vm.on_tick(root)))),
            _ => group.bench_function(name, |bench| per_loop(bench, || vm.on_tick(root).is_ok())),
        };
    }
    let mut call = floor::floor(engine.name(), EMPTY)?;
    group.bench_function("bare_empty_call", |bench| bench.iter(|| black_box(call())));
    let mut call = floor::floor(engine.name(), &floor::looping())?;
    assert!(call(), "the bare guest runs");
    group.bench_function("bare_increment", |bench| per_loop(bench, &mut call));
    group.finish();
    Ok(())
}

/// A guest with a plugin, whose id is 1, and a stream with headers, whose id is 2.
fn guest(engine: &dyn AnyEngine, wat: &str) -> Result<(Vm, ContextId), Failure> {
    guest_of(load(engine, wat)?)
}

fn guest_of(module: Box<dyn AnyModule>) -> Result<(Vm, ContextId), Failure> {
    let mut vm = start(&*module)?;
    let root = vm.add_plugin(Arc::new(Plugin::new("bench")))?;
    let stream = vm.create_stream(root, StreamInfo::default().into_shared())?;
    let headers = [(":method", "GET"), (":path", "/"), (":authority", "example.com:8080 abcd")];
    if let Some(stream) = vm.stream(stream) {
        stream.lend_headers(Direction::Request, headers.into_iter().collect(), Access::Write);
    }
    Ok((vm, root))
}

/// A module whose guests are measured, as with `serve --profile`.
#[derive(Debug)]
struct Measured(Box<dyn AnyModule>);

impl AnyModule for Measured {
    fn instantiate(&self, state: VmState, limits: &Limits) -> Result<Box<dyn Guest>, StartError> {
        profile(&*self.0, state, limits, &Arc::default(), None)
    }

    fn save(&self) -> Result<Option<Vec<u8>>, EngineError> {
        self.0.save()
    }
}

/// Measures one turn of the guest's loop.
fn per_loop(bench: &mut Bencher<'_>, mut call: impl FnMut() -> bool) {
    bench.iter_custom(|turns| {
        let calls = turns.div_ceil(LOOPS);
        let begin = Instant::now();
        for _ in 0..calls {
            black_box(call());
        }
        begin.elapsed().mul_f64(turns as f64 / (calls * LOOPS) as f64)
    });
}
