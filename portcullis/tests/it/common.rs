//! Shared by tests: the committed plugins, compiled once for each engine.

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use portcullis::code_cache::CodeCache;
use portcullis::{Module, Worker};
use portcullis_core::engine::AnyEngine;

/// Reads a committed plugin.
pub(crate) fn guest(name: &str) -> Bytes {
    fs::read(format!("{}/../guests/wasm/{name}.wasm", env!("CARGO_MANIFEST_DIR"))).unwrap().into()
}

/// Loads a plugin, which is compiled if no test of this process has done so.
pub(crate) fn load(engine: &dyn AnyEngine, code: &[u8]) -> Arc<Module> {
    static COMPILED: LazyLock<CodeCache> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        // What an earlier process left may be of an engine that was another one then.
        let _ = fs::remove_dir_all(&folder);
        CodeCache::open(&folder).unwrap()
    });
    COMPILED.load(engine, code).unwrap().module.into()
}

/// Returns how many VMs of a worker run, and how many have failed.
pub(crate) fn vm_counts(worker: &Worker) -> (usize, usize) {
    let counts = worker.vm_counts();
    (counts.running, counts.failed)
}
