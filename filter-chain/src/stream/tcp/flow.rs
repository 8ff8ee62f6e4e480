//! How data pass from plugin to plugin.

use portcullis_core::{Body, ContextId, Direction, FilterStatus, VmFailed, lock};

use super::{ConnectionEffect, Greeting, TcpPlugin};
use crate::id::{ConnectionId, VmId};
use crate::worker::Worker;

/// Data on their way to a position of a TCP stream; maybe none, and then the connection itself.
#[derive(Debug)]
pub(crate) struct TcpWork {
    id: ConnectionId,
    direction: Direction,
    position: usize,
    data: Body,
    end: bool,
}

impl Worker {
    pub(super) fn feed_tcp(&mut self, id: ConnectionId, direction: Direction, data: Body, end: bool) {
        self.tcp_work.push_back(TcpWork { id, direction, position: 0, data, end });
        self.run(None);
    }

    /// Creates the context of a plugin for a TCP stream.
    pub(super) fn create_tcp_context(&mut self, id: ConnectionId, index: usize) {
        let Some(state) = self.connections.get_mut(id) else { return };
        let Some(plugin) = state.plugins.get_mut(index) else { return };
        let (of, vm) = (plugin.plugin, plugin.vm);
        let connection = lock(&state.info).connection_id;
        let Some((vm, root)) = self.root_for(of, vm, connection) else {
            return self.tcp_failed(id, index);
        };
        let Some(state) = self.connections.get_mut(id) else { return };
        let Some(plugin) = state.plugins.get_mut(index) else { return };
        plugin.vm = Some(vm);
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { return self.tcp_failed(id, index) };
        let created = sandbox.vm.create_tcp_stream(root, state.info.clone());
        if let Ok(context) = created {
            plugin.context = Some(context);
            sandbox.connections.insert(context, (id, index));
        }
        self.after_call(vm, created.is_err());
        if created.is_err() {
            self.tcp_failed(id, index);
        }
    }

    /// Takes data to their next plugin, or out of the chain.
    pub(crate) fn step_tcp(&mut self, work: TcpWork) {
        let TcpWork { id, direction, position, data, end } = work;
        let Some(state) = self.connections.get_mut(id).filter(|state| !state.cut) else { return };
        let Some(index) = state.index(direction, position) else {
            if direction == Direction::Response {
                lock(&state.info).response_size += data.len() as u64;
            } else if !std::mem::replace(&mut state.dialled, true) {
                self.emit_tcp(id, ConnectionEffect::Connect);
            }
            if !data.is_empty() || end {
                self.emit_tcp(id, ConnectionEffect::Data { direction, data, end });
            }
            return;
        };
        let Some(plugin) = state.plugins.get_mut(index) else { return };
        let Some(context) = plugin.context else {
            let plugin = plugin.plugin;
            if !self.policy_is_open(plugin) {
                return self.tcp_failed(id, index);
            }
            return self.pass_tcp(id, direction, position, data, end);
        };
        match (plugin.greeting, direction) {
            (Greeting::Passed, _) => self.data_at_plugin(id, direction, position, data, end),
            (Greeting::Due, Direction::Request) => {
                plugin.greeting = Greeting::Paused;
                plugin.keep_unseen(direction, data, end);
                let Some(vm) = plugin.vm else { return };
                self.greet(id, index, vm, context);
            }
            // An end alone, which a plugin makes that closes the upstream side, is nothing that a plugin could inspect.
            (_, Direction::Response) if data.is_empty() && plugin.side_ref(direction).unseen.is_empty() => {
                self.pass_tcp(id, direction, position, data, end);
            }
            _ => plugin.keep_unseen(direction, data, end),
        }
    }

    /// Tells a plugin of the connection.
    fn greet(&mut self, id: ConnectionId, index: usize, vm: VmId, context: ContextId) {
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { return self.tcp_failed(id, index) };
        let result = sandbox.vm.on_new_connection(context);
        self.after_call(vm, result.is_err());
        match result {
            Ok(FilterStatus::StopIteration) => {}
            Ok(FilterStatus::Continue) => self.let_in(id, index),
            Err(VmFailed) => self.tcp_failed(id, index),
        }
    }

