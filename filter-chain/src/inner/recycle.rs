//! How VMs are recycled, how those end whose places were taken, and how those that have failed are started again.

use super::Inner;
use crate::id::{AnyStreamId, PluginId, VmId};

impl Inner {
    /// Does what is due about a VM: has another one take its place or, if that has happened, ends it. One that has failed is started
    /// again, also if nothing comes to it.
    ///
    /// differs: in Envoy only a stream that comes to it does that, so that the first one waits for the start, and a plugin that only ticks
    /// stays away.
    pub(super) fn see_to_upkeep(&mut self, vm: VmId) {
        if self.vms.was_recycled(vm) {
            return self.end_old(vm);
        }
        if let Some(plugin) = self.vms.failed_member(vm) {
            return self.start_again(plugin, vm);
        }
        if !self.vms.recycle(vm) {
            return self.run(None);
        }
        self.run(None);
        self.release(vm);
    }

    /// Starts a VM that has failed again, if it has rested.
    fn start_again(&mut self, plugin: PluginId, vm: VmId) {
        let revived = self.vms.revive(plugin);
        self.run(None);
        match revived {
            Some(old) => self.release(old),
            None => self.vms.look_again(vm),
        }
    }

    /// Ends a VM that was recycled. Its plugins log and forget the streams that are left, which go on by the failure policies, and its
    /// roots are asked to end. What they send then is sent, and answered if the answer comes soon; the second time the VM goes.
    fn end_old(&mut self, vm: VmId) {
        if !self.vms.begin_end(vm) {
            return self.free_old(vm);
        }
        for (stream, index) in self.vms.owners_in_order(vm) {
            match stream {
                AnyStreamId::Http(stream) => self.http.dismiss(&mut self.vms, stream, index),
                AnyStreamId::Tcp(id) => self.tcp.dismiss(&mut self.vms, id, index),
            }
        }
        while let Some((plugin, false)) = self.vms.root_left(vm) {
            self.end_root(plugin);
        }
        self.run(None);
        self.release(vm);
    }

    /// Frees a VM that was recycled and has ended, whatever its roots wait for.
    fn free_old(&mut self, vm: VmId) {
        self.give_up(vm);
        self.vms.end_roots(vm);
        self.vms.drop_actions(vm);
        self.vms.free(vm);
        self.run(None);
    }
}
