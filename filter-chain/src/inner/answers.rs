//! Answers to callouts.

use std::net::IpAddr;

use portcullis_core::resources::GrpcEvent;
use portcullis_core::sandbox::HeldBytes;
use portcullis_core::vm::{CallOutcome, Pending};

use super::Inner;
use crate::id::{CalloutId, VmId};

impl Inner {
    /// Delivers the outcome of an HTTP callout. That of one that was cancelled is ignored.
    pub(crate) fn callout_done(&mut self, id: CalloutId, outcome: CallOutcome) {
        let Some((vm, Pending::Http(call))) = self.callouts.get(id) else { return };
        let begun = self.begin_answer(id);
        self.callouts.end(id);
        self.vms.call(vm, |vm| vm.on_http_call_response(call, outcome));
        self.charge(begun);
        self.after_answer(vm);
    }

    /// Delivers the addresses of a name; none if the lookup has failed. Those of a lookup that was cancelled are ignored.
    pub(crate) fn resolved(&mut self, id: CalloutId, addresses: &[IpAddr]) {
        let Some((vm, Pending::Lookup(lookup))) = self.callouts.get(id) else { return };
        let begun = self.begin_answer(id);
        self.callouts.end(id);
        self.vms.call(vm, |vm| vm.on_resolve_dns(lookup, addresses));
        self.charge(begun);
        self.after_answer(vm);
    }

    /// Delivers what has come of a gRPC callout. Of one that was cancelled it is ignored.
    pub(crate) fn grpc_event(&mut self, id: CalloutId, event: GrpcEvent) {
        let Some((vm, Pending::Grpc(call))) = self.callouts.get(id) else { return };
        let begun = self.begin_answer(id);
        // One that the guest gives up in the callback is there until that is carried out.
        let mut lasts = false;
        self.vms.call(vm, |vm| {
            let result = vm.on_grpc(call, event);
            lasts = vm.has_grpc(call);
            result
        });
        if !lasts {
            self.callouts.end(id);
        }
        self.charge(begun);
        self.after_answer(vm);
    }

    /// Returns room for what has come of the answer to an HTTP or gRPC callout and is not told yet, at the cost of the plugin's sandbox.
    pub(crate) fn answer_room(&mut self, id: CalloutId) -> Option<HeldBytes> {
        let (vm, Pending::Http(_) | Pending::Grpc(_)) = self.callouts.get(id)? else { return None };
        Some(self.vms.get_mut(vm)?.state().held_bytes())
    }

    fn after_answer(&mut self, vm: VmId) {
        self.run(None);
        self.release(vm);
    }
}
