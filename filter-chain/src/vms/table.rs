//! VMs by their ids.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use portcullis_core::model::IdHasher;

use super::instance::VmInstance;
use crate::id::VmId;

/// VMs by ids that are not given twice: the id of a VM that has gone finds none.
pub(super) struct Table {
    last: VmId,
    live: HashMap<VmId, VmInstance, BuildHasherDefault<IdHasher>>,
    /// How many VMs have been walked over.
    #[cfg(test)]
    walked: std::cell::Cell<usize>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            last: VmId::NONE,
            live: HashMap::default(),
            #[cfg(test)]
            walked: Default::default(),
        }
    }
}

impl Table {
    /// Returns an id for a VM.
    pub(super) fn next_id(&mut self) -> VmId {
        self.last = self.last.next();
        self.last
    }

    pub(super) fn insert(&mut self, vm: VmId, instance: VmInstance) {
        self.live.insert(vm, instance);
    }

    /// Returns a VM; none if it has gone, as that of a stream may for the sake of another one.
    #[inline]
    pub(super) fn get(&self, vm: VmId) -> Option<&VmInstance> {
        self.live.get(&vm)
    }

    /// Returns the same, to be changed.
    #[inline]
    pub(super) fn get_mut(&mut self, vm: VmId) -> Option<&mut VmInstance> {
        self.live.get_mut(&vm)
    }

    /// Returns a VM that has not gone: whatever names it goes before it does.
    #[inline]
    pub(super) fn known(&self, vm: VmId) -> Option<&VmInstance> {
        let instance = self.live.get(&vm);
        debug_assert!(instance.is_some(), "{vm:?} has gone, and something that should have gone before it names it");
        instance
    }

    /// Returns the same, to be changed.
    #[inline]
    pub(super) fn known_mut(&mut self, vm: VmId) -> Option<&mut VmInstance> {
        let instance = self.live.get_mut(&vm);
        debug_assert!(instance.is_some(), "{vm:?} has gone, and something that should have gone before it names it");
        instance
    }

    pub(super) fn remove(&mut self, vm: VmId) -> Option<VmInstance> {
        self.live.remove(&vm)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (VmId, &VmInstance)> {
        #[cfg(test)]
        self.walked.update(|walked| walked + self.live.len());
        self.live.iter().map(|(vm, instance)| (*vm, instance))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (VmId, &mut VmInstance)> {
        #[cfg(test)]
        self.walked.update(|walked| walked + self.live.len());
        self.live.iter_mut().map(|(vm, instance)| (*vm, instance))
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    /// Returns how many VMs have been walked over since the last call.
    #[cfg(test)]
    pub(super) fn take_walked(&self) -> usize {
        self.walked.take()
    }
}
