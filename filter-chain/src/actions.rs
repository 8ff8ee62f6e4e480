//! What guests asked for, carried out once their callback has returned.

use portcullis_core::{Action, ContextId, Direction, Pending};

use crate::effect::{Effect, StreamEffect};
use crate::id::{AnyStreamId, CalloutId, ConnectionId, PluginId, StreamId, VmId};
use crate::stream::tcp::ConnectionEffect;
use crate::worker::Worker;

impl Worker {
    /// After any call into a VM: takes what the guest asked for, and notes a failure.
    pub(crate) fn after_call(&mut self, vm: VmId, failed: bool) {
        self.collect(vm);
        if failed {
            self.vm_failed(vm);
        }
    }

    /// Takes what the guests of a VM asked for.
    pub(crate) fn collect(&mut self, vm: VmId) {
        if let Some(sandbox) = self.sandboxes.vms.get_mut(vm) {
            while let Some(action) = sandbox.vm.next_action() {
                self.actions.push_back((vm, action));
            }
        }
    }

    /// After calls into any VMs.
    pub(crate) fn after_calls(&mut self) {
        let vms: Vec<_> = self.sandboxes.vms.iter().map(|(vm, sandbox)| (vm, sandbox.vm.failure().is_some())).collect();
        vms.into_iter().for_each(|(vm, failed)| self.after_call(vm, failed));
    }

    /// Deletes a root that has ended, once no stream of its VM is left: a stream keeps its plugin to its end.
    pub(crate) fn delete_root(&mut self, vm: VmId, root: ContextId) {
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { return };
        if sandbox.has_streams() {
            return sandbox.ended_roots.push(root);
        }
        let result = sandbox.vm.delete(root);
        self.after_call(vm, result.is_err());
        if let Some(plugin) = self.sandboxes.by_root(vm, root) {
            (plugin.ended, plugin.next_tick) = (true, None);
            // Not now: something may be due that it asked for.
            self.left.push(vm);
        }
    }

    pub(crate) fn act(&mut self, vm: VmId, action: Action) {
        match action {
            Action::Continue { context, stream } => {
                let direction = Direction::of(stream);
                if let Some((stream, index)) = self.stream_of(vm, context) {
                    self.resume(stream, index, direction);
                } else if let Some((id, index)) = self.connection_of(vm, context) {
                    self.resume_tcp(id, index, direction);
                }
            }
            Action::Close { context, stream } => {
                if let Some((id, _)) = self.connection_of(vm, context) {
                    // What a plugin has closed is not dialled when it continues.
                    if let Some(state) = self.connections.get_mut(id) {
                        state.dialled = true;
                    }
                    self.emit_tcp(id, ConnectionEffect::Close { direction: Direction::of(stream) });
                } else if let Some((stream, _)) = self.stream_of(vm, context) {
                    self.cut(stream, "wasm_close_stream");
                }
            }
            Action::LocalResponse { context, response } => {
                if let Some((stream, _)) = self.stream_of(vm, context) {
                    self.local_reply(stream, response);
                }
            }
            Action::HttpCall { call, request, .. } => {
                let (id, stream) = self.begin_callout(vm, Pending::Http(call));
                self.effects.push_back(Effect::Callout { id, stream, request });
            }
            Action::GrpcStart { id, request, .. } => {
                let (id, stream) = self.begin_callout(vm, Pending::Grpc(id));
                self.effects.push_back(Effect::GrpcStart { id, stream, request });
            }
            Action::GrpcSend { id: call, message, end } => {
                self.with_grpc(vm, call, |id| Effect::GrpcSend { id, message, end });
            }
            Action::GrpcClose { id: call } => self.with_grpc(vm, call, |id| Effect::GrpcClose { id }),
            Action::GrpcCancel { id } => self.cancel_grpc(vm, id),
            Action::ResolveDns { id, name, .. } => {
                let (id, stream) = self.begin_callout(vm, Pending::Lookup(id));
                self.effects.push_back(Effect::ResolveDns { id, stream, name });
            }
            Action::SetTick { root } => self.set_tick(vm, root),
            Action::ClearRouteCache { context } => {
                if let Some((stream, _)) = self.stream_of(vm, context) {
                    self.emit(stream, StreamEffect::RouteCleared);
                }
            }
            Action::RootDone { root } => self.delete_root(vm, root),
            _ => {}
        }
    }

    pub(crate) fn stream_of(&self, vm: VmId, context: ContextId) -> Option<(StreamId, usize)> {
        self.sandboxes.vms.get(vm)?.contexts.get(&context).copied()
    }

