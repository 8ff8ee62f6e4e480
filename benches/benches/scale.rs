//! Costs that grow: a chain with its plugins, an operation with the streams that are live, shared data with the
//! threads that want them.
//!
//! Prints tables with ratios, all from one run, and fails nothing: machines differ.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use bytes::Bytes;
use portcullis::core::{AbiVersion, AnyModule, ContextId, Headers, LogLevel, Plugin, Shared, StreamInfo, Vm, VmConfig};
use portcullis::{Module, PluginSpec, Worker};
use portcullis_benches::traffic::{REQUEST, RESPONSE, stream};
use portcullis_benches::{EMPTY, Failure, LOOPS, engines, header_tour, host, load, looping, start};

/// How often what varies is done; the median counts.
const TIMES: usize = 7;

/// How often an operation is done in one of these times.
const OPERATIONS: usize = 2000;

fn main() -> Result<(), Failure> {
    chains()?;
    live_contexts()?;
    shared_data()
}

/// Streams through chains of 1 to 16 plugins, all in one VM.
fn chains() -> Result<(), Failure> {
    println!("a stream through a chain, us, and how many times a chain of one that is");
    println!("{:<10} {:>8} {:>18} {:>18}", "engine", "plugins", "header_tour", "empty guest");
    let (request, response): (Headers, Headers) = (REQUEST.into_iter().collect(), RESPONSE.into_iter().collect());
    for engine in engines()? {
        let modules = [header_tour()?, wat::parse_str(EMPTY)?.into()];
        let [tour, empty] = modules.map(|code: Bytes| Module::load(&*engine, code).map(Arc::new));
        let modules = [tour?, empty?];
        let mut first = [Duration::ZERO; 2];
        for count in [1, 2, 4, 8, 16] {
            print!("{:<10} {count:>8}", engine.name());
            for (module, first) in modules.iter().zip(&mut first) {
                let spec = |index| PluginSpec::new(Plugin::new(format!("plugin_{index}")), Arc::clone(module));
                let specs: Vec<_> = (0..count).map(spec).collect();
                let mut worker = Worker::new(|| host(LogLevel::Critical));
                let chain = worker.load(&specs).map_err(|(_, error)| error)?;
                let each = median(|| {
                    per_operation(|| {
                        let body = Bytes::from_static(b"Hello, World!");
                        assert!(stream(&mut worker, &chain, request.clone(), response.clone(), body));
                    })
                });
                if count == 1 {
                    *first = each;
                }
                let times = each.as_secs_f64() / first.as_secs_f64();
                print!(" {:>9.2} ({times:>5.2}x)", each.as_secs_f64() * 1e6);
            }
            println!();
        }
    }
    Ok(())
}

/// Operations on a stream in a VM that has so many others: on one that is new, and on any of them.
fn live_contexts() -> Result<(), Failure> {
    println!("\none operation with so many live streams in the VM, ns");
    println!(
        "{:<10} {:>8} {:>18} {:>16} {:>16}",
        "engine", "streams", "create and delete", "log, the newest", "log, any"
    );
    for engine in engines()? {
        for count in [1_usize, 1000, 10_000, 100_000] {
            let mut vm = start(&*load(&*engine, EMPTY)?)?;
            let root = vm.add_plugin(Plugin::new("bench").into())?;
            let live: Result<Vec<_>, _> =
                (0..count).map(|_| vm.create_stream(root, StreamInfo::default().into_shared())).collect();
            let live: Vec<ContextId> = live?;
            let info = StreamInfo::default().into_shared();
            let churn = median(|| {
                per_operation(|| {
                    let stream = vm.create_stream(root, info.clone());
                    black_box(stream.and_then(|stream| vm.delete(stream)).is_ok());
                })
            });
            let newest = *live.last().ok_or("no stream")?;
            let near = median(|| per_operation(|| assert!(vm.on_log(newest).is_ok())));
            // A step that is prime to all of the counts visits every stream, far from the one before.
            let mut at = 0;
            let far = median(|| {
                per_operation(|| {
                    at = (at + 7919) % live.len();
                    assert!(live.get(at).is_some_and(|stream| vm.on_log(*stream).is_ok()));
                })
            });
            let nanos = |duration: Duration| duration.as_secs_f64() * 1e9;
            println!(
                "{:<10} {count:>8} {:>18.1} {:>16.1} {:>16.1}",
                engine.name(),
                nanos(churn),
                nanos(near),
                nanos(far)
            );
        }
    }
    Ok(())
}

