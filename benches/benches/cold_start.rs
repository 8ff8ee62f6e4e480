//! Making a plugin ready to run: compiling it, and loading it from a warm code cache, in one run.
//!
//! Prints the ratio for each engine that has compiled code, and fails nothing: machines differ.

use std::time::{Duration, Instant};

use portcullis::core::EngineSettings;
use portcullis::{CodeCache, CodeSource, Module, engines};
use portcullis_benches::Failure;

const PLUGIN: &[u8] = include_bytes!("../../guests/wasm/header_tour.wasm");

/// How often each is done; the median counts.
const TIMES: usize = 11;

fn main() -> Result<(), Failure> {
    println!("{} bytes of WebAssembly, median of {TIMES}", PLUGIN.len());
    println!("{:<18} {:>12} {:>12} {:>8}", "engine", "compile", "warm cache", "ratio");
    for info in engines() {
        let engine = info.start(&EngineSettings::default())?;
        let compiled = median(|| Module::load(&*engine, PLUGIN.into()).map(drop))?;
        if !info.features.precompiled {
            println!("{:<18} {:>12} {:>12} {:>8}", info.name, shown(compiled), "-", "-");
            continue;
        }
        let folder = std::env::temp_dir().join(format!("portcullis-cold-start-{}", std::process::id()));
        let cache = CodeCache::open(&folder)?;
        let first = cache.load(&*engine, PLUGIN)?.source;
        assert!(matches!(first, CodeSource::Kept(_)), "{first:?}");
        // All that a start does: the key, the file, the seal, the verdict, the engine's own checks.
        let cached = median(|| {
            let source = CodeCache::open(&folder)?.load(&*engine, PLUGIN)?.source;
            assert!(matches!(source, CodeSource::Folder(_)), "{source:?}");
            Ok::<_, Failure>(())
        })?;
        std::fs::remove_dir_all(&folder)?;
        let ratio = compiled.as_secs_f64() / cached.as_secs_f64();
        println!("{:<18} {:>12} {:>12} {ratio:>7.1}x", info.name, shown(compiled), shown(cached));
    }
    Ok(())
}

fn median<E>(mut run: impl FnMut() -> Result<(), E>) -> Result<Duration, E> {
    let mut times = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(TIMES / 2).copied().unwrap_or_default())
}

fn shown(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
