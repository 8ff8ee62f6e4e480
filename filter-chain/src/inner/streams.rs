//! How streams begin and end.

use portcullis_core::abi::PeerType;
use portcullis_core::model::{Body, Direction, SharedStreamInfo};

use super::Inner;
use crate::id::{ConnectionId, StreamId};
use crate::spec::Chain;

impl Inner {
    /// Begins an HTTP stream.
    pub(crate) fn open(&mut self, chain: &Chain, info: SharedStreamInfo, limit: usize) -> StreamId {
        self.background.note_io();
        self.revive(chain);
        let plugins = chain.plugins().map(|plugin| (plugin, self.vms.vm_of(plugin)));
        self.http.open(info, plugins, limit)
    }

    /// Ends an HTTP stream: every plugin logs it and forgets it.
    pub(crate) fn finish(&mut self, stream: StreamId) {
        let Some(count) = self.http.begin_end(&mut self.vms, stream) else { return };
        for index in 0..count {
            if self.vms.has_per_stream()
                && let Some(lacking) = self.http.lacks_vm_at(stream, index)
                && let Some(vm) = self.make_vm(lacking.plugin, lacking.connection)
            {
                self.http.set_vm(stream, index, vm);
            }
            self.http.log(&mut self.vms, stream, index);
        }
        for index in 0..count {
            self.http.forget(&mut self.vms, stream, index);
        }
        self.run(Some(stream));
        if self.is_unloading() {
            self.note_end(self.http.plugins(stream).into_iter());
            self.run(Some(stream));
        }
        let closed = self.http.close(stream);
        for vm in (0..count).filter_map(|index| closed.as_ref()?.vm(index)) {
            self.release(vm);
        }
    }

    /// Begins a TCP stream: its plugins are told of the connection, one after the other.
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

    /// Feeds data of a TCP stream.
    pub(crate) fn data(&mut self, id: ConnectionId, direction: Direction, data: Body, end: bool) {
        self.tcp.feed(id, direction, data, end);
        self.run(None);
    }

    /// Tells the plugins of a TCP stream that a connection has closed, and by whom.
    pub(crate) fn connection_closed(&mut self, id: ConnectionId, direction: Direction, peer: PeerType) {
        for index in 0..self.tcp.plugin_count(id) {
            self.tcp.tell_closed(&mut self.vms, id, index, (direction, peer));
            self.run(None);
        }
    }

    /// Ends a TCP stream: every plugin is done with it, logs it and forgets it.
    pub(crate) fn finish_connection(&mut self, id: ConnectionId) {
        let Some(count) = self.tcp.begin_end(id) else { return };
        (0..count).for_each(|index| self.tcp.end(&mut self.vms, id, index));
        self.run(None);
        if self.is_unloading() {
            self.note_end(self.tcp.plugins(id).into_iter());
            self.run(None);
        }
        for vm in self.tcp.close(id) {
            self.release(vm);
        }
    }
}
