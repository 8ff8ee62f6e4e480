//! Which proposal it is that a module needs and some engine lacks.

use wasmparser::{Validator, WasmFeatures};

/// WebAssembly 2.0 and extended constant expressions: what all engines run. Of the rest, wasmer
/// lacks tail calls, and `externref` needs a garbage collector in wasmtime. wasmi has SIMD behind a
/// cargo feature.
pub(crate) const FEATURES: WasmFeatures =
    WasmFeatures::WASM2.union(WasmFeatures::EXTENDED_CONST).difference(WasmFeatures::GC_TYPES);

/// Proposals beyond [`FEATURES`], those that need others behind these. What a memory may not be has errors of
/// its own.
const PROPOSALS: [(&str, WasmFeatures); 13] = [
    ("tail calls", WasmFeatures::TAIL_CALL),
    ("threads", WasmFeatures::THREADS),
    ("relaxed SIMD", WasmFeatures::RELAXED_SIMD),
    ("64-bit tables", WasmFeatures::MEMORY64),
    ("custom page sizes", WasmFeatures::CUSTOM_PAGE_SIZES),
    ("wide arithmetic", WasmFeatures::WIDE_ARITHMETIC),
    ("compact imports", WasmFeatures::COMPACT_IMPORTS),
    ("references to host objects (externref)", WasmFeatures::GC_TYPES),
    ("typed function references", WasmFeatures::FUNCTION_REFERENCES),
    ("exceptions", EXCEPTIONS),
    ("garbage collection", GC),
    ("stack switching", WasmFeatures::STACK_SWITCHING.union(EXCEPTIONS).union(GC)),
    ("shared-everything threads", WasmFeatures::SHARED_EVERYTHING_THREADS.union(WasmFeatures::THREADS).union(GC)),
];

const EXCEPTIONS: WasmFeatures =
    WasmFeatures::EXCEPTIONS.union(WasmFeatures::LEGACY_EXCEPTIONS).union(WasmFeatures::GC_TYPES);

const GC: WasmFeatures = WasmFeatures::GC.union(WasmFeatures::FUNCTION_REFERENCES).union(WasmFeatures::GC_TYPES);

/// Returns the proposal without which a module is not valid at `offset`: the first with which it is valid, or is so up
/// to a later place.
pub(super) fn missing(wasm: &[u8], offset: usize) -> Option<&'static str> {
    let helps = |features| {
        let validated = Validator::new_with_features(FEATURES.union(features)).validate_all(wasm);
        validated.err().is_none_or(|error| error.offset() > offset)
    };
    PROPOSALS.iter().find(|(_, features)| helps(*features)).map(|(name, _)| *name)
}
