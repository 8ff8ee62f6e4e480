//! gRPC callouts of plugins.

use portcullis_core::{GrpcEvent, GrpcId, GrpcRequest, HeldBytes};

use crate::effect::Effect;
use crate::id::{CalloutId, VmId};
use crate::worker::Worker;

impl Worker {
    /// Something has come of a gRPC callout. Of one that was cancelled it is ignored.
    pub fn grpc_event(&mut self, id: CalloutId, event: GrpcEvent) {
        let begun = self.begin_answer(id);
        let Some((vm, call)) = self.grpc.get(&id).copied() else { return };
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { return };
        let result = sandbox.vm.on_grpc(call, event);
        self.charge(begun);
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { return };
        if !sandbox.vm.has_grpc(call) && sandbox.grpc.remove(&call).is_some() {
            self.grpc.remove(&id);
            self.grpc_ended(vm, call);
        }
        self.after_call(vm, result.is_err());
        self.run(None);
        self.let_go(vm);
    }

    /// Room for what has come of the answer to an HTTP or gRPC callout and is not told yet, at the cost of the plugin's sandbox; `None` if
    /// the callout is not in flight.
    pub fn answer_room(&mut self, id: CalloutId) -> Option<HeldBytes> {
        let http = self.callouts.get(&id).map(|(vm, _)| *vm);
        let vm = http.or_else(|| self.grpc.get(&id).map(|(vm, _)| *vm))?;
        Some(self.sandboxes.vms.get_mut(vm)?.vm.state().held_bytes())
    }

    pub(crate) fn start_grpc(&mut self, vm: VmId, call: GrpcId, request: GrpcRequest) {
        let id = self.next_callout();
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { return };
        sandbox.grpc.insert(call, id);
        self.grpc.insert(id, (vm, call));
        if call.is_call() {
            self.waits(vm, 1);
        }
        self.effects.push_back(Effect::GrpcStart { id, request });
    }

    /// Asks for something to be done with a callout that is in flight.
    pub(crate) fn with_grpc(&mut self, vm: VmId, call: GrpcId, effect: impl FnOnce(CalloutId) -> Effect) {
        let id = self.sandboxes.vms.get(vm).and_then(|sandbox| sandbox.grpc.get(&call));
        self.effects.extend(id.copied().map(effect));
    }

    /// The plugin gives it up.
    pub(crate) fn cancel_grpc(&mut self, vm: VmId, call: GrpcId) {
        let id = self.sandboxes.vms.get_mut(vm).and_then(|sandbox| sandbox.grpc.remove(&call));
        if let Some(id) = id {
            self.grpc.remove(&id);
            self.grpc_ended(vm, call);
            self.effects.push_back(Effect::CancelCallout { id });
        }
    }

    /// A call has an end of its own, which a VM waits for; a stream may have none.
    fn grpc_ended(&mut self, vm: VmId, call: GrpcId) {
        if call.is_call() {
            self.waits(vm, -1);
        }
    }
}
