//! Costs that grow: of a chain with its plugins, of an operation with the live streams of its VM, of shared data with the
//! threads that use it.
//!
//! Prints tables. No time is a failure: machines differ. `-- --quick` measures once.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use bytes::Bytes;
use portcullis::abi::{AbiVersion, LogLevel};
use portcullis::engine::AnyModule;
use portcullis::model::{ContextId, Headers, Plugin, StreamInfo};
use portcullis::resources::Shared;
use portcullis::vm::{Vm, VmConfig};
use portcullis::{Module, PluginSpec, Worker};
use portcullis_benches::table::{Results, Table, is_quick};
use portcullis_benches::traffic::{REQUEST, RESPONSE, stream};
use portcullis_benches::{EMPTY, Failure, LOOPS, engines, header_tour, host, load, looping, median, start};

fn main() -> Result<(), Failure> {
    let mut results = Results::default();
    results.add("chains", chains()?);
    results.add("live_streams", live_streams()?);
    results.add("shared_data", shared_data()?);
    results.write()
}

/// The number of measurements of a time, of which the median counts.
fn repeats() -> usize {
    if is_quick() { 1 } else { 7 }
}

/// Measures streams through chains of 1 to 16 plugins, all in one VM.
fn chains() -> Result<Table, Failure> {
    let columns = &["engine", "plugins", "header_tour_us", "empty_guest_us"];
    let mut table = Table::new("a stream through a chain", columns);
    let (request, response): (Headers, Headers) = (REQUEST.into_iter().collect(), RESPONSE.into_iter().collect());
    for engine in engines()? {
        let modules = [header_tour()?, wat::parse_str(EMPTY)?.into()];
        let [tour, empty] = modules.map(|code: Bytes| Module::load(&*engine, code).map(Arc::new));
        let modules = [tour?, empty?];
        for count in [1_usize, 4, 16] {
            let mut row = vec![engine.name().into(), count.into()];
            for module in &modules {
                let spec = |index| PluginSpec::new(Plugin::new(format!("plugin_{index}")), Arc::clone(module));
                let specs: Vec<_> = (0..count).map(spec).collect();
                let mut worker = Worker::new(|| host(LogLevel::Critical));
                let chain = worker.load(&specs)?;
                let each = per_operation(|| {
                    let body = Bytes::from_static(b"Hello, World!");
                    assert!(stream(&mut worker, &chain, request.clone(), response.clone(), body));
                });
                row.push((each / 1e3).into());
            }
            table.row(row);
        }
    }
    Ok(table)
}

/// Measures operations on a new stream, and on any stream, of a VM that has a number of them.
fn live_streams() -> Result<Table, Failure> {
    let columns = &["engine", "streams", "create_and_delete_ns", "log_newest_ns", "log_any_ns"];
    let mut table = Table::new("one operation beside other live streams in the VM", columns);
    for engine in engines()? {
        for count in [1_usize, 1000, 10_000, 100_000] {
            let mut vm = start(&*load(&*engine, EMPTY)?)?;
            let root = vm.add_plugin(Plugin::new("bench").into())?;
            let live: Result<Vec<_>, _> =
                (0..count).map(|_| vm.create_stream(root, StreamInfo::default().into_shared())).collect();
            let live: Vec<ContextId> = live?;
            let info = StreamInfo::default().into_shared();
            let churn = per_operation(|| {
                let stream = vm.create_stream(root, info.clone());
                black_box(stream.and_then(|stream| vm.delete(stream)).is_ok());
            });
            let newest = *live.last().ok_or("no stream")?;
            let near = per_operation(|| assert!(vm.on_log(newest).is_ok()));
            // A step that is prime to all of the counts visits every stream, far from the one before.
            let mut at = 0;
            let far = per_operation(|| {
                at = (at + 7919) % live.len();
                assert!(live.get(at).is_some_and(|stream| vm.on_log(*stream).is_ok()));
            });
            table.row(vec![engine.name().into(), count.into(), churn.into(), near.into(), far.into()]);
        }
    }
    Ok(table)
}

/// Measures shared data that one thread uses, or two.
fn shared_data() -> Result<Table, Failure> {
    const WORK: [&str; 2] = [
        "(call $get_data (i32.const KEY) (i32.const 6) (i32.const 0) (i32.const 4) (i32.const 8))",
        "(call $set_data (i32.const KEY) (i32.const 6) (i32.const 1024) (i32.const 20) (i32.const 0))",
    ];
    let columns = &["engine", "threads", "keys", "get_ns", "set_ns"];
    let mut table = Table::new("one hostcall on shared data by each thread", columns);
    for engine in engines()? {
        for (threads, keys) in [(1_usize, 1_usize), (2, 1), (2, 2)] {
            let mut row = vec![engine.name().into(), threads.into(), keys.into()];
            for work in WORK {
                let guests: Result<Vec<_>, _> = (0..threads)
                    .map(|thread| {
                        let key = (1024 + if keys == threads { thread } else { 0 }).to_string();
                        let set = format!("(drop {})", WORK[1]);
                        load(&*engine, &looping(&set.replace("KEY", &key), &work.replace("KEY", &key), 0))
                    })
                    .collect();
                row.push((nanos(together(&guests?)?) / LOOPS as f64).into());
            }
            table.row(row);
        }
    }
    Ok(table)
}

/// Runs each guest on a thread of its own, all at once, and returns the time of one whole loop.
fn together(guests: &[Box<dyn AnyModule>]) -> Result<Duration, Failure> {
    const CALLS: u32 = 200;
    let (shared, barrier) = (Shared::default(), Barrier::new(guests.len()));
    let run = |guest: &dyn AnyModule| -> Option<Duration> {
        let config = VmConfig { shared: shared.clone(), ..VmConfig::new(AbiVersion::V0_2_1) };
        let mut vm = Vm::start(guest, config, host(LogLevel::Critical)).ok()?;
        let root = vm.add_plugin(Plugin::new("bench").into()).ok()?;
        let mut measured = Vec::with_capacity(repeats());
        for _ in 0..repeats() {
            barrier.wait();
            let begin = Instant::now();
            for _ in 0..CALLS {
                vm.on_tick(root).ok()?;
            }
            measured.push(begin.elapsed() / CALLS);
        }
        Some(median(measured))
    };
    let run = &run;
    let times: Option<Vec<_>> = std::thread::scope(|scope| {
        let threads: Vec<_> = guests.iter().map(|guest| scope.spawn(move || run(&**guest))).collect();
        threads.into_iter().map(|thread| thread.join().ok().flatten()).collect()
    });
    let times = times.ok_or("a guest failed")?;
    Ok(times.into_iter().sum::<Duration>() / u32::try_from(guests.len())?)
}

/// Returns the nanoseconds of one operation: the median of several measurements of many.
fn per_operation(mut operation: impl FnMut()) -> f64 {
    // The first warm caches, and tell how many take a time that can be measured and waited for.
    let some = if is_quick() { 5 } else { 20 };
    let warm_up = elapsed(some, &mut operation).max(Duration::from_nanos(1));
    let wanted = Duration::from_millis(20).div_duration_f64(warm_up) * f64::from(some);
    let count = (wanted as u32).clamp(some, 2000);
    let measured = (0..repeats()).map(|_| elapsed(count, &mut operation)).collect();
    nanos(median(measured)) / f64::from(count)
}

fn elapsed(count: u32, operation: &mut impl FnMut()) -> Duration {
    let begin = Instant::now();
    for _ in 0..count {
        operation();
    }
    begin.elapsed()
}

fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}
