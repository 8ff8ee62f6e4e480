use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::ContextId;

/// A map by contexts of one VM.
pub type ContextMap<V> = HashMap<ContextId, V, BuildHasherDefault<IdHasher>>;

/// For keys that are one id each, ours and consecutive: they need neither spreading nor protection. Neighbours stand side by side, where
/// the ones in use are in the processor's caches together.
#[derive(Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_usize(&mut self, id: usize) {
        self.0 = in_order(self.0 ^ id as u64);
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = in_order(self.0 ^ u64::from(id));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The place is the low bits. The top seven tell entries apart that are near each other.
fn in_order(id: u64) -> u64 {
    const TOP: u64 = 0x7F << 57;
    (id & !TOP) | (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) & TOP)
}
