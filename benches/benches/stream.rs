//! The cost of one stream without IO, and of one VM.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput};
use portcullis::abi::LogLevel;
use portcullis::chain::Isolation;
use portcullis::engine::{AnyEngine, EngineSettings};
use portcullis::model::{Headers, Plugin};
use portcullis::module::Bytecode;
use portcullis::resources::{ForeignFunctions, Shared};
use portcullis::snapshot::snapshot;
use portcullis::{Module, PluginSpec, Worker};
use portcullis_benches::traffic::{REQUEST, RESPONSE, stream};
use portcullis_benches::{EMPTY, Failure, engines, header_tour, host, start};

/// A guest that reads the whole body, or reads and replaces it; its memory holds 1 MiB of it.
const BODIES: &str = r#"(module
    (import "env" "proxy_get_buffer_bytes" (func $get (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_set_buffer_bytes" (func $set (param i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 20)
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (i32.const 65536))
    (func (export "proxy_on_response_body") (param i32) (param $len i32) (param i32) (result i32)
        (if (call $get (i32.const 1) (i32.const 0) (local.get $len) (i32.const 0) (i32.const 4)) (then unreachable))
        WRITE
        (i32.const 0)))"#;

const WRITE: &str =
    "(if (call $set (i32.const 1) (i32.const 0) (local.get $len) (i32.load (i32.const 0)) (local.get $len))
    (then unreachable))";

fn main() -> Result<(), Failure> {
    let mut criterion = Criterion::default().configure_from_args();
    for engine in engines()? {
        let guests = [("header_tour", header_tour()?), ("empty_guest", wat::parse_str(EMPTY)?.into())];
        streams(&mut criterion, &*engine, &guests)?;
        bodies(&mut criterion, &*engine)?;
        vms(&mut criterion, &*engine, &guests)?;
    }
    criterion.final_summary();
    Ok(())
}

/// Measures whole streams: a request without a body, a response with one, log and end.
fn streams(criterion: &mut Criterion, engine: &dyn AnyEngine, guests: &[(&str, Bytes)]) -> Result<(), Failure> {
    let mut group = criterion.benchmark_group(format!("stream/{}", engine.name()));
    let (request, response): (Headers, Headers) = (REQUEST.into_iter().collect(), RESPONSE.into_iter().collect());
    let mut measure = |name: &str, specs: &[PluginSpec]| -> Result<(), Failure> {
        let mut worker = Worker::new(|| host(LogLevel::Critical));
        let chain = worker.load(specs)?;
        let body = Bytes::from_static(b"Hello, World!");
        if !stream(&mut worker, &chain, request.clone(), response.clone(), body.clone()) {
            return Err(format!("{name}: the response does not come out").into());
        }
        group.bench_function(name, |bench| {
            bench.iter_batched(
                || (request.clone(), response.clone()),
                |(request, response)| black_box(stream(&mut worker, &chain, request, response, body.clone())),
                BatchSize::SmallInput,
            );
        });
        Ok(())
    };
    measure("no_plugin", &[])?;
    for (name, code) in guests {
        let module = Arc::new(Module::load(engine, code.clone())?);
        let spec = PluginSpec::new(Plugin::new(*name), module);
        measure(name, std::slice::from_ref(&spec))?;
        measure(&format!("{name}_by_stream"), &[by_stream(engine.name(), spec)?])?;
    }
    group.finish();
    Ok(())
}

/// Measures streams whose response has a body, through a plugin that reads it, and one that replaces it.
fn bodies(criterion: &mut Criterion, engine: &dyn AnyEngine) -> Result<(), Failure> {
    let mut group = criterion.benchmark_group(format!("bodies/{}", engine.name()));
    let (request, response): (Headers, Headers) = (REQUEST.into_iter().collect(), RESPONSE.into_iter().collect());
    for (what, write) in [("read", ""), ("rewrite", WRITE)] {
        let module = Module::load(engine, wat::parse_str(BODIES.replace("WRITE", write))?.into())?;
        let mut worker = Worker::new(|| host(LogLevel::Critical));
        let spec = PluginSpec::new(Plugin::new(what), Arc::new(module));
        let chain = worker.load(&[spec])?;
        for (size, bytes) in [("1KiB", 1 << 10), ("64KiB", 64 << 10), ("1MiB", 1 << 20)] {
            let body = Bytes::from(vec![b'x'; bytes]);
            if !stream(&mut worker, &chain, request.clone(), response.clone(), body.clone()) {
                return Err(format!("{what} {size}: the body does not come out").into());
            }
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function(format!("{what}/{size}"), |bench| {
                bench.iter_batched(
                    || (request.clone(), response.clone()),
                    |(request, response)| black_box(stream(&mut worker, &chain, request, response, body.clone())),
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
    Ok(())
}

/// Returns the plugin with a VM for each stream.
fn by_stream(engine: &'static str, spec: PluginSpec) -> Result<PluginSpec, Failure> {
    let info = portcullis::engine::find(engine)?.engine;
    let engine = info.start(&EngineSettings::default().with_places(Some(1000)))?;
    let spec = spec.with_isolation(Isolation::Stream);
    let host = || host(LogLevel::Critical);
    let snapshot = snapshot(&*engine, &spec, Shared::default(), ForeignFunctions::default(), host)?;
    Ok(spec.with_snapshot(Some(Arc::new(snapshot))))
}

/// Measures starting a VM with one plugin from a compiled module, and dropping it.
fn vms(criterion: &mut Criterion, engine: &dyn AnyEngine, guests: &[(&str, Bytes)]) -> Result<(), Failure> {
    let mut group = criterion.benchmark_group(format!("vm/{}", engine.name()));
    let plugin = Arc::new(Plugin::new("bench"));
    for (name, code) in guests {
        let module = engine.load(&Bytecode::judge(code)?)?;
        start(&*module)?.add_plugin(Arc::clone(&plugin))?;
        group.bench_function(format!("start_and_drop/{name}"), |bench| {
            bench.iter(|| {
                let mut vm = start(&*module).ok()?;
                black_box(vm.add_plugin(Arc::clone(&plugin)).ok())
            });
        });
    }
    group.finish();
    Ok(())
}
