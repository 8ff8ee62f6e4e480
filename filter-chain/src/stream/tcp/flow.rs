//! How data pass from plugin to plugin.
//!
//! | the plugin | the connection comes | data come | the plugin continues |
//! |---|---|---|---|
//! | has not been told of the connection | it is told; then it pauses, or lets it pass | wait unseen | – |
//! | pauses the connection | – | wait unseen | the downstream side lets the connection pass: the plugins behind it are told, then it sees what has waited |
//! | lets it pass | goes on | are lent beside what it holds; it holds all of them, or lets them go on | what it holds goes on |
//! | has failed, and its policy is open | goes on | go on | – |

use portcullis_core::abi::FilterStatus;
use portcullis_core::model::{Body, ContextId, Direction};
use portcullis_core::vm::VmFailed;

use super::Tcp;
use super::state::{Data, Greeting};
use crate::effect::ConnectionEffect;
use crate::id::{AnyStreamId, ConnectionId, VmId};
use crate::stream::Work;
use crate::vms::Vms;

impl Tcp {
    /// Does what is next on its way; says whether there was something.
    #[inline]
    pub(crate) fn step(&mut self, vms: &mut Vms) -> bool {
        let Some(work) = self.streams.next() else { return false };
        self.take_step(vms, work);
        true
    }

    /// Sees to the oldest stream whose plugin's VM has failed; says whether there was one.
    #[inline]
    pub(crate) fn release_orphan(&mut self, vms: &mut Vms) -> bool {
        let Some((id, index)) = self.streams.next_orphan() else { return false };
        self.release(vms, id, index);
        true
    }

    /// Creates the context of a plugin for a stream.
    pub(crate) fn create_context(&mut self, vms: &mut Vms, id: ConnectionId, index: usize) {
        let Some(state) = self.streams.known_mut(id) else { return };
        let info = state.info().clone();
        let Some(plugin) = state.plugin_mut(index) else { return };
        let Some((vm, root)) = vms.root_for(plugin.plugin(), plugin.vm()) else {
            return self.release(vms, id, index);
        };
        plugin.set_vm(vm);
        match vms.create((vm, root), (AnyStreamId::Tcp(id), index), info) {
            Some(Ok(context)) => plugin.set_context(context),
            Some(Err(VmFailed)) | None => self.release(vms, id, index),
        }
    }

    /// Takes data to their next plugin, or out of the chain.
    fn take_step(&mut self, vms: &mut Vms, work: Work<ConnectionId, Data>) {
        let Work { stream: id, direction, position, item: Data { data, end } } = work;
        let Some(state) = self.streams.known_mut(id).filter(|state| !state.is_cut()) else { return };
        let Some(index) = state.index(direction, position) else {
            if direction == Direction::Response {
                state.info().with(|info| info.response_size += data.len() as u64);
            } else if state.dial() {
                self.emit(id, ConnectionEffect::Connect);
            }
            if !data.is_empty() || end {
                self.emit(id, ConnectionEffect::Data { direction, data, end });
            }
            return;
        };
        let Some(plugin) = state.plugin_mut(index) else { return };
        let Some((vm, context)) = plugin.context() else {
            if !vms.is_open(plugin.plugin()) {
                return self.release(vms, id, index);
            }
            return self.pass(id, direction, position, data, end);
        };
        match (plugin.greeting(), direction) {
            (Greeting::Passed, _) => self.data_at(vms, (id, index), direction, data, end),
            (Greeting::Due, Direction::Request) => {
                plugin.greet();
                plugin.keep_unseen(direction, data, end);
                self.greet(vms, id, index, (vm, context));
            }
            // An end alone, which a plugin makes that closes the upstream side, is nothing that a plugin could inspect.
            (_, Direction::Response) if data.is_empty() && plugin.unseen_len(direction) == 0 => {
                self.pass(id, direction, position, data, end);
            }
            _ => plugin.keep_unseen(direction, data, end),
        }
    }

    /// Tells a plugin of the connection.
    fn greet(&mut self, vms: &mut Vms, id: ConnectionId, index: usize, (vm, context): (VmId, ContextId)) {
        match vms.call(vm, |vm| vm.on_new_connection(context)) {
            Some(Ok(FilterStatus::StopIteration)) => {}
            Some(Ok(FilterStatus::Continue)) => self.let_in(id, index),
            Some(Err(VmFailed)) | None => self.release(vms, id, index),
        }
    }

