use std::collections::HashMap;

use super::SharedLimits;
use crate::abi::Status;

/// Values by key, each with the version of its last change.
#[derive(Default)]
pub(super) struct Data {
    values: HashMap<Box<[u8]>, (Vec<u8>, u32)>,
    bytes: usize,
}

impl Data {
    pub(super) fn get(&self, key: &[u8]) -> Option<(&[u8], u32)> {
        self.values.get(key).map(|(value, cas)| (value.as_slice(), *cas))
    }

    pub(super) fn set(
        &mut self,
        key: &[u8],
        value: &[u8],
        cas: u32,
        next_cas: impl FnOnce() -> u32,
        limits: &SharedLimits,
    ) -> Result<(), Status> {
        let count = self.values.len();
        let old = self.values.get_mut(key);
        if old.as_ref().is_some_and(|(_, current)| cas != 0 && cas != *current) {
            return Err(Status::CasMismatch);
        }
        let freed = old.as_ref().map_or(0, |(value, _)| key.len() + value.len());
        let bytes = (self.bytes - freed).saturating_add(key.len()).saturating_add(value.len());
        if bytes > limits.data || (old.is_none() && count >= limits.keys) {
            return Err(Status::InternalFailure);
        }
        self.bytes = bytes;
        match old {
            Some((old, current)) => {
                old.clear();
                old.extend_from_slice(value);
                // A value that was long once does not keep its room.
                old.shrink_to(value.len().saturating_mul(2));
                *current = next_cas();
            }
            None => drop(self.values.insert(key.into(), (value.to_vec(), next_cas()))),
        }
        Ok(())
    }
}
