//! The state of one TCP stream in a chain.

use std::collections::VecDeque;

use portcullis_core::model::{Body, ContextId, Direction, SharedStreamInfo};

use crate::effect::ConnectionEffect;
use crate::id::{PluginId, VmId};
use crate::stream::{index_at, position_of};

/// Data on their way; maybe none, and then the connection itself.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) data: Body,
    pub(super) end: bool,
}

/// One TCP stream.
#[derive(Debug)]
pub(super) struct TcpStream {
    info: SharedStreamInfo,
    plugins: Vec<TcpPlugin>,
    effects: VecDeque<ConnectionEffect>,
    /// How many bytes of one direction plugins may hold before nothing more is read.
    limit: usize,
    /// [`ConnectionEffect::Connect`] has been emitted, or must not be any more: a plugin has closed a side.
    dialled: bool,
    /// Nothing of it matters any more.
    cut: bool,
}

/// One plugin in a TCP stream. Without a context it has failed, and what comes passes it by.
#[derive(Debug)]
pub(super) struct TcpPlugin {
    plugin: PluginId,
    vm: Option<VmId>,
    context: Option<ContextId>,
    greeting: Greeting,
    sides: [Side; 2],
}

/// How far `proxy_on_new_connection` of a plugin has come. Until it has passed, data wait unseen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Greeting {
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
struct Side {
    /// The plugin holds what has come.
    stopped: bool,
    /// Nothing follows.
    ended: bool,
    /// Data that have come before the plugin let the connection pass.
    unseen: Body,
    /// Whether nothing follows these.
    unseen_end: bool,
}

impl TcpStream {
    pub(super) fn new(
        info: SharedStreamInfo,
        plugins: impl Iterator<Item = (PluginId, Option<VmId>)>,
        limit: usize,
    ) -> Self {
        let plugin =
            |(plugin, vm)| TcpPlugin { plugin, vm, context: None, greeting: Greeting::Due, sides: Default::default() };
        let plugins = plugins.map(plugin).collect();
        Self { info, plugins, effects: VecDeque::new(), limit, dialled: false, cut: false }
    }

    pub(super) fn info(&self) -> &SharedStreamInfo {
        &self.info
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn plugin_count(&self) -> usize {
        self.plugins.len()
    }

    pub(super) fn plugins(&self) -> &[TcpPlugin] {
        &self.plugins
    }

    pub(super) fn plugin(&self, index: usize) -> Option<&TcpPlugin> {
        debug_assert!(index < self.plugins.len(), "plugin {index} of {}", self.plugins.len());
        self.plugins.get(index)
    }

    pub(super) fn plugin_mut(&mut self, index: usize) -> Option<&mut TcpPlugin> {
        debug_assert!(index < self.plugins.len(), "plugin {index} of {}", self.plugins.len());
        self.plugins.get_mut(index)
    }

    /// Returns the VMs of the plugins.
    pub(super) fn into_vms(self) -> impl Iterator<Item = VmId> {
        self.plugins.into_iter().filter_map(|plugin| plugin.vm)
    }

    /// Returns the index of the plugin at a position of a direction.
    pub(super) fn index(&self, direction: Direction, position: usize) -> Option<usize> {
        index_at(direction, position, self.plugins.len())
    }

    /// Returns the position of a plugin in a direction.
    pub(super) fn position(&self, direction: Direction, index: usize) -> usize {
        position_of(direction, index, self.plugins.len())
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Notes that nothing of the stream matters any more; says whether that is news.
    pub(super) fn cut(&mut self) -> bool {
        !std::mem::replace(&mut self.cut, true)
    }

    /// Notes that the upstream is dialled, or must not be any more; says whether that is news.
    pub(super) fn dial(&mut self) -> bool {
        !std::mem::replace(&mut self.dialled, true)
    }

    pub(super) fn push_effect(&mut self, effect: ConnectionEffect) {
        self.effects.push_back(effect);
    }

    pub(super) fn next_effect(&mut self) -> Option<ConnectionEffect> {
        self.effects.pop_front()
    }
}

impl TcpPlugin {
    pub(super) fn plugin(&self) -> PluginId {
        self.plugin
    }

    pub(super) fn vm(&self) -> Option<VmId> {
        self.vm
    }

    pub(super) fn set_vm(&mut self, vm: VmId) {
        self.vm = Some(vm);
    }

    /// Returns the VM and the context of the plugin, unless it has failed.
    pub(super) fn context(&self) -> Option<(VmId, ContextId)> {
        Some((self.vm?, self.context?))
    }

    pub(super) fn set_context(&mut self, context: ContextId) {
        debug_assert!(self.context.is_none(), "a plugin has one context in a stream");
        self.context = Some(context);
    }

    /// Takes the context of a plugin that has failed.
    pub(super) fn take_context(&mut self) -> Option<(VmId, ContextId)> {
        Some((self.vm?, self.context.take()?))
    }

    pub(super) fn greeting(&self) -> Greeting {
        self.greeting
    }

    /// Notes that the plugin is told of the connection, and pauses it until it has answered.
    pub(super) fn greet(&mut self) {
        debug_assert!(self.greeting == Greeting::Due, "a plugin is told of a connection once");
        self.greeting = Greeting::Paused;
    }

    /// Lets the connection pass; says whether the plugin has paused it.
    pub(super) fn let_in(&mut self) -> bool {
        std::mem::replace(&mut self.greeting, Greeting::Passed) == Greeting::Paused
    }

    /// Keeps data that have come before the plugin let the connection pass.
    pub(super) fn keep_unseen(&mut self, direction: Direction, data: Body, end: bool) {
        let side = self.side_mut(direction);
        side.unseen.append(data);
        side.unseen_end |= end;
    }

    /// Takes the data that were kept, and whether nothing follows them.
    pub(super) fn take_unseen(&mut self, direction: Direction) -> (Body, bool) {
        let side = self.side_mut(direction);
        (std::mem::take(&mut side.unseen), std::mem::take(&mut side.unseen_end))
    }

    pub(super) fn unseen_len(&self, direction: Direction) -> usize {
        self.side(direction).unseen.len()
    }

    /// Notes that data are lent to the plugin, which holds them until it has answered; says whether nothing follows.
    pub(super) fn hold(&mut self, direction: Direction, end: bool) -> bool {
        let side = self.side_mut(direction);
        (side.ended, side.stopped) = (side.ended | end, true);
        side.ended
    }

    /// Notes that the plugin lets a direction go on; returns whether nothing follows, or none if it has held nothing.
    pub(super) fn go_on(&mut self, direction: Direction) -> Option<bool> {
        let side = self.side_mut(direction);
        std::mem::take(&mut side.stopped).then_some(side.ended)
    }

    /// Says whether the plugin holds the stream.
    pub(super) fn is_paused(&self) -> bool {
        self.greeting == Greeting::Paused || self.sides.iter().any(|side| side.stopped)
    }

    fn side(&self, direction: Direction) -> &Side {
        let [downstream, upstream] = &self.sides;
        match direction {
            Direction::Request => downstream,
            Direction::Response => upstream,
        }
    }

    fn side_mut(&mut self, direction: Direction) -> &mut Side {
        let [downstream, upstream] = &mut self.sides;
        match direction {
            Direction::Request => downstream,
            Direction::Response => upstream,
        }
    }
}
