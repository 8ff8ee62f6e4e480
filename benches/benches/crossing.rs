//! The cost of one crossing between host and guest.
//!
//! `empty_call` is one callback of a guest that does nothing. All others are one hostcall each, in a loop inside the guest;
//! `nothing` is the empty loop. `bare_...` is measured on the bare engine: `empty_call` beside `bare_empty_call`, and
//! `increment_metric` beside `bare_increment`, show the cost of the host. `profiled_...` is measured in a VM with a profiler.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{Bencher, Criterion};
use portcullis::engine::{AnyEngine, AnyModule, EngineError, Guest, StartError};
use portcullis::model::Limits;
use portcullis::observe::profile::profile;
use portcullis::vm::VmState;
use portcullis_benches::shapes::{SHAPES, guest, guest_of, shape, tick};
use portcullis_benches::{EMPTY, Failure, LOOPS, engines, floor, load};

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
    for shape in SHAPES {
        let (mut vm, root) = guest(engine, &shape.guest())?;
        tick(&mut vm, root).map_err(|failure| format!("{}: {failure}", shape.name))?;
        group.bench_function(shape.name, |bench| per_loop(bench, || vm.on_tick(root).is_ok()));
    }
    let (mut vm, root) = guest_of(&Measured(load(engine, EMPTY)?))?;
    group.bench_function("profiled_empty_call", |bench| bench.iter(|| black_box(vm.on_tick(root))));
    let (mut vm, root) = guest_of(&Measured(load(engine, &shape("log_20_bytes")?.guest())?))?;
    group.bench_function("profiled_log_20_bytes", |bench| per_loop(bench, || vm.on_tick(root).is_ok()));
    let mut call = floor::floor(engine.name(), EMPTY)?;
    group.bench_function("bare_empty_call", |bench| bench.iter(|| black_box(call())));
    let mut call = floor::floor(engine.name(), &floor::looping())?;
    assert!(call(), "the bare guest runs");
    group.bench_function("bare_increment", |bench| per_loop(bench, &mut call));
    group.finish();
    Ok(())
}

/// A module whose VMs have a profiler, as with `serve --profile`.
#[derive(Debug)]
struct Measured(Box<dyn AnyModule>);

impl AnyModule for Measured {
    fn instantiate(&self, state: VmState, limits: &Limits) -> Result<Box<dyn Guest>, StartError> {
        profile(&*self.0, state, limits, &Arc::default(), None)
    }

    fn save(&self) -> Result<Option<Vec<u8>>, EngineError> {
        self.0.save()
    }

    fn moves(&self) -> bool {
        self.0.moves()
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
