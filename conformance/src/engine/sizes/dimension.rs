//! A dimension in which a module can be large.

use super::parts::Parts;

/// Something that a module can have much of.
#[derive(Clone, Copy, Debug)]
pub struct Dimension {
    /// Its name.
    pub name: &'static str,
    /// How much of it every engine takes, up to the most.
    pub accepted: &'static [u32],
    /// How much of it no engine takes, from the least on.
    pub refused: &'static [u32],
    pub(super) write: fn(&mut Parts, u32),
}

impl Dimension {
    /// Returns a module with so much of it.
    pub fn wasm(&self, size: u32) -> Vec<u8> {
        let mut parts = Parts::new();
        (self.write)(&mut parts, size);
        parts.module()
    }
}
