//! Names that plugins have looked up.

use std::net::IpAddr;

use portcullis_core::LookupId;

use crate::effect::Effect;
use crate::id::{CalloutId, VmId};
use crate::worker::Worker;

impl Worker {
    /// A lookup has ended; without addresses it has failed. One that was cancelled is ignored.
    pub fn resolved(&mut self, id: CalloutId, addresses: &[IpAddr]) {
        let begun = self.begin_answer(id);
        let Some((vm, lookup)) = self.lookups.remove(&id) else { return };
        if let Some(sandbox) = self.sandboxes.vms.get_mut(vm) {
            let result = sandbox.vm.on_resolve_dns(lookup, addresses);
            self.charge(begun);
            self.waits(vm, -1);
            self.after_call(vm, result.is_err());
            self.run(None);
            self.let_go(vm);
        }
    }

    pub(crate) fn start_lookup(&mut self, vm: VmId, lookup: LookupId, name: String) {
        let id = self.next_callout();
        self.lookups.insert(id, (vm, lookup));
        self.waits(vm, 1);
        self.effects.push_back(Effect::ResolveDns { id, name });
    }
}
