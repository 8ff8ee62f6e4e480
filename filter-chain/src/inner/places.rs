//! VMs that are made for one stream each, and taken from others if need be.

use super::Inner;
use crate::id::{AnyStreamId, PluginId, VmId};
use crate::vms::NoVm;

impl Inner {
    /// Makes the VM of a stream of a connection, if a plugin has one for each and there is a place.
    pub(super) fn make_vm(&mut self, plugin: PluginId, connection: u64) -> Option<VmId> {
        if !self.vms.is_per_stream(plugin) {
            return None;
        }
        if self.vms.lacks_place(plugin, connection) {
            self.make_place(plugin, connection);
        }
        let mut made = self.vms.make_for_stream(plugin, connection);
        // Other workers and plugins may have what the engine has.
        if matches!(made, Err(NoVm::Lacks(_))) && self.make_place(plugin, connection) {
            made = self.vms.make_for_stream(plugin, connection);
        }
        if let Err(NoVm::Lacks(why)) = &made {
            self.vms.tell_no_vm(plugin, why);
        }
        made.ok()
    }

    /// Takes the VM of a stream away, without a word to the plugin. What the stream is answered is the failure policy's affair.
    pub(super) fn end_vm_of_stream(&mut self, vm: VmId) {
        self.vms.drop_actions(vm);
        self.give_up(vm);
        // What the plugin holds is taken back before its VM goes.
        for (stream, index) in self.vms.owners(vm) {
            match stream {
                AnyStreamId::Http(stream) => self.http.release(&mut self.vms, stream, index),
                AnyStreamId::Tcp(id) => self.tcp.release(&mut self.vms, id, index),
            }
        }
        self.vms.free(vm);
    }

    /// Makes a place for a stream of a connection, if others have more than a fair part of the plugin's; says whether it has.
    fn make_place(&mut self, plugin: PluginId, connection: u64) -> bool {
        let spared = self.vms.spare(plugin, connection);
        spared.inspect(|vm| self.end_vm_of_stream(*vm)).is_some()
    }
}
