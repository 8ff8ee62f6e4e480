//! How roots end, and VMs that nothing comes to any more are freed.

use super::Inner;
use crate::id::{PluginId, VmId};

impl Inner {
    /// Asks all plugins to end.
    pub(crate) fn shut_down(&mut self) {
        self.vms.plugin_ids().into_iter().for_each(|plugin| self.end_root(plugin));
        self.run(None);
    }

    /// Frees a VM that nothing new comes to, if its streams are over, it waits for no answer, and its roots have ended,
    /// which are asked to now. A gRPC stream may last for ever, so it ends with the streams.
    pub(super) fn release(&mut self, vm: VmId) {
        self.delete_kept_roots(vm);
        while self.vms.is_over(vm) && !self.may_wait(vm) {
            let has_failed = self.vms.has_failed(vm);
            match self.vms.root_left(vm).filter(|_| !has_failed) {
                Some((_, true)) => return self.vms.retire(vm),
                Some((plugin, false)) => {
                    self.end_root(plugin);
                    self.run(None);
                }
                None => {
                    self.give_up(vm);
                    self.vms.free(vm);
                }
            }
        }
    }

    /// Asks the root of a plugin to end, and deletes it if it has.
    pub(super) fn end_root(&mut self, plugin: PluginId) {
        if let Some((vm, root, Ok(true))) = self.vms.end_root(plugin) {
            self.vms.delete_root(vm, root);
        }
    }

    /// Says whether a VM whose streams are over may wait for its callouts.
    fn may_wait(&mut self, vm: VmId) -> bool {
        self.callouts.pending(vm) > 0 && self.vms.may_wait(vm)
    }

    /// Deletes the roots that have waited for the streams of their VM.
    fn delete_kept_roots(&mut self, vm: VmId) {
        let roots = self.vms.take_kept_roots(vm);
        if !roots.is_empty() {
            roots.into_iter().for_each(|root| self.vms.delete_root(vm, root));
            self.run(None);
        }
    }
}
