//! The time of compiling a plugin, and of loading it from a warm code cache.
//!
//! Prints the ratio for each engine that has compiled code. No time is a failure: machines differ. `-- --quick` measures
//! once; `-- --fill FOLDER` fills a code cache for `compare/request_instructions.py` and measures nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use portcullis::code_cache::{CodeCache, CodeSource};
use portcullis::engine::EngineSettings;
use portcullis::{Module, engine};
use portcullis_benches::table::{Results, Table, is_quick};
use portcullis_benches::{Failure, median};
use serde_json::Value;

const PLUGIN: &[u8] = include_bytes!("../../guests/wasm/header_tour.wasm");

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args_os().skip_while(|argument| argument != "--fill").skip(1);
    arguments.next().map_or_else(measure_engines, |folder| fill(Path::new(&folder)))
}

/// Fills a code cache with the code of each engine that has some.
fn fill(folder: &Path) -> Result<(), Failure> {
    for info in engine::all().iter().filter(|info| info.features.precompiled) {
        CodeCache::open(folder)?.load(&*info.start(&EngineSettings::default())?, PLUGIN)?;
    }
    Ok(())
}

fn measure_engines() -> Result<(), Failure> {
    let times = if is_quick() { 1 } else { 11 };
    let title = format!("{} bytes of WebAssembly, median of {times}", PLUGIN.len());
    let mut table = Table::new(&title, &["engine", "compile_ms", "warm_cache_ms", "ratio"]);
    for info in engine::all() {
        let engine = info.start(&EngineSettings::default())?;
        let compiled = measure(times, || Module::load(&*engine, PLUGIN.into()).map(drop))?;
        if !info.features.precompiled {
            table.row(vec![info.name.into(), millis(compiled).into(), Value::Null, Value::Null]);
            continue;
        }
        let folder = std::env::temp_dir().join(format!("portcullis-cold-start-{}", std::process::id()));
        let cache = CodeCache::open(&folder)?;
        let first = cache.load(&*engine, PLUGIN)?.source;
        assert!(matches!(first, CodeSource::Kept(_)), "{first:?}");
        // Everything that a start does: key, file, seal, verdict, and the engine's own checks.
        let cached = measure(times, || {
            let source = CodeCache::open(&folder)?.load(&*engine, PLUGIN)?.source;
            assert!(matches!(source, CodeSource::Folder(_)), "{source:?}");
            Ok::<_, Failure>(())
        })?;
        std::fs::remove_dir_all(&folder)?;
        let ratio = compiled.as_secs_f64() / cached.as_secs_f64();
        table.row(vec![info.name.into(), millis(compiled).into(), millis(cached).into(), ratio.into()]);
    }
    let mut results = Results::default();
    results.add("cold_start", table);
    results.write()
}

fn measure<E>(times: usize, mut run: impl FnMut() -> Result<(), E>) -> Result<Duration, E> {
    let measured: Result<Vec<_>, E> = (0..times)
        .map(|_| {
            let start = Instant::now();
            run().map(|()| start.elapsed())
        })
        .collect();
    Ok(median(measured?))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
