use bytes::Bytes;

use super::{image, observed};

/// Makes a module show its globals; also their names. None for one of which no snapshot can be taken.
pub fn observe(wasm: &[u8]) -> Option<(Bytes, Vec<String>)> {
    observed::observed(wasm).ok()
}

/// Puts a state into a module. None for one that is too large.
pub fn bake(wasm: &[u8], memory: &[u8], globals: &[u128]) -> Option<Bytes> {
    image::baked(wasm, memory, globals).ok()
}
