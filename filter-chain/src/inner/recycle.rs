//! How VMs are recycled, and how those end whose places were taken.

use super::Inner;
use crate::id::{AnyStreamId, VmId};
use crate::vms::Ends;

impl Inner {
    /// Does what is due about a VM: has another one take its place or, if that has happened, ends it.
    pub(super) fn see_to_upkeep(&mut self, vm: VmId) {
        if self.vms.was_recycled(vm) {
            return self.end_old(vm, Ends::Lingered);
        }
        if !self.vms.recycle(vm) {
            return self.run(None);
        }
        self.run(None);
        self.release(vm);
        if let Some(oldest) = self.vms.surplus(vm) {
            self.end_old(oldest, Ends::Surplus);
        }
    }

    /// Ends a VM that was recycled. Its plugins log and forget the streams that are left, which go on by the failure policies, and its
    /// roots end; no answer is waited for.
    fn end_old(&mut self, vm: VmId, ends: Ends) {
        self.vms.tell_end(vm, ends);
        self.give_up(vm);
        for (stream, index) in self.vms.owners_in_order(vm) {
            match stream {
                AnyStreamId::Http(stream) => self.http.dismiss(&mut self.vms, stream, index),
                AnyStreamId::Tcp(id) => self.tcp.dismiss(&mut self.vms, id, index),
            }
        }
        self.vms.end_roots(vm);
        self.vms.drop_actions(vm);
        self.vms.free(vm);
        self.run(None);
    }
}
