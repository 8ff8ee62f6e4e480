//! What comes of callouts, and what guests ask for about them.

use std::net::IpAddr;

use portcullis_core::{CallOutcome, GrpcEvent, GrpcId, HeldBytes, Pending};

use crate::effect::Effect;
use crate::id::{CalloutId, VmId};
use crate::worker::Worker;

impl Worker {
    /// A callout has ended. One that was cancelled is ignored.
    pub fn callout_done(&mut self, id: CalloutId, outcome: CallOutcome) {
        let begun = self.begin_answer(id);
        let Some((vm, Pending::Http(call))) = self.callouts.get(id) else { return };
        self.callouts.end(id);
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { return };
        let result = sandbox.vm.on_http_call_response(call, outcome);
        self.charge(begun);
        self.after_answer(vm, result.is_err());
    }

    /// A lookup has ended; without addresses it has failed. One that was cancelled is ignored.
    pub fn resolved(&mut self, id: CalloutId, addresses: &[IpAddr]) {
        let begun = self.begin_answer(id);
        let Some((vm, Pending::Lookup(lookup))) = self.callouts.get(id) else { return };
        self.callouts.end(id);
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { return };
        let result = sandbox.vm.on_resolve_dns(lookup, addresses);
        self.charge(begun);
        self.after_answer(vm, result.is_err());
    }

    /// Something has come of a gRPC callout. Of one that was cancelled it is ignored.
    pub fn grpc_event(&mut self, id: CalloutId, event: GrpcEvent) {
        let begun = self.begin_answer(id);
        let Some((vm, Pending::Grpc(call))) = self.callouts.get(id) else { return };
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { return };
        let result = sandbox.vm.on_grpc(call, event);
        if !sandbox.vm.has_grpc(call) {
            self.callouts.end(id);
        }
        self.charge(begun);
        self.after_answer(vm, result.is_err());
    }

    /// Room for what has come of the answer to an HTTP or gRPC callout and is not told yet, at the cost of the plugin's sandbox; `None` if
    /// the callout is not in flight.
    pub fn answer_room(&mut self, id: CalloutId) -> Option<HeldBytes> {
        let (vm, Pending::Http(_) | Pending::Grpc(_)) = self.callouts.get(id)? else { return None };
        Some(self.sandboxes.vms.get_mut(vm)?.vm.state().held_bytes())
    }

    /// Asks for something to be done with a gRPC callout that is in flight.
    pub(crate) fn with_grpc(&mut self, vm: VmId, call: GrpcId, effect: impl FnOnce(CalloutId) -> Effect) {
        self.effects.extend(self.callouts.of_grpc(vm, call).map(effect));
    }

    /// Gives a gRPC callout up, as its plugin has asked.
    pub(crate) fn cancel_grpc(&mut self, vm: VmId, call: GrpcId) {
        if let Some(id) = self.callouts.of_grpc(vm, call) {
            self.callouts.end(id);
            self.effects.push_back(Effect::CancelCallout { id });
        }
    }

    /// Cancels all that a VM waits for.
    pub(crate) fn give_up(&mut self, vm: VmId) {
        for id in self.callouts.of_vm(vm) {
            self.callouts.end(id);
            self.effects.push_back(Effect::CancelCallout { id });
        }
    }

    fn after_answer(&mut self, vm: VmId, failed: bool) {
        self.after_call(vm, failed);
        self.run(None);
        self.let_go(vm);
    }
}
