//! TCP streams in a chain.
//!
//! Data pass from plugin to plugin as HTTP bodies do: downstream data in the order of the chain, upstream data the
//! other way round. A plugin that stops holds what has come so far, and sees all of it when more comes.
//!
//! A plugin that pauses the new connection holds everything: data of either side wait unseen, the plugins behind it
//! are not told of the connection, and nothing is dialled, until the plugin continues the downstream side; in Envoy, too.

mod flow;
mod state;

use portcullis_core::abi::PeerType;
use portcullis_core::model::{Body, ContextId, Direction, SharedStreamInfo};

use self::state::{Data, TcpPlugin, TcpStream};
use crate::effect::ConnectionEffect;
use crate::id::{ConnectionId, PluginId, VmId};
use crate::stream::{Lacking, Streams};
use crate::vms::Vms;

/// All TCP streams of a worker.
#[derive(Debug, Default)]
pub(crate) struct Tcp {
    streams: Streams<ConnectionId, TcpStream, Data>,
}

impl Tcp {
    /// Begins a stream over plugins that stand in this order. None has a context yet.
    pub(crate) fn open(
        &mut self,
        info: SharedStreamInfo,
        plugins: impl Iterator<Item = (PluginId, Option<VmId>)>,
        limit: usize,
    ) -> ConnectionId {
        self.streams.open(TcpStream::new(info, plugins, limit))
    }

    /// Puts data on their way; none at all are the connection itself.
    pub(crate) fn feed(&mut self, id: ConnectionId, direction: Direction, data: Body, end: bool) {
        let Some(state) = self.streams.get(id) else { return };
        if direction == Direction::Request {
            state.info().with(|info| info.request_size += data.len() as u64);
        }
        self.streams.push_back(id, direction, 0, Data { data, end });
    }

    /// Says whether data of a direction should be read now.
    pub(crate) fn wants_data(&self, vms: &mut Vms, id: ConnectionId, direction: Direction) -> bool {
        let Some(state) = self.streams.get(id) else { return false };
        let held = |plugin: &TcpPlugin| {
            let lent = plugin.context().and_then(|(vm, context)| vms.lent(vm, context));
            plugin.unseen_len(direction) + lent.map_or(0, |lent| lent.body_len(direction))
        };
        !state.is_cut() && state.plugins().iter().map(held).sum::<usize>() < state.limit()
    }

    /// Tells a plugin that a connection has closed.
    pub(crate) fn tell_closed(
        &self,
        vms: &mut Vms,
        id: ConnectionId,
        index: usize,
        (direction, peer): (Direction, PeerType),
    ) {
        if let Some((vm, context)) = self.plugin(id, index).and_then(TcpPlugin::context) {
            vms.call(vm, |vm| vm.on_connection_close(context, direction, peer));
        }
    }

    /// Begins to end a stream: nothing of it matters any more. Returns how many plugins it has; `None` if it is over.
    pub(crate) fn begin_end(&mut self, id: ConnectionId) -> Option<usize> {
        let state = self.streams.get_mut(id)?;
        state.cut();
        Some(state.plugin_count())
    }

    /// Has a plugin be done with a stream, log it and forget it.
    pub(crate) fn end(&self, vms: &mut Vms, id: ConnectionId, index: usize) {
        // A plugin that has failed, or could not be reached, has nothing to end.
        let Some((vm, context)) = self.plugin(id, index).and_then(TcpPlugin::context) else { return };
        end_context(vms, vm, context);
    }

    /// Has a plugin log and forget a stream that goes on without the plugin by its failure policy. Its VM is to go now.
    pub(crate) fn dismiss(&mut self, vms: &mut Vms, id: ConnectionId, index: usize) {
        let Some((vm, context)) = self.plugin(id, index).and_then(TcpPlugin::context) else { return };
        // What the plugin holds is taken back first.
        self.release(vms, id, index);
        end_context(vms, vm, context);
    }

