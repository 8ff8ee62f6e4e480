//! The VMs of a worker by their numbers.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use portcullis_core::IdHasher;

use crate::sandboxes::Sandbox;

/// VMs by numbers that are not given twice: whoever still knows the number of a VM that has gone finds none, and not
/// another one.
#[derive(Default)]
pub(crate) struct Vms {
    made: usize,
    live: HashMap<usize, Sandbox, BuildHasherDefault<IdHasher>>,
    /// How many VMs have been walked over.
    #[cfg(test)]
    pub(crate) walked: std::cell::Cell<usize>,
}

impl Vms {
    /// A number for a VM.
    pub(crate) fn number(&mut self) -> usize {
        self.made += 1;
        self.made
    }

    /// Adds a VM under its number.
    pub(crate) fn insert(&mut self, vm: usize, sandbox: Sandbox) {
        self.live.insert(vm, sandbox);
    }

    #[inline]
    pub(crate) fn get(&self, vm: usize) -> Option<&Sandbox> {
        self.live.get(&vm)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, vm: usize) -> Option<&mut Sandbox> {
        self.live.get_mut(&vm)
    }

    pub(crate) fn remove(&mut self, vm: usize) -> Option<Sandbox> {
        self.live.remove(&vm)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Sandbox)> {
        #[cfg(test)]
        self.walked.update(|walked| walked + self.live.len());
        self.live.iter().map(|(vm, sandbox)| (*vm, sandbox))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Sandbox)> {
        #[cfg(test)]
        self.walked.update(|walked| walked + self.live.len());
        self.live.iter_mut().map(|(vm, sandbox)| (*vm, sandbox))
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }
}
