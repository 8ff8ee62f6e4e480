//! TCP streams, as a driver sees them.

use portcullis_core::abi::PeerType;
use portcullis_core::model::{Body, Direction, SharedStreamInfo};

use super::Worker;
use crate::effect::ConnectionEffect;
use crate::id::ConnectionId;
use crate::spec::Chain;

/// TCP streams.
impl Worker {
    /// Begins a TCP stream over a chain: its plugins are told of the connection, one after the other. `limit` is how many
    /// bytes of each direction they may hold.
    pub fn connect(&mut self, chain: &Chain, info: SharedStreamInfo, limit: usize) -> ConnectionId {
        self.0.connect(chain, info, limit)
    }

    /// Feeds data; `end` says that nothing follows.
    pub fn data(&mut self, id: ConnectionId, direction: Direction, data: Body, end: bool) {
        self.0.data(id, direction, data, end);
    }

    /// Says whether data of a direction should be read now. When not, plugins hold as much as they may; that
    /// changes with the stream's effects.
    pub fn wants_data(&mut self, id: ConnectionId, direction: Direction) -> bool {
        let (tcp, vms) = self.0.tcp();
        tcp.wants_data(vms, id, direction)
    }

    /// Tells plugins that a connection has closed, with the client ([`Direction::Request`]) or with the upstream, by whom.
    pub fn connection_closed(&mut self, id: ConnectionId, direction: Direction, peer: PeerType) {
        self.0.connection_closed(id, direction, peer);
    }

    /// Takes the next thing to do for a TCP stream.
    pub fn connection_effect(&mut self, id: ConnectionId) -> Option<ConnectionEffect> {
        self.0.tcp().0.next_effect(id)
    }

    /// Ends a TCP stream, in whatever way: every plugin is done with it, logs it and forgets it.
    pub fn finish_connection(&mut self, id: ConnectionId) {
        self.0.finish_connection(id);
    }
}
