//! The VMs of a worker by their numbers.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use portcullis_core::IdHasher;

use crate::id::VmId;
use crate::vms::Sandbox;

/// VMs by numbers that are not given twice: whoever still knows the number of a VM that has gone finds none, and not
/// another one.
pub(crate) struct Vms {
    last: VmId,
    live: HashMap<VmId, Sandbox, BuildHasherDefault<IdHasher>>,
    /// How many VMs have been walked over.
    #[cfg(test)]
    pub(crate) walked: std::cell::Cell<usize>,
}

impl Default for Vms {
    fn default() -> Self {
        Self {
            last: VmId::NONE,
            live: HashMap::default(),
            #[cfg(test)]
            walked: Default::default(),
        }
    }
}

impl Vms {
    /// A number for a VM.
    pub(crate) fn number(&mut self) -> VmId {
        self.last = self.last.next();
        self.last
    }

    /// Adds a VM under its number.
    pub(crate) fn insert(&mut self, vm: VmId, sandbox: Sandbox) {
        self.live.insert(vm, sandbox);
    }

    #[inline]
    pub(crate) fn get(&self, vm: impl Into<Option<VmId>>) -> Option<&Sandbox> {
        self.live.get(&vm.into()?)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, vm: impl Into<Option<VmId>>) -> Option<&mut Sandbox> {
        self.live.get_mut(&vm.into()?)
    }

    pub(crate) fn remove(&mut self, vm: VmId) -> Option<Sandbox> {
        self.live.remove(&vm)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (VmId, &Sandbox)> {
        #[cfg(test)]
        self.walked.update(|walked| walked + self.live.len());
        self.live.iter().map(|(vm, sandbox)| (*vm, sandbox))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (VmId, &mut Sandbox)> {
        #[cfg(test)]
        self.walked.update(|walked| walked + self.live.len());
        self.live.iter_mut().map(|(vm, sandbox)| (*vm, sandbox))
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }
}