/// Shared data that one thread wants, or two.
fn shared_data() -> Result<(), Failure> {
    println!("\none hostcall on shared data by each of so many threads, ns");
    println!("{:<10} {:>8} {:<16} {:>8} {:>8}", "engine", "threads", "keys", "get", "set");
    for engine in engines()? {
        for (threads, keys) in [(1_usize, "one"), (2, "one"), (2, "one each")] {
            let apart = usize::from(keys == "one each");
            let mut times = Vec::new();
            for work in [
                "(call $get_data (i32.const KEY) (i32.const 6) (i32.const 0) (i32.const 4) (i32.const 8))",
                "(call $set_data (i32.const KEY) (i32.const 6) (i32.const 1024) (i32.const 20) (i32.const 0))",
            ] {
                let guests: Result<Vec<_>, _> = (0..threads)
                    .map(|thread| {
                        let key = (1024 + apart * thread).to_string();
                        let set = "(drop (call $set_data (i32.const KEY) (i32.const 6) (i32.const 1024) (i32.const 20) (i32.const 0)))";
                        load(&*engine, &looping(&set.replace("KEY", &key), &work.replace("KEY", &key), 0))
                    })
                    .collect();
                times.push(together(&guests?)?);
            }
            let nanos: Vec<_> = times.iter().map(|time| format!("{:>8.1}", time.as_secs_f64() * 1e9)).collect();
            println!("{:<10} {threads:>8} {keys:<16} {}", engine.name(), nanos.join(" "));
        }
    }
    Ok(())
}

/// Runs each guest on a thread of its own, all at once; the time of one turn of their loops.
fn together(guests: &[Box<dyn AnyModule>]) -> Result<Duration, Failure> {
    const CALLS: u32 = 200;
    let (shared, barrier) = (Shared::default(), Barrier::new(guests.len()));
    let run = |guest: &dyn AnyModule| -> Option<Duration> {
        let config = VmConfig { shared: shared.clone(), ..VmConfig::new(AbiVersion::V0_2_1) };
        let mut vm = Vm::start(guest, config, host(LogLevel::Critical)).ok()?;
        let root = vm.add_plugin(Plugin::new("bench").into()).ok()?;
        let mut times = Vec::with_capacity(TIMES);
        for _ in 0..TIMES {
            barrier.wait();
            let begin = Instant::now();
            for _ in 0..CALLS {
                vm.on_tick(root).ok()?;
            }
            times.push(begin.elapsed() / CALLS);
        }
        times.sort();
        times.get(TIMES / 2).copied()
    };
    let run = &run;
    let times: Option<Vec<_>> = std::thread::scope(|scope| {
        let threads: Vec<_> = guests.iter().map(|guest| scope.spawn(move || run(&**guest))).collect();
        threads.into_iter().map(|thread| thread.join().ok().flatten()).collect()
    });
    let times = times.ok_or("a guest failed")?;
    Ok(times.into_iter().sum::<Duration>() / u32::try_from(guests.len())? / u32::try_from(LOOPS)?)
}

fn per_operation(mut operation: impl FnMut()) -> Duration {
    let begin = Instant::now();
    for _ in 0..OPERATIONS {
        operation();
    }
    begin.elapsed().div_f64(OPERATIONS as f64)
}

fn median(mut measure: impl FnMut() -> Duration) -> Duration {
    // The first warms caches.
    measure();
    let mut times: Vec<_> = (0..TIMES).map(|_| measure()).collect();
    times.sort();
    times.get(TIMES / 2).copied().unwrap_or_default()
}
