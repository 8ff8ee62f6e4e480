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
}

impl Vms {
    /// Adds a VM; says its number.
    pub(crate) fn insert(&mut self, sandbox: Sandbox) -> usize {
        self.made += 1;
        self.live.insert(self.made, sandbox);
        self.made
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
        self.live.iter().map(|(vm, sandbox)| (*vm, sandbox))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Sandbox)> {
        self.live.iter_mut().map(|(vm, sandbox)| (*vm, sandbox))
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }
}
