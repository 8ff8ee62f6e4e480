//! The time from when a VM that has trapped is due until it serves again: over 100 traps of `header_tour`, one after the other, with the
//! longest rests that there are left out (`reload_config.backoff` of 1 ms).
//!
//! Prints a table; the column `instantiate_ms` is the part of the engine, the rest is the plugin's own start (`_initialize`,
//! `proxy_on_vm_start`, `proxy_on_configure`) and that of the chain. No time is a failure: machines differ. `-- --quick` traps ten times.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::abi::{HostcallId, LogLevel};
use portcullis::chain::Backoff;
use portcullis::model::{Direction, FailurePolicy, Plugin, StreamInfo};
use portcullis::rights::{Capabilities, OnDenial};
use portcullis::{Module, PluginSpec, Worker};
use portcullis_benches::table::{Results, Table, is_quick};
use portcullis_benches::{Failure, engines, header_tour, host, start};

fn main() -> Result<(), Failure> {
    let mut results = Results::default();
    results.add("revive", revive()?);
    results.write()
}

fn revive() -> Result<Table, Failure> {
    let traps = if is_quick() { 10 } else { 100 };
    let columns = &["engine", "traps", "median_ms", "p99_ms", "longest_ms", "instantiate_ms"];
    let mut table = Table::new("a trap, from when another VM is due until it serves", columns);
    for engine in engines()? {
        let module = Arc::new(Module::load(&*engine, header_tour()?)?);
        let mut instantiated = Vec::with_capacity(traps);
        for _ in 0..traps {
            let begin = Instant::now();
            drop(start(module.compiled())?);
            instantiated.push(begin.elapsed());
        }
        let mut times = traps_of(module, traps)?;
        times.sort_unstable();
        instantiated.sort_unstable();
        let at = |times: &[Duration], percent: usize| times.get((times.len() * percent).div_ceil(100) - 1).copied();
        let cell = |time: Option<Duration>| (time.unwrap_or_default().as_secs_f64() * 1000.0).into();
        table.row(vec![
            engine.name().into(),
            traps.into(),
            cell(at(&times, 50)),
            cell(at(&times, 99)),
            cell(at(&times, 100)),
            cell(at(&instantiated, 50)),
        ]);
    }
    Ok(table)
}

/// Has a plugin trap in a request and measures until it has answered the next one, time and again.
fn traps_of(module: Arc<Module>, traps: usize) -> Result<Vec<Duration>, Failure> {
    // Requests of a path get as far as the first header that is read, which is denied.
    let capabilities = [
        HostcallId::proxy_get_header_map_pairs,
        HostcallId::proxy_get_header_map_value,
        HostcallId::proxy_add_header_map_value,
        HostcallId::proxy_replace_header_map_value,
    ];
    let rights = capabilities.into_iter().fold(Capabilities::ALL, Capabilities::without);
    let plugin = Plugin::new("bench")
        .with_capabilities(rights)
        .with_on_denial(OnDenial::Trap)
        .with_failure_policy(FailurePolicy::Reload);
    let spec =
        PluginSpec::new(plugin, module).with_reload(Backoff::new(Duration::from_millis(1), Duration::from_millis(1)));
    let mut worker = Worker::new(|| host(LogLevel::Critical));
    let chain = worker.load(&[spec])?;
    let mut times = Vec::with_capacity(traps);
    for _ in 0..traps {
        let stream = worker.open(&chain, StreamInfo::default().into_shared(), 1 << 20);
        let headers = [(":method", "GET"), (":path", "/"), (":authority", "a")].into_iter().collect();
        worker.headers(stream, Direction::Request, headers, true);
        worker.finish(stream);
        if worker.vm_counts().failed != 1 {
            return Err("the plugin did not trap".into());
        }
        let mut began = Instant::now();
        while worker.vm_counts().failed == 1 {
            began = Instant::now();
            worker.tick();
            if began.elapsed() > Duration::from_secs(10) {
                return Err("the plugin was not started again".into());
            }
        }
        times.push(began.elapsed());
    }
    Ok(times)
}
