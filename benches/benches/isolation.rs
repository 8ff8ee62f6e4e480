//! The cost of isolation: each further sandbox of a module, ten plugins in one VM and in ten, and the check of a right
//! with rules and without.
//!
//! Prints tables. No time is a failure: machines differ. `-- --quick` measures once.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use portcullis::abi::{HostcallId, LogLevel};
use portcullis::engine::AnyEngine;
use portcullis::model::{Access, Direction, Headers, Plugin, StreamInfo};
use portcullis::rights::{Capabilities, RuleTexts, Rules};
use portcullis::vm::Vm;
use portcullis::{Chain, Module, PluginSpec, Worker};
use portcullis_benches::table::{Results, Table, is_quick};
use portcullis_benches::traffic::stream;
use portcullis_benches::{Failure, LOOPS, engines, header_tour, host, load, looping, median, start};
use serde_json::Value;

fn main() -> Result<(), Failure> {
    let mut results = Results::default();
    results.add("sandboxes", sandboxes()?);
    results.add("plugins", plugins()?);
    results.add("checks", checks()?);
    results.write()
}

/// The number of measurements of a time, of which the median counts.
fn repeats() -> usize {
    if is_quick() { 1 } else { 7 }
}

/// Measures resident memory and time of each further VM of `header_tour`.
fn sandboxes() -> Result<Table, Failure> {
    let columns = &["engine", "sandboxes", "us_each", "kib_resident_each", "kib_of_guest"];
    let mut table = Table::new("each further sandbox of header_tour", columns);
    for engine in engines()? {
        let module = Module::load(&*engine, header_tour()?)?;
        let plugin = Arc::new(Plugin::new("bench"));
        let sandbox = || -> Result<Vm, Failure> {
            let mut vm = start(module.compiled())?;
            vm.add_plugin(Arc::clone(&plugin))?;
            Ok(vm)
        };
        // The first one loads what all share.
        let mut kept = vec![sandbox()?];
        let size = kept.first_mut().map_or(0, Vm::memory_size);
        for count in [1_usize, 10, 100, 1000] {
            kept.truncate(1);
            let (memory, begin) = (resident()?, Instant::now());
            for _ in 0..count {
                kept.push(sandbox()?);
            }
            let (elapsed, memory) = (begin.elapsed(), resident()?.saturating_sub(memory));
            let kib = memory as f64 / 1024.0 / count as f64;
            let each = micros(elapsed) / count as f64;
            table.row(vec![engine.name().into(), count.into(), each.into(), kib.into(), (size / 1024).into()]);
        }
    }
    Ok(table)
}

/// Measures a chain of ten plugins, in one VM and in ten, in turns.
fn plugins() -> Result<Table, Failure> {
    let columns = &["engine", "one_vm_us", "ten_vms_us", "ratio"];
    let mut table = Table::new("streams through ten plugins of header_tour", columns);
    for engine in engines()? {
        let module = Arc::new(Module::load(&*engine, header_tour()?)?);
        // Each lacks another right that it does not use, so that none shares with another.
        let unused = [
            HostcallId::proxy_grpc_call,
            HostcallId::proxy_grpc_send,
            HostcallId::proxy_grpc_close,
            HostcallId::proxy_grpc_cancel,
            HostcallId::proxy_grpc_stream,
            HostcallId::sock_accept,
            HostcallId::sock_recv,
            HostcallId::sock_send,
            HostcallId::sock_shutdown,
            HostcallId::proc_raise,
        ];
        let chain = |isolated: bool| -> Result<(Worker, Chain), Failure> {
            let spec = |(index, id): (usize, HostcallId)| {
                let capabilities = if isolated { Capabilities::ALL.without(id) } else { Capabilities::ALL };
                let plugin = Plugin::new(format!("plugin_{index}")).with_capabilities(capabilities);
                PluginSpec::new(plugin, Arc::clone(&module))
            };
            let specs: Vec<_> = unused.into_iter().enumerate().map(spec).collect();
            let mut worker = Worker::new(|| host(LogLevel::Critical));
            let chain = worker.load(&specs)?;
            Ok((worker, chain))
        };
        let (mut one, mut ten) = (chain(false)?, chain(true)?);
        assert_eq!((one.0.vm_counts().running, ten.0.vm_counts().running), (1, 10));
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..repeats() {
            for ((worker, chain), times) in [&mut one, &mut ten].into_iter().zip(&mut times) {
                times.push(per_stream(worker, chain));
            }
        }
        let [one, ten] = times.map(median);
        let ratio = ten.as_secs_f64() / one.as_secs_f64();
        table.row(vec![engine.name().into(), micros(one).into(), micros(ten).into(), ratio.into()]);
    }
    Ok(table)
}

