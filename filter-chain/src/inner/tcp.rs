//! TCP streams: how they begin and end, and what is fed to them.

use portcullis_core::abi::PeerType;
use portcullis_core::model::{Body, Direction, SharedStreamInfo};

use super::Inner;
use crate::effect::ConnectionEffect;
use crate::id::{AnyStreamId, ConnectionId};
use crate::spec::Chain;

impl Inner {
    /// Begins a stream: its plugins are told of the connection, one after the other.
    pub(crate) fn connect(&mut self, chain: &Chain, info: SharedStreamInfo, limit: usize) -> ConnectionId {
        self.background.note_io();
        self.revive(chain);
        let plugins = chain.plugins().map(|plugin| (plugin, self.vms.vm_of(plugin)));
        let id = self.tcp.open(info, plugins, limit);
        for index in 0..self.tcp.plugin_count(id) {
            if let Some(lacking) = self.tcp.lacks_vm_at(id, index)
                && let Some(vm) = self.make_vm(lacking.plugin, lacking.connection)
            {
                self.tcp.set_vm(id, index, vm);
            }
            self.tcp.create_context(&mut self.vms, id, index);
        }
        self.data(id, Direction::Request, Body::default(), false);
        id
    }

    /// Feeds data.
    pub(crate) fn data(&mut self, id: ConnectionId, direction: Direction, data: Body, end: bool) {
        self.tcp.feed(id, direction, data, end);
        self.run(None);
    }

    /// Says whether data of a direction should be read now.
    pub(crate) fn wants_data(&mut self, id: ConnectionId, direction: Direction) -> bool {
        self.tcp.wants_data(&mut self.vms, id, direction)
    }

    /// Tells the plugins of a stream that a connection has closed, and by whom.
    pub(crate) fn connection_closed(&mut self, id: ConnectionId, direction: Direction, peer: PeerType) {
        for index in 0..self.tcp.plugin_count(id) {
            self.tcp.tell_closed(&mut self.vms, id, index, (direction, peer));
            self.run(None);
        }
    }

    /// Takes the next thing to do for a stream.
    pub(crate) fn connection_effect(&mut self, id: ConnectionId) -> Option<ConnectionEffect> {
        self.tcp.next_effect(id)
    }

    /// Ends a stream: every plugin is done with it, logs it and forgets it.
    pub(crate) fn finish_connection(&mut self, id: ConnectionId) {
        let Some(count) = self.tcp.begin_end(id) else { return };
        let endless = self.callouts.with_stream(AnyStreamId::Tcp(id));
        (0..count).for_each(|index| self.tcp.end(&mut self.vms, id, index));
        self.run(None);
        self.give_up_endless(endless);
        if self.chains.has_waiting() {
            self.note_end(self.tcp.plugins(id));
            self.run(None);
        }
        for vm in self.tcp.close(id) {
            self.release(vm);
        }
    }
}
