//! Instructions of crossings and streams, as callgrind counts them. Counts do not vary with the machine's load, so each has
//! a bound, and a count above its bound is a failure.
//!
//! `benches/instructions.sh` runs this bench on wasmi: the host does the same for a hostcall on each engine, and an
//! interpreter executes the same instructions on each machine. A bound is a tenth above the count at the time; it is
//! lowered when an operation becomes cheaper.
//!
//! The profile is `counting`: each crate that is counted is compiled as one unit. Link-time optimisation would change the
//! counts by a few percent and take most of the time, so it is off.

#![allow(missing_docs, unused_qualifications, reason = "the harness makes items of its own")]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind};
use portcullis::abi::LogLevel;
use portcullis::engine::AnyEngine;
use portcullis::model::{ContextId, Headers, Plugin};
use portcullis::vm::Vm;
use portcullis::{Chain, Module, PluginSpec, Worker};
use portcullis_benches::shapes::{guest, shape, tick};
use portcullis_benches::traffic::{REQUEST, RESPONSE, stream};
use portcullis_benches::{EMPTY, Failure, engines, header_tour, host};

// One callback of a guest that does nothing.
#[library_benchmark(setup = ready)]
#[bench::empty_call(args = (EMPTY), config = at_most(1_130))]
fn callback((mut vm, root): (Vm, ContextId)) -> Vm {
    assert!(black_box(vm.on_tick(root)).is_ok());
    vm
}

// A thousand hostcalls out of a loop in the guest.
#[library_benchmark(setup = ready_for)]
#[bench::nothing(args = ("nothing"), config = at_most(79_000))]
#[bench::set_effective_context(args = ("set_effective_context"), config = at_most(498_000))]
#[bench::increment_metric(args = ("increment_metric"), config = at_most(460_000))]
#[bench::log_20_bytes(args = ("log_20_bytes"), config = at_most(610_000))]
#[bench::time(args = ("time"), config = at_most(535_000))]
#[bench::header_value(args = ("header_value_through_the_allocator"), config = at_most(2_260_000))]
#[bench::header_pairs(args = ("header_pairs"), config = at_most(2_094_000))]
#[bench::replaced_header(args = ("replaced_header"), config = at_most(1_729_000))]
#[bench::property(args = ("property"), config = at_most(2_540_000))]
#[bench::body(args = ("body"), config = at_most(2_017_000))]
#[bench::set_shared_data(args = ("set_shared_data"), config = at_most(1_303_000))]
#[bench::http_call(args = ("http_call_that_fails_early"), config = at_most(1_003_000))]
fn thousand_hostcalls((mut vm, root): (Vm, ContextId)) -> Vm {
    assert!(black_box(vm.on_tick(root)).is_ok());
    vm
}

// A hundred streams through N plugins: create, both heads, a small body, log, delete.
#[library_benchmark(setup = ready_chain)]
#[bench::no_plugin(args = ("empty", 0), config = at_most(551_000))]
#[bench::one_empty_guest(args = ("empty", 1), config = at_most(1_663_000))]
#[bench::sixteen_empty_guests(args = ("empty", 16), config = at_most(19_358_000))]
#[bench::header_tour(args = ("header_tour", 1), config = at_most(69_635_000))]
fn hundred_streams(mut ready: Ready) -> Ready {
    for (request, response) in ready.heads.drain(..) {
        assert!(stream(&mut ready.worker, &ready.chain, request, response, BODY));
    }
    ready
}

library_benchmark_group!(name = crossing, benchmarks = [callback, thousand_hostcalls]);
library_benchmark_group!(name = streams, benchmarks = hundred_streams);
main!(library_benchmark_groups = [crossing, streams]);

const BODY: Bytes = Bytes::from_static(b"Hello, World!");

/// A worker with a chain, and the heads of the streams to come.
#[derive(Debug)]
struct Ready {
    worker: Worker,
    chain: Chain,
    heads: Vec<(Headers, Headers)>,
}

fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::with_args(["--cache-sim=no"]);
    callgrind.hard_limits([(EventKind::Ir, instructions)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

/// Starts a guest and calls it once, so that wasmi's translation and other work of the first call are not counted.
fn ready(wat: &str) -> (Vm, ContextId) {
    let ready = || -> Result<_, Failure> {
        let (mut vm, root) = guest(&*wasmi()?, wat)?;
        tick(&mut vm, root)?;
        Ok((vm, root))
    };
    or_panic(ready())
}

fn ready_for(name: &str) -> (Vm, ContextId) {
    ready(&or_panic(shape(name)).guest())
}

fn ready_chain(guest: &str, plugins: usize) -> Ready {
    let ready = || -> Result<_, Failure> {
        let code = if guest == "empty" { wat::parse_str(EMPTY)?.into() } else { header_tour()? };
        let module = Arc::new(Module::load(&*wasmi()?, code)?);
        let spec = |index| PluginSpec::new(Plugin::new(format!("plugin_{index}")), Arc::clone(&module));
        let specs: Vec<_> = (0..plugins).map(spec).collect();
        let mut worker = Worker::new(|| host(LogLevel::Critical));
        let chain = worker.load(&specs)?;
        let heads = || -> (Headers, Headers) { (REQUEST.into_iter().collect(), RESPONSE.into_iter().collect()) };
        for _ in 0..10 {
            let (request, response) = heads();
            if !stream(&mut worker, &chain, request, response, BODY) {
                return Err("the response does not come out".into());
            }
        }
        Ok(Ready { worker, chain, heads: (0..100).map(|_| heads()).collect() })
    };
    or_panic(ready())
}

fn wasmi() -> Result<Box<dyn AnyEngine>, Failure> {
    engines()?.into_iter().find(|engine| engine.name() == "wasmi").ok_or_else(|| "wasmi is not built in".into())
}

/// Panics on a failure: the harness has no other way to report one.
fn or_panic<T>(ready: Result<T, Failure>) -> T {
    match ready {
        Ok(ready) => ready,
        Err(failure) => panic!("{failure}"),
    }
}