    pub(crate) fn connection_of(&self, vm: VmId, context: ContextId) -> Option<(ConnectionId, usize)> {
        self.sandboxes.vms.get(vm)?.connections.get(&context).copied()
    }

    /// Notes a callout that begins; returns its id, and the stream in whose name the plugin asked.
    fn begin_callout(&mut self, vm: VmId, pending: Pending) -> (CalloutId, Option<AnyStreamId>) {
        let told = self.sandboxes.vms.get_mut(vm).and_then(|sandbox| sandbox.vm.told_of(pending));
        let context = told.and_then(|(_, context)| context);
        let http = context.and_then(|context| self.stream_of(vm, context)).map(|(id, _)| AnyStreamId::Http(id));
        let tcp = || context.and_then(|context| self.connection_of(vm, context)).map(|(id, _)| AnyStreamId::Tcp(id));
        let stream = http.or_else(tcp);
        (self.callouts.begin(vm, pending), stream)
    }

    fn set_tick(&mut self, vm: VmId, root: ContextId) {
        let now = self.sandboxes.now(vm);
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { return };
        let period = sandbox.vm.tick_period(root);
        if let Some(plugin) = self.sandboxes.by_root(vm, root) {
            plugin.next_tick = period.map(|period| now + period);
        }
    }

    /// A VM has failed: what it asked for in its last call is void, nobody in it waits for anything
    /// any more, and streams that wait for it must not wait for ever.
    fn vm_failed(&mut self, vm: VmId) {
        // Where a context does not exist, the VM itself may be well.
        if self.sandboxes.vms.get(vm).is_some_and(|sandbox| sandbox.vm.failure().is_none()) {
            return;
        }
        if !self.sandboxes.failed(vm) {
            return;
        }
        self.actions.retain(|(of, _)| *of != vm);
        self.give_up(vm);
        if let Some(sandbox) = self.sandboxes.vms.get(vm) {
            self.orphans.extend(sandbox.contexts.values());
            self.tcp_orphans.extend(sandbox.connections.values());
        }
        if self.sandboxes.spent_deadline_of_stream(vm) {
            self.end_vms_beside(vm);
        }
        // An old VM whose streams are over was there for its roots alone.
        if self.sandboxes.root_left(vm).is_some() {
            self.left.push(vm);
        }
    }

    /// Frees a VM that nothing new comes to, if its streams are over, it waits for no answer, and its roots have ended,
    /// which are asked to now. A gRPC stream may last for ever, so it ends with the streams.
    pub(crate) fn let_go(&mut self, vm: VmId) {
        self.delete_ended_roots(vm);
        while self.sandboxes.is_over(vm) && !self.may_wait(vm) {
            let failed = self.sandboxes.vms.get(vm).is_some_and(|sandbox| sandbox.vm.failure().is_some());
            match self.sandboxes.root_left(vm).filter(|_| !failed) {
                Some((_, true)) => return,
                Some((plugin, false)) => {
                    self.end_root(plugin);
                    self.run(None);
                }
                None => {
                    self.give_up(vm);
                    self.sandboxes.free(vm);
                }
            }
        }
    }

    /// Says whether a VM whose streams are over may wait for its callouts.
    fn may_wait(&mut self, vm: VmId) -> bool {
        self.callouts.pending(vm) > 0 && self.sandboxes.may_wait(vm)
    }

    /// Deletes the roots that have waited for the streams of their VM.
    fn delete_ended_roots(&mut self, vm: VmId) {
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { return };
        if sandbox.ended_roots.is_empty() || sandbox.has_streams() {
            return;
        }
        for root in std::mem::take(&mut sandbox.ended_roots) {
            self.delete_root(vm, root);
        }
        self.run(None);
    }

    /// Asks the root of a plugin to end, and deletes it if it has.
    pub(crate) fn end_root(&mut self, plugin: PluginId) {
        let Some(loaded) = self.sandboxes.plugins.get_mut(plugin.index()) else { return };
        if std::mem::replace(&mut loaded.asked, true) || loaded.ended {
            return;
        }
        let (vm, root) = (loaded.vm, loaded.root);
        self.sandboxes.note_change();
        let Some(vm) = vm else { return };
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { return };
        let result = sandbox.vm.end_root(root);
        self.after_call(vm, result.is_err());
        if result == Ok(true) {
            self.delete_root(vm, root);
        }
    }
}
