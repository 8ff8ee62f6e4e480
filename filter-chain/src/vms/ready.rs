//! The VMs that have been told of queues' items, so that no other one is asked.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portcullis_core::resources::Wake;

use crate::id::VmId;

/// The VMs of a worker that may have items of queues to tell. A plugin that puts an item, on any thread, adds to them.
#[derive(Clone, Debug, Default)]
pub(super) struct Ready(Arc<Mutex<BTreeSet<VmId>>>);

impl Ready {
    /// Returns a waker for a VM: notes the VM, then wakes its worker.
    pub(super) fn wake(&self, vm: VmId, worker: Option<Wake>) -> Wake {
        let ready = self.clone();
        Wake::new(move || {
            ready.put([vm]);
            if let Some(worker) = &worker {
                worker.wake();
            }
        })
    }

    /// Takes all of them. To be called before their inboxes are looked into: what comes meanwhile is noted again.
    pub(super) fn take(&self) -> BTreeSet<VmId> {
        std::mem::take(&mut *self.lock())
    }

    /// Notes VMs that have more to tell.
    pub(super) fn put(&self, vms: impl IntoIterator<Item = VmId>) {
        self.lock().extend(vms);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<VmId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
