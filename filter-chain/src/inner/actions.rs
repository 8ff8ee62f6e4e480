//! Actions of guests, carried out once their callback has returned.

use portcullis_core::model::{Action, Direction};
use portcullis_core::vm::Pending;

use super::Inner;
use crate::effect::{Effect, StreamEffect};
use crate::id::{AnyStreamId, CalloutId, VmId};

impl Inner {
    /// Carries out an action of a guest. One that concerns a stream that is over is void.
    pub(super) fn act(&mut self, vm: VmId, action: Action) {
        match action {
            Action::Continue { context, stream } => {
                let direction = Direction::of(stream);
                match self.vms.owner(vm, context) {
                    Some((AnyStreamId::Http(id), index)) => self.http.resume(&mut self.vms, id, index, direction),
                    Some((AnyStreamId::Tcp(id), index)) => self.tcp.resume(&mut self.vms, id, index, direction),
                    None => {}
                }
            }
            Action::Close { context, stream } => match self.vms.owner(vm, context) {
                Some((AnyStreamId::Http(id), _)) => self.http.cut(&mut self.vms, id, "wasm_close_stream"),
                Some((AnyStreamId::Tcp(id), _)) => self.tcp.close_side(id, Direction::of(stream)),
                None => {}
            },
            Action::LocalResponse { context, response } => {
                if let Some((AnyStreamId::Http(id), _)) = self.vms.owner(vm, context) {
                    self.http.reply(&mut self.vms, id, response);
                }
            }
            Action::HttpCall { call, request, .. } => {
                let (id, stream) = self.begin_callout(vm, Pending::Http(call), request.timeout.is_none());
                self.effects.push_back(Effect::Callout { id, stream, request });
            }
            Action::GrpcStart { id, request, .. } => {
                let is_endless = request.timeout.is_none() && id.is_call();
                let (id, stream) = self.begin_callout(vm, Pending::Grpc(id), is_endless);
                self.effects.push_back(Effect::GrpcStart { id, stream, request });
            }
            Action::ResolveDns { id, name, .. } => {
                let (id, stream) = self.begin_callout(vm, Pending::Lookup(id), false);
                self.effects.push_back(Effect::ResolveDns { id, stream, name });
            }
            Action::GrpcSend { id: call, message, end } => {
                let id = self.callouts.of_grpc(vm, call);
                self.effects.extend(id.map(|id| Effect::GrpcSend { id, message, end }));
            }
            Action::GrpcClose { id: call } => {
                let id = self.callouts.of_grpc(vm, call);
                self.effects.extend(id.map(|id| Effect::GrpcClose { id }));
            }
            Action::HttpCancel { call } => self.cancel_pending(vm, Pending::Http(call)),
            Action::GrpcCancel { id } => self.cancel_pending(vm, Pending::Grpc(id)),
            Action::LookupCancel { id } => self.cancel_pending(vm, Pending::Lookup(id)),
            Action::SetTick { root } => self.vms.restart_ticks(vm, root),
            Action::ClearRouteCache { context } => {
                if let Some((AnyStreamId::Http(id), _)) = self.vms.owner(vm, context) {
                    self.http.emit(id, StreamEffect::RouteCleared);
                }
            }
            Action::RootDone { root } => self.vms.delete_root(vm, root),
            Action::MemoryPassed { bytes } => self.vms.note_memory(vm, bytes),
            // Of actions that this version does not know nothing can be done.
            _ => debug_assert!(false, "an action without an arm: {action:?}"),
        }
    }

    /// Cancels all that a VM waits for.
    pub(super) fn give_up(&mut self, vm: VmId) {
        self.callouts.of_vm(vm).into_iter().for_each(|id| self.cancel(id));
    }

    /// Cancels something that a VM waits for, if it does.
    fn cancel_pending(&mut self, vm: VmId, pending: Pending) {
        if let Some(id) = self.callouts.find(vm, pending) {
            self.cancel(id);
        }
    }

    fn cancel(&mut self, id: CalloutId) {
        self.callouts.end(id);
        self.effects.push_back(Effect::CancelCallout { id });
    }

    /// Gives up the callouts of a stream that is over which have no time limit: they may last for ever, and what goes on for the root
    /// has one. Those of a VM of its own are that VM's affair.
    ///
    /// differs: in Envoy they go on.
    ///
    /// The caller takes them before plugins log: what they begin then is sent, as lines of an access log are.
    pub(super) fn give_up_endless(&mut self, callouts: Vec<CalloutId>) {
        for id in callouts {
            // One may have ended with a VM that failed meanwhile.
            let Some((vm, pending)) = self.callouts.get(id) else { continue };
            if let Some(vm) = self.vms.get_mut(vm) {
                vm.forget(pending);
            }
            self.cancel(id);
        }
    }

    /// Notes a callout that begins, which has a time limit or is endless; returns its id, and the stream in whose name the plugin asked.
    fn begin_callout(&mut self, vm: VmId, pending: Pending, is_endless: bool) -> (CalloutId, Option<AnyStreamId>) {
        let context = self.vms.told_of(vm, pending).and_then(|(_, context)| context);
        let owner = context.and_then(|context| self.vms.owner(vm, context));
        let stream = owner.map(|(stream, _)| stream);
        let ends_with = stream.filter(|_| is_endless && !self.vms.is_of_stream(vm));
        (self.callouts.begin(vm, pending, ends_with), stream)
    }
}
