//! TCP streams in a chain.
//!
//! Data pass from plugin to plugin as HTTP bodies do: downstream data in the order of the chain, upstream data the
//! other way round. A plugin that stops holds what has come so far, and sees all of it when more comes.
//!
//! A plugin that pauses the new connection holds everything: data of either side wait unseen, the plugins behind it
//! are not told of the connection, and nothing is dialled, until the plugin continues the downstream side; in Envoy, too.

mod flow;

use std::collections::VecDeque;

use portcullis_core::{Body, ContextId, Direction, PeerType, SharedStreamInfo, lock};

use crate::id::{ConnectionId, PluginId, VmId};
use crate::spec::Chain;
use crate::worker::Worker;

pub(crate) use flow::TcpWork;

/// Something to be done for one TCP stream. [`Direction::Request`] is from the client to the upstream.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectionEffect {
    /// Connect to the upstream.
    Connect,
    /// Send data on, the way that they went; `end` says that nothing follows.
    Data {
        /// Which way.
        direction: Direction,
        /// The data, maybe none.
        data: Body,
        /// Whether nothing follows.
        end: bool,
    },
    /// Close the connection with the client ([`Direction::Request`]) or with the upstream.
    Close {
        /// Which.
        direction: Direction,
    },
    /// Cut both connections: a plugin has failed.
    Reset {
        /// Why, for logs.
        reason: &'static str,
    },
}

/// One TCP stream.
#[derive(Debug)]
pub(crate) struct TcpStream {
    pub(crate) info: SharedStreamInfo,
    pub(crate) plugins: Vec<TcpPlugin>,
    pub(crate) effects: VecDeque<ConnectionEffect>,
    /// How many bytes of one direction plugins may hold before nothing more is read.
    pub(crate) limit: usize,
    /// [`ConnectionEffect::Connect`] has been emitted, or must not be any more: a plugin has closed a side.
    pub(crate) dialled: bool,
    /// Nothing of it matters any more.
    pub(crate) cut: bool,
}

/// One plugin in a TCP stream. Without a context it has failed, and what comes passes it by.
#[derive(Debug)]
pub(crate) struct TcpPlugin {
    pub(crate) plugin: PluginId,
    pub(crate) vm: Option<VmId>,
    pub(crate) context: Option<ContextId>,
    pub(crate) greeting: Greeting,
    pub(crate) sides: [Side; 2],
}

/// How far `proxy_on_new_connection` of a plugin has come. Until it has passed, data wait unseen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// The plugin has not been told of the connection.
    #[default]
    Due,
    /// The plugin has been told and pauses the connection.
    Paused,
    /// The plugin lets the connection pass.
    Passed,
}

/// A plugin's place in one direction.
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// It holds what has come.
    pub(crate) stopped: bool,
    /// Nothing follows.
    pub(crate) ended: bool,
    /// Data that have come before the plugin let the connection pass.
    pub(crate) unseen: Body,
    /// Nothing follows the data that are unseen.
    pub(crate) unseen_end: bool,
}

/// TCP streams.
impl Worker {
    /// Begins a TCP stream over a chain: a client has connected. `limit` is how many bytes each direction
    /// may hold.
    pub fn connect(&mut self, chain: &Chain, info: SharedStreamInfo, limit: usize) -> ConnectionId {
        self.background.note_io();
        self.revive(chain);
        let plugin = |plugin: &PluginId| TcpPlugin {
            plugin: *plugin,
            vm: self.sandboxes.vm_of(*plugin),
            context: None,
            greeting: Greeting::Due,
            sides: Default::default(),
        };
        let plugins: Vec<_> = chain.0.iter().map(plugin).collect();
        let count = plugins.len();
        let stream = TcpStream { info, plugins, effects: VecDeque::new(), limit, dialled: false, cut: false };
        let id = self.connections.insert(stream);
        for index in 0..count {
            self.create_tcp_context(id, index);
        }
        self.feed_tcp(id, Direction::Request, Body::default(), false);
        id
    }

