//! How data pass from plugin to plugin.

use portcullis_core::{Body, Direction, FilterStatus, VmFailed};

use super::{ConnectionEffect, ConnectionId, Side};
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
        let Some(state) = self.connections.get_mut(id.0) else { return };
        let Some(plugin) = state.plugins.get_mut(index) else { return };
        let Some((vm, root)) = self.sandboxes.root_for(plugin.plugin, plugin.vm) else {
            return self.tcp_failed(id, index);
        };
        plugin.vm = vm;
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { return };
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
        let Some(state) = self.connections.get_mut(id.0).filter(|state| !state.cut) else { return };
        let Some(index) = state.index(direction, position) else {
            if direction == Direction::Request && !std::mem::replace(&mut state.connected, true) {
                self.emit_tcp(id, ConnectionEffect::Connect);
            }
            if !data.is_empty() || end {
                self.emit_tcp(id, ConnectionEffect::Data { direction, data, end });
            }
            return;
        };
        let Some((vm, context)) = self.tcp_context(id, index) else {
            return self.pass_tcp(id, direction, position, data, end);
        };
        let Some(plugin) = self.connections.get_mut(id.0).and_then(|state| state.plugins.get_mut(index)) else {
            return;
        };
        let news = direction == Direction::Request && !std::mem::replace(&mut plugin.told, true);
        let side = plugin.side(direction);
        side.ended |= end;
        let (all, stopped) = (side.ended, side.stopped);
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { return };
        let flows = !data.is_empty() || end;
        let greeted = if news { sandbox.vm.on_new_connection(context) } else { Ok(FilterStatus::Continue) };
        // Only now: there is no buffer before there is data.
        if let Some(lent) = sandbox.vm.stream(context) {
            lent.lend_body(direction, data);
        }
        let result = match greeted {
            Ok(_) if flows => sandbox.vm.on_data(context, direction, all),
            greeted => greeted,
        };
        self.after_call(vm, result.is_err());
        match result {
            Ok(FilterStatus::StopIteration) => self.side(id, index, direction, |side| side.stopped = true),
            // Nothing new does not set free what is held.
            Ok(FilterStatus::Continue) if stopped && !flows => {}
            Ok(FilterStatus::Continue) => {
                self.side(id, index, direction, |side| side.stopped = true);
                self.resume_tcp(id, index, direction);
            }
            Err(VmFailed) => {
                self.side(id, index, direction, |side| side.stopped = true);
                self.tcp_failed(id, index);
            }
        }
    }

    /// Lets a direction go on that a plugin has stopped.
    pub(crate) fn resume_tcp(&mut self, id: ConnectionId, index: usize, direction: Direction) {
        let Some(state) = self.connections.get_mut(id.0) else { return };
        let position = state.position(direction, index);
        let Some(plugin) = state.plugins.get_mut(index) else { return };
        let (vm, context, side) = (plugin.vm, plugin.context, plugin.side(direction));
        if !std::mem::take(&mut side.stopped) {
            return;
        }
        let end = side.ended;
        let lent = context.and_then(|context| self.sandboxes.vms.get_mut(vm)?.vm.stream(context));
        let data = lent.and_then(|lent| lent.take_body(direction)).unwrap_or_default();
        self.pass_tcp(id, direction, position, data, end);
    }

    /// A plugin's VM has failed: what the plugin holds goes on without it, or the stream ends.
    pub(crate) fn tcp_failed(&mut self, id: ConnectionId, index: usize) {
        let Some(plugin) = self.connections.get(id.0).and_then(|state| state.plugins.get(index)) else { return };
        if self.policy_is_open(plugin.plugin) {
            self.resume_tcp(id, index, Direction::Request);
            self.resume_tcp(id, index, Direction::Response);
            let plugin = self.connections.get_mut(id.0).and_then(|state| state.plugins.get_mut(index));
            if let Some((vm, context)) = plugin.and_then(|plugin| Some((plugin.vm, plugin.context.take()?)))
                && let Some(sandbox) = self.sandboxes.vms.get_mut(vm)
            {
                sandbox.connections.remove(&context);
            }
        } else if let Some(state) = self.connections.get_mut(id.0).filter(|state| !state.cut) {
            state.cut = true;
            self.emit_tcp(id, ConnectionEffect::Reset { reason: "wasm_fail_stream" });
        }
    }

    /// Asks the driver to do something for a TCP stream.
    pub(crate) fn emit_tcp(&mut self, id: ConnectionId, effect: ConnectionEffect) {
        if let Some(state) = self.connections.get_mut(id.0) {
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

    fn side(&mut self, id: ConnectionId, index: usize, direction: Direction, change: impl FnOnce(&mut Side)) {
        if let Some(plugin) = self.connections.get_mut(id.0).and_then(|state| state.plugins.get_mut(index)) {
            change(plugin.side(direction));
        }
    }
}