/// Measures one hostcall with every right, with named rights, and with rules for its arguments.
fn checks() -> Result<Table, Failure> {
    const HEADER: &str = "(call $header (i32.const 0) (i32.const 1044) (i32.const 10) (i32.const 0) (i32.const 4))";
    const METRIC: &str = "(drop (call $define (i32.const 0) (i32.const 1024) (i32.const 6) (i32.const 0)))";
    let columns = &["engine", "hostcall", "all_rights_ns", "named_rights_ns", "with_rules_ns"];
    let mut table = Table::new("one hostcall: with every right, with named ones, with rules for it", columns);
    for engine in engines()? {
        for (name, prepare, work, rule) in [
            ("increment_metric", METRIC, "(call $increment (i32.const 4) (i64.const 1))", None),
            (
                "header_value",
                "(drop (call $effective (i32.const 2)))",
                HEADER,
                Some(("proxy_get_header_map_value", "request_headers", &["x-*", ":*", "!cookie"][..])),
            ),
            (
                "log",
                "",
                "(call $log (i32.const 2) (i32.const 1024) (i32.const 20))",
                Some(("proxy_log", "rate", &["1000000000/s"][..])),
            ),
        ] {
            let named = Capabilities::from_names([
                "proxy_log",
                "proxy_get_header_map_value",
                "proxy_define_metric",
                "proxy_increment_metric",
                "proxy_set_effective_context",
                "proxy_on_tick",
            ])?;
            let mut texts = RuleTexts::new();
            if let Some((capability, key, values)) = rule {
                let values = values.iter().map(|value| (*value).to_owned()).collect();
                texts.entry(capability.to_owned()).or_default().insert(key.to_owned(), values);
            }
            let wat = looping(prepare, work, 0);
            let plugin = |capabilities, rules| Plugin::new("bench").with_capabilities(capabilities).with_rules(rules);
            let mut guests = [
                guest(&*engine, &wat, plugin(Capabilities::ALL, Rules::NONE))?,
                guest(&*engine, &wat, plugin(named, Rules::NONE))?,
                guest(&*engine, &wat, plugin(named, Rules::new(&texts)?))?,
            ];
            let mut measured = [Vec::new(), Vec::new(), Vec::new()];
            for _ in 0..repeats() {
                for ((vm, root), times) in guests.iter_mut().zip(&mut measured) {
                    let begin = Instant::now();
                    for _ in 0..200 {
                        black_box(
                            vm.on_tick(*root).map_err(|_| format!("{name}: {}", vm.failure().unwrap_or_default()))?,
                        );
                    }
                    times.push(begin.elapsed());
                }
            }
            let [all, named, ruled] = measured.map(|times| micros(median(times)) * 1e3 / (200 * LOOPS) as f64);
            let ruled = rule.map_or(Value::Null, |_| ruled.into());
            table.row(vec![engine.name().into(), name.into(), all.into(), named.into(), ruled]);
        }
    }
    Ok(table)
}

fn guest(engine: &dyn AnyEngine, wat: &str, plugin: Plugin) -> Result<(Vm, portcullis::model::ContextId), Failure> {
    let mut vm = start(&*load(engine, wat)?)?;
    let root = vm.add_plugin(Arc::new(plugin))?;
    let stream = vm.create_stream(root, StreamInfo::default().into_shared())?;
    let headers = [(":method", "GET"), (":path", "/"), (":authority", "example.com:8080 abcd")];
    if let Some(stream) = vm.stream(stream) {
        stream.lend_headers(Direction::Request, headers.into_iter().collect(), Access::Write);
    }
    Ok((vm, root))
}

/// Returns the time of one stream, out of many.
fn per_stream(worker: &mut Worker, chain: &Chain) -> Duration {
    let streams = if is_quick() { 50 } else { 2000 };
    let request: Headers =
        [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/")].into_iter().collect();
    let response: Headers = [(":status", "200"), ("server", "example")].into_iter().collect();
    let begin = Instant::now();
    for _ in 0..streams {
        black_box(stream(worker, chain, request.clone(), response.clone(), Bytes::from_static(b"Hello")));
    }
    begin.elapsed() / streams
}

/// Returns the bytes of resident memory of this process.
fn resident() -> Result<usize, Failure> {
    const PAGE: usize = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").map_err(|error| format!("/proc/self/statm: {error}"))?;
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok());
    Ok(pages.ok_or("/proc/self/statm is not as expected")? * PAGE)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