    /// Lets the connection pass a plugin: the plugins behind it are told, then the plugin sees the data that have come.
    fn let_in(&mut self, id: ConnectionId, index: usize) {
        let Some(state) = self.streams.known_mut(id) else { return };
        let positions =
            [Direction::Response, Direction::Request].map(|direction| (direction, state.position(direction, index)));
        let Some(plugin) = state.plugin_mut(index) else { return };
        let was_paused = plugin.let_in();
        let unseen = positions.map(|(direction, position)| (direction, position, plugin.take_unseen(direction)));
        // What is put in front last is the first to go on.
        for (direction, position, (data, end)) in unseen {
            if !data.is_empty() || end {
                self.streams.push_front(id, direction, position, Data { data, end });
            }
        }
        if was_paused {
            self.pass(id, Direction::Request, index, Body::default(), false);
        }
    }

    /// Shows data to a plugin that has let the connection pass.
    fn data_at(
        &mut self,
        vms: &mut Vms,
        (id, index): (ConnectionId, usize),
        direction: Direction,
        data: Body,
        end: bool,
    ) {
        // The connection itself has passed here before.
        if data.is_empty() && !end {
            return;
        }
        let plugin = self.streams.known_mut(id).and_then(|state| state.plugin_mut(index));
        let Some((plugin, (vm, context))) = plugin.and_then(|plugin| plugin.context().map(|at| (plugin, at))) else {
            debug_assert!(false, "plugin {index} has no context, and data are shown to it");
            return;
        };
        // Until the plugin has answered, it holds what has come.
        let ended = plugin.hold(direction, end);
        if let Some(lent) = vms.lent(vm, context) {
            lent.lend_body(direction, data);
        }
        match vms.call(vm, |vm| vm.on_data(context, direction, ended)) {
            Some(Ok(FilterStatus::StopIteration)) => {}
            Some(Ok(FilterStatus::Continue)) => self.resume(vms, id, index, direction),
            Some(Err(VmFailed)) | None => self.release(vms, id, index),
        }
    }

    /// Lets a direction go on that a plugin has stopped.
    pub(crate) fn resume(&mut self, vms: &mut Vms, id: ConnectionId, index: usize, direction: Direction) {
        let Some(state) = self.streams.known_mut(id) else { return };
        let position = state.position(direction, index);
        let Some(plugin) = state.plugin_mut(index) else { return };
        if direction == Direction::Request && plugin.greeting() == Greeting::Paused {
            return self.let_in(id, index);
        }
        let Some(end) = plugin.go_on(direction) else { return };
        let lent = plugin.context().and_then(|(vm, context)| vms.lent(vm, context));
        let data = lent.and_then(|lent| lent.take_body(direction)).unwrap_or_default();
        self.pass(id, direction, position, data, end);
    }

    /// Answers the absence of a plugin (its VM has failed, or its VM, root or context does not exist) by its failure policy:
    /// what the plugin holds goes on without it, or the stream ends.
    pub(crate) fn release(&mut self, vms: &mut Vms, id: ConnectionId, index: usize) {
        let Some(plugin) = self.plugin(id, index).map(|plugin| plugin.plugin()) else { return };
        if vms.is_open(plugin) {
            self.let_in(id, index);
            self.resume(vms, id, index, Direction::Request);
            self.resume(vms, id, index, Direction::Response);
            let plugin = self.streams.known_mut(id).and_then(|state| state.plugin_mut(index));
            if let Some((vm, context)) = plugin.and_then(|plugin| plugin.take_context()) {
                vms.leave(vm, context);
            }
        } else if self.streams.known_mut(id).is_some_and(|state| state.cut()) {
            self.emit(id, ConnectionEffect::Reset { reason: "wasm_fail_stream" });
        }
    }

    /// Passes data on: they are at their end before others begin.
    fn pass(&mut self, id: ConnectionId, direction: Direction, position: usize, data: Body, end: bool) {
        self.streams.push_front(id, direction, position + 1, Data { data, end });
    }
}
