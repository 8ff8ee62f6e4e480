//! What one stream costs without any IO, and what a VM costs.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion};
use portcullis::core::{
    AnyEngine, Body, Bytecode, Direction, EngineSettings, ForeignFunctions, Headers, LogLevel, Plugin, Shared,
    StreamInfo, lock,
};
use portcullis::snapshot::snapshot;
use portcullis::{Chain, Isolation, Module, PluginSpec, StreamEffect, Worker};
use portcullis_benches::{EMPTY, Failure, engines, header_tour, host, start};

const REQUEST: [(&str, &str); 7] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "example.com"),
    (":path", "/index.html?q=1"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
    ("accept", "text/html,application/xhtml+xml"),
    ("x-request-id", "5f2c1f0e-8f1b-4f0e-9d57-0a8f3f4f7a11"),
];

const RESPONSE: [(&str, &str); 5] = [
    (":status", "200"),
    ("server", "example"),
    ("content-type", "text/plain"),
    ("content-length", "13"),
    ("date", "Mon, 01 Jan 2024 00:00:00 GMT"),
];

fn main() -> Result<(), Failure> {
    let mut criterion = Criterion::default().configure_from_args();
    for engine in engines()? {
        let guests = [("header_tour", header_tour()?), ("empty_guest", wat::parse_str(EMPTY)?.into())];
        streams(&mut criterion, &*engine, &guests)?;
        vms(&mut criterion, &*engine, &guests)?;
    }
    criterion.final_summary();
    Ok(())
}

/// Whole streams: a request without a body, a response with one, log and end.
fn streams(criterion: &mut Criterion, engine: &dyn AnyEngine, guests: &[(&str, Bytes)]) -> Result<(), Failure> {
    let mut group = criterion.benchmark_group(format!("stream/{}", engine.name()));
    let (request, response): (Headers, Headers) = (REQUEST.into_iter().collect(), RESPONSE.into_iter().collect());
    let mut measure = |name: &str, specs: &[PluginSpec]| -> Result<(), Failure> {
        let mut worker = Worker::new(|| host(LogLevel::Critical));
        let chain = worker.load(specs).map_err(|(_, error)| error)?;
        if !stream(&mut worker, &chain, request.clone(), response.clone()) {
            return Err(format!("{name}: the response does not come out").into());
        }
        group.bench_function(name, |bench| {
            bench.iter_batched(
                || (request.clone(), response.clone()),
                |(request, response)| black_box(stream(&mut worker, &chain, request, response)),
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

/// The same plugin with a VM for each stream.
fn by_stream(engine: &'static str, spec: PluginSpec) -> Result<PluginSpec, Failure> {
    let info = portcullis::engine(engine)?.engine;
    let engine = info.start(&EngineSettings { places: Some(1000), ..EngineSettings::default() })?;
    let spec = PluginSpec { isolation: Isolation::Stream, ..spec };
    let host = host(LogLevel::Critical);
    let snapshot = snapshot(&*engine, &spec, Shared::default(), ForeignFunctions::default(), host)?;
    Ok(PluginSpec { snapshot: Some(Arc::new(snapshot)), ..spec })
}

/// Passes one stream through; says whether its response came out whole.
fn stream(worker: &mut Worker, chain: &Chain, request: Headers, response: Headers) -> bool {
    let info = StreamInfo::default().into_shared();
    let stream = worker.open(chain, info.clone(), 1 << 20);
    worker.headers(stream, Direction::Request, request, true);
    let (mut response, mut complete) = (Some(response), false);
    while let Some(effect) = worker.stream_effect(stream) {
        match effect {
            StreamEffect::RequestHeaders { .. } => {
                black_box(lock(&info).request_headers.as_ref().map(Headers::len));
                let body = Body::from(Bytes::from_static(b"Hello, World!"));
                worker.headers(stream, Direction::Response, response.take().unwrap_or_default(), false);
                worker.body(stream, Direction::Response, body, true);
            }
            StreamEffect::ResponseBody { end, .. } => complete = end,
            _ => {}
        }
    }
    worker.finish(stream);
    while worker.effect().is_some() {}
    complete
}

/// From a compiled module to a VM with one plugin, and back to nothing.
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
