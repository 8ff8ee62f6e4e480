use std::collections::HashMap;

use super::SharedLimits;
use crate::abi::Status;
use crate::capability::rate::Kept;

/// Values by key, each with the version of its last change.
#[derive(Default)]
pub(super) struct Data {
    values: HashMap<Box<[u8]>, Entry>,
    bytes: usize,
}

/// A value.
pub(crate) struct Entry {
    value: Vec<u8>,
    cas: u32,
    /// What counts its bytes for the plugin that set it.
    pub(crate) kept: Option<Kept>,
}

impl Data {
    pub(super) fn get(&self, key: &[u8]) -> Option<(&[u8], u32)> {
        self.values.get(key).map(|entry| (entry.value.as_slice(), entry.cas))
    }

    pub(super) fn set(
        &mut self,
        key: &[u8],
        value: &[u8],
        cas: u32,
        keep: impl FnOnce(Option<&Entry>) -> Result<Option<Kept>, Status>,
        next_cas: impl FnOnce() -> u32,
        limits: &SharedLimits,
    ) -> Result<(), Status> {
        let count = self.values.len();
        let old = self.values.get_mut(key);
        if old.as_ref().is_some_and(|entry| cas != 0 && cas != entry.cas) {
            return Err(Status::CasMismatch);
        }
        let freed = old.as_ref().map_or(0, |entry| key.len() + entry.value.len());
        let bytes = (self.bytes - freed).saturating_add(key.len()).saturating_add(value.len());
        if bytes > limits.data || (old.is_none() && count >= limits.keys) {
            return Err(Status::InternalFailure);
        }
        let kept = keep(old.as_deref())?;
        self.bytes = bytes;
        match old {
            Some(entry) => {
                entry.value.clear();
                entry.value.extend_from_slice(value);
                // A value that was long once does not keep its room.
                entry.value.shrink_to(value.len().saturating_mul(2));
                (entry.cas, entry.kept) = (next_cas(), kept);
            }
            None => drop(self.values.insert(key.into(), Entry { value: value.to_vec(), cas: next_cas(), kept })),
        }
        Ok(())
    }
}