    /// Ends a stream that all plugins have forgotten; returns the VMs that it was in.
    pub(crate) fn close(&mut self, id: ConnectionId) -> impl Iterator<Item = VmId> + use<> {
        self.streams.close(id).into_iter().flat_map(TcpStream::into_vms)
    }

    /// Returns how many plugins a stream has.
    pub(crate) fn plugin_count(&self, id: ConnectionId) -> usize {
        self.streams.get(id).map_or(0, TcpStream::plugin_count)
    }

    /// Says whether a plugin holds a stream.
    pub(crate) fn is_paused(&self, id: ConnectionId, index: usize) -> bool {
        self.plugin(id, index).is_some_and(TcpPlugin::is_paused)
    }

    /// Closes a connection, as a plugin has asked.
    pub(crate) fn close_side(&mut self, id: ConnectionId, direction: Direction) {
        // What a plugin has closed is not dialled when it continues.
        if let Some(state) = self.streams.known_mut(id) {
            state.dial();
        }
        self.emit(id, ConnectionEffect::Close { direction });
    }

    /// Takes the next thing to do for a stream.
    pub(crate) fn next_effect(&mut self, id: ConnectionId) -> Option<ConnectionEffect> {
        self.streams.get_mut(id)?.next_effect()
    }

    /// Takes the streams that have effects since the last call.
    pub(crate) fn take_touched(&mut self) -> impl Iterator<Item = ConnectionId> {
        self.streams.take_touched()
    }

    /// Notes that the VM of a plugin in a stream has failed.
    pub(crate) fn orphan(&mut self, id: ConnectionId, index: usize) {
        self.streams.orphan(id, index);
    }

    /// Returns a plugin of a stream, if it has no VM.
    pub(crate) fn lacks_vm_at(&self, stream: ConnectionId, index: usize) -> Option<Lacking<ConnectionId>> {
        let state = self.streams.known(stream)?;
        let plugin = state.plugin(index).filter(|plugin| plugin.vm().is_none())?.plugin();
        let connection = state.info().with(|info| info.connection_id);
        Some(Lacking { stream, index, plugin, connection })
    }

    /// Gives a plugin of a stream the VM that was made for it.
    pub(crate) fn set_vm(&mut self, id: ConnectionId, index: usize, vm: VmId) {
        if let Some(plugin) = self.streams.known_mut(id).and_then(|state| state.plugin_mut(index)) {
            plugin.set_vm(vm);
        }
    }

    /// Returns the plugins that a stream passes.
    pub(crate) fn plugins(&self, id: ConnectionId) -> Vec<PluginId> {
        self.streams.get(id).into_iter().flat_map(TcpStream::plugins).map(TcpPlugin::plugin).collect()
    }

    /// Returns how often open streams pass a plugin.
    pub(crate) fn count_over(&self, plugin: PluginId) -> usize {
        self.streams.iter().flat_map(TcpStream::plugins).filter(|of| of.plugin() == plugin).count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Returns how often the id of a stream that is over was used, in debug builds.
    pub(crate) fn stale(&self) -> u64 {
        self.streams.stale()
    }

    fn plugin(&self, id: ConnectionId, index: usize) -> Option<&TcpPlugin> {
        self.streams.known(id)?.plugin(index)
    }

    /// Asks the driver to do something for a stream.
    fn emit(&mut self, id: ConnectionId, effect: ConnectionEffect) {
        if let Some(state) = self.streams.known_mut(id) {
            state.push_effect(effect);
            self.streams.touch(id);
        }
    }
}

/// Has a plugin be done with its context of a stream, log the stream and forget it.
fn end_context(vms: &mut Vms, vm: VmId, context: ContextId) {
    vms.leave(vm, context);
    vms.call(vm, |vm| {
        let result = vm.on_done(context).and_then(|()| vm.on_log(context));
        let deleted = vm.delete(context);
        result.and(deleted)
    });
}