    /// Data have come; `end` says that nothing follows.
    pub fn data(&mut self, id: ConnectionId, direction: Direction, data: Body, end: bool) {
        if let Some(state) = self.connections.get(id).filter(|_| direction == Direction::Request) {
            lock(&state.info).request_size += data.len() as u64;
        }
        self.feed_tcp(id, direction, data, end);
    }

    /// Whether data of a direction should be read now. When not, plugins hold as much as they may; that
    /// changes with the stream's effects.
    pub fn wants_data(&mut self, id: ConnectionId, direction: Direction) -> bool {
        let Some(state) = self.connections.get(id) else { return false };
        let vms = &mut self.sandboxes.vms;
        let held = |plugin: &TcpPlugin| {
            let lent = plugin.context.and_then(|context| vms.get_mut(plugin.vm)?.vm.stream(context));
            plugin.side_ref(direction).unseen.len() + lent.map_or(0, |lent| lent.body_len(direction))
        };
        !state.cut && state.plugins.iter().map(held).sum::<usize>() < state.limit
    }

    /// A connection has closed, with the client ([`Direction::Request`]) or with the upstream, by whom.
    pub fn connection_closed(&mut self, id: ConnectionId, direction: Direction, peer: PeerType) {
        let count = self.connections.get(id).map_or(0, |state| state.plugins.len());
        for index in 0..count {
            let Some((vm, context)) = self.tcp_context(id, index) else { continue };
            let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { continue };
            let result = sandbox.vm.on_connection_close(context, direction, peer);
            self.after_call(vm, result.is_err());
            self.run(None);
        }
    }

    /// The next thing to do for a TCP stream.
    pub fn connection_effect(&mut self, id: ConnectionId) -> Option<ConnectionEffect> {
        self.connections.get_mut(id)?.effects.pop_front()
    }

    /// Ends a TCP stream, in whatever way: every plugin is done with it, logs it and forgets it.
    pub fn finish_connection(&mut self, id: ConnectionId) {
        let Some(state) = self.connections.get_mut(id) else { return };
        state.cut = true;
        for index in 0..state.plugins.len() {
            let Some((vm, context)) = self.tcp_context(id, index) else { continue };
            self.sandboxes.forget_connection(vm, context);
            let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { continue };
            let vm_calls = &mut sandbox.vm;
            let result = vm_calls.on_done(context).and_then(|()| vm_calls.on_log(context));
            let deleted = vm_calls.delete(context);
            self.after_call(vm, result.and(deleted).is_err());
        }
        self.run(None);
        let state = self.connections.remove(id);
        for plugin in state.iter().flat_map(|state| &state.plugins) {
            plugin.vm.into_iter().for_each(|vm| self.let_go(vm));
        }
    }

    pub(crate) fn tcp_context(&self, id: ConnectionId, index: usize) -> Option<(VmId, ContextId)> {
        let plugin = self.connections.get(id)?.plugins.get(index)?;
        Some((plugin.vm?, plugin.context?))
    }
}

impl TcpStream {
    /// The plugin at a position of a direction.
    pub(crate) fn index(&self, direction: Direction, position: usize) -> Option<usize> {
        match direction {
            Direction::Request => Some(position).filter(|index| *index < self.plugins.len()),
            Direction::Response => self.plugins.len().checked_sub(position + 1),
        }
    }

    /// The position of a plugin in a direction.
    pub(crate) fn position(&self, direction: Direction, index: usize) -> usize {
        match direction {
            Direction::Request => index,
            Direction::Response => self.plugins.len() - 1 - index,
        }
    }
}

impl TcpPlugin {
    pub(crate) fn side(&mut self, direction: Direction) -> &mut Side {
        let [downstream, upstream] = &mut self.sides;
        match direction {
            Direction::Request => downstream,
            Direction::Response => upstream,
        }
    }
    pub(crate) fn side_ref(&self, direction: Direction) -> &Side {
        let [downstream, upstream] = &self.sides;
        match direction {
            Direction::Request => downstream,
            Direction::Response => upstream,
        }
    }
}