    /// Lets the connection pass a plugin: the plugins behind it are told, then the plugin sees the data that have come.
    fn let_in(&mut self, id: ConnectionId, index: usize) {
        let Some(state) = self.connections.get_mut(id) else { return };
        let positions =
            [Direction::Response, Direction::Request].map(|direction| (direction, state.position(direction, index)));
        let Some(plugin) = state.plugins.get_mut(index) else { return };
        let was_paused = std::mem::replace(&mut plugin.greeting, Greeting::Passed) == Greeting::Paused;
        // What is put in front last is the first to go on.
        for (direction, position) in positions {
            let side = plugin.side(direction);
            let (data, end) = (std::mem::take(&mut side.unseen), std::mem::take(&mut side.unseen_end));
            if !data.is_empty() || end {
                self.tcp_work.push_front(TcpWork { id, direction, position, data, end });
            }
        }
        if was_paused {
            self.pass_tcp(id, Direction::Request, index, Body::default(), false);
        }
    }

    /// Shows data to a plugin that has let the connection pass.
    fn data_at_plugin(&mut self, id: ConnectionId, direction: Direction, position: usize, data: Body, end: bool) {
        // The connection itself has passed here before.
        if data.is_empty() && !end {
            return;
        }
        let Some(state) = self.connections.get_mut(id) else { return };
        let Some(index) = state.index(direction, position) else { return };
        let Some(plugin) = state.plugins.get_mut(index) else { return };
        let (Some(vm), Some(context)) = (plugin.vm, plugin.context) else { return };
        let side = plugin.side(direction);
        // Until the plugin has answered, it holds what has come.
        (side.ended, side.stopped) = (side.ended | end, true);
        let ended = side.ended;
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { return self.tcp_failed(id, index) };
        if let Some(lent) = sandbox.vm.stream(context) {
            lent.lend_body(direction, data);
        }
        let result = sandbox.vm.on_data(context, direction, ended);
        self.after_call(vm, result.is_err());
        match result {
            Ok(FilterStatus::StopIteration) => {}
            Ok(FilterStatus::Continue) => self.resume_tcp(id, index, direction),
            Err(VmFailed) => self.tcp_failed(id, index),
        }
    }

    /// Lets a direction go on that a plugin has stopped.
    pub(crate) fn resume_tcp(&mut self, id: ConnectionId, index: usize, direction: Direction) {
        let Some(state) = self.connections.get_mut(id) else { return };
        let position = state.position(direction, index);
        let Some(plugin) = state.plugins.get_mut(index) else { return };
        if direction == Direction::Request && plugin.greeting == Greeting::Paused {
            return self.let_in(id, index);
        }
        let (vm, context, side) = (plugin.vm, plugin.context, plugin.side(direction));
        if !std::mem::take(&mut side.stopped) {
            return;
        }
        let end = side.ended;
        let lent = context.and_then(|context| self.sandboxes.vms.get_mut(vm)?.vm.stream(context));
        let data = lent.and_then(|lent| lent.take_body(direction)).unwrap_or_default();
        self.pass_tcp(id, direction, position, data, end);
    }

    /// Answers the absence of a plugin (its VM has failed, or its VM, root or context does not exist) by its failure policy:
    /// what the plugin holds goes on without it, or the stream ends.
    pub(crate) fn tcp_failed(&mut self, id: ConnectionId, index: usize) {
        let Some(plugin) = self.connections.get(id).and_then(|state| state.plugins.get(index)) else { return };
        if self.policy_is_open(plugin.plugin) {
            self.let_in(id, index);
            self.resume_tcp(id, index, Direction::Request);
            self.resume_tcp(id, index, Direction::Response);
            let plugin = self.connections.get_mut(id).and_then(|state| state.plugins.get_mut(index));
            if let Some((vm, context)) = plugin.and_then(|plugin| Some((plugin.vm?, plugin.context.take()?))) {
                self.sandboxes.forget_connection(vm, context);
            }
        } else if let Some(state) = self.connections.get_mut(id).filter(|state| !state.cut) {
            state.cut = true;
            self.emit_tcp(id, ConnectionEffect::Reset { reason: "wasm_fail_stream" });
        }
    }

    /// Asks the driver to do something for a TCP stream.
    pub(crate) fn emit_tcp(&mut self, id: ConnectionId, effect: ConnectionEffect) {
        if let Some(state) = self.connections.get_mut(id) {
            state.effects.push_back(effect);
            if !self.tcp_touched.contains(&id) {
                self.tcp_touched.push(id);
            }
        }
    }

    /// Data that have passed a position are at their end before others begin.
    fn pass_tcp(&mut self, id: ConnectionId, direction: Direction, position: usize, data: Body, end: bool) {
        self.tcp_work.push_front(TcpWork { id, direction, position: position + 1, data, end });
    }
}

impl TcpPlugin {
    fn keep_unseen(&mut self, direction: Direction, data: Body, end: bool) {
        let side = self.side(direction);
        side.unseen.append(data);
        side.unseen_end |= end;
    }
}
