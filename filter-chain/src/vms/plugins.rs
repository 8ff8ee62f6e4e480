//! The plugins of a worker.

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::model::{ContextId, FailurePolicy, Plugin};

use super::per_stream::PerStream;
use crate::arena::Arena;
use crate::background::Account;
use crate::id::{Key, PluginId, VmId};

/// One plugin of a worker.
pub(super) struct LoadedPlugin {
    plugin: Arc<Plugin>,
    /// None if each stream has one.
    vm: Option<VmId>,
    root: ContextId,
    next_tick: Option<Duration>,
    /// Another one of the plugin ticks in its place.
    is_replaced: bool,
    /// The root has been asked to end.
    shutdown_requested: bool,
    /// The root has been deleted.
    ended: bool,
    /// The plugin was left behind in an old VM, for the streams there, or no chain has it any more.
    is_left: bool,
    /// Streams come to the plugin: it is in a chain.
    serves: bool,
    /// When the host last logged something of the plugin in its own name, and how often it did not since.
    told: Option<(Duration, u64)>,
    /// Where its VMs come from, if each stream has one.
    per_stream: Option<PerStream>,
    account: Account,
}

/// All plugins of a worker.
#[derive(Default)]
pub(super) struct Plugins {
    all: Arena<PluginId, LoadedPlugin>,
    /// Plugins have been added, removed or lent to be changed since the last [`Plugins::take_touched`].
    touched: bool,
}

impl LoadedPlugin {
    /// Makes a plugin with a root in a long-lived VM.
    pub(super) fn new(plugin: Arc<Plugin>, vm: VmId, root: ContextId) -> Self {
        Self {
            plugin,
            vm: Some(vm),
            root,
            next_tick: None,
            is_replaced: false,
            shutdown_requested: false,
            ended: false,
            is_left: false,
            serves: false,
            told: None,
            per_stream: None,
            account: Account::default(),
        }
    }

    /// Makes a plugin that has a VM for each stream.
    pub(super) fn per_stream(plugin: Arc<Plugin>, root: ContextId, per_stream: PerStream) -> Self {
        let none = Self::new(plugin, VmId::NONE, root);
        Self { vm: None, ended: true, per_stream: Some(per_stream), ..none }
    }

    /// Moves the plugin to another VM, with its ticks; returns what is left behind in the old one.
    pub(super) fn move_to(&mut self, vm: VmId, root: ContextId) -> Self {
        let left = Self {
            plugin: Arc::clone(&self.plugin),
            next_tick: self.next_tick.take(),
            is_left: true,
            per_stream: None,
            ..*self
        };
        (self.vm, self.root) = (Some(vm), root);
        left
    }

    pub(super) fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    pub(super) fn vm(&self) -> Option<VmId> {
        self.vm
    }

    pub(super) fn root(&self) -> ContextId {
        self.root
    }

    pub(super) fn next_tick(&self) -> Option<Duration> {
        self.next_tick
    }

    pub(super) fn set_next_tick(&mut self, at: Option<Duration>) {
        self.next_tick = at.filter(|_| !self.is_replaced);
    }

    /// Leaves the ticks to the plugin that has moved to another VM.
    pub(super) fn without_ticks(self) -> Self {
        Self { next_tick: None, is_replaced: true, ..self }
    }

    /// Lets it tick again: it was asked to end, and needs time for that.
    pub(super) fn tick_to_the_end(&mut self) {
        self.is_replaced = false;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Notes that the root has been deleted.
    fn end(&mut self) {
        (self.ended, self.next_tick) = (true, None);
    }

    pub(super) fn is_shut_down(&self) -> bool {
        self.shutdown_requested
    }

    /// Notes that the root is asked to end; says whether it is to be: it has not ended, and was not asked before.
    pub(super) fn request_shutdown(&mut self) -> bool {
        !std::mem::replace(&mut self.shutdown_requested, true) && !self.ended
    }

    pub(super) fn is_left(&self) -> bool {
        self.is_left
    }

    /// Leaves the plugin behind in its VM: no chain has it any more.
    pub(super) fn leave_behind(&mut self) {
        self.is_left = true;
    }

    pub(super) fn serves(&self) -> bool {
        self.serves
    }

    pub(super) fn serve(&mut self) {
        self.serves = true;
    }

    pub(super) fn serve_no_more(&mut self) {
        self.serves = false;
    }

    pub(super) fn policy(&self) -> FailurePolicy {
        self.plugin.failure_policy
    }

    pub(super) fn source(&self) -> Option<&PerStream> {
        self.per_stream.as_ref()
    }

    pub(super) fn source_mut(&mut self) -> Option<&mut PerStream> {
        self.per_stream.as_mut()
    }

    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    pub(super) fn account_mut(&mut self) -> &mut Account {
        &mut self.account
    }

    /// Says whether a line may be logged now, at most one a second, and how many were left out since the last.
    pub(super) fn may_tell(&mut self, now: Duration) -> Option<u64> {
        match &mut self.told {
            Some((at, more)) if now.saturating_sub(*at) < Duration::from_secs(1) => {
                *more += 1;
                None
            }
            told => Some(told.replace((now, 0)).map_or(0, |(_, more)| more)),
        }
    }
}

impl Plugins {
    /// Returns whether a plugin may have changed since the last call.
    #[inline]
    pub(super) fn take_touched(&mut self) -> bool {
        std::mem::take(&mut self.touched)
    }

    pub(super) fn insert(&mut self, plugin: LoadedPlugin) -> PluginId {
        self.touched = true;
        self.all.insert(plugin)
    }

    pub(super) fn remove(&mut self, id: PluginId) {
        self.touched = true;
        self.all.remove(id);
    }

    /// Notes that the root of a plugin has been deleted. Of what was left behind nothing is left then.
    pub(super) fn end(&mut self, id: PluginId) {
        let Some(plugin) = self.known_mut(id) else { return };
        plugin.end();
        if plugin.is_left {
            self.all.remove(id);
        }
    }

    /// Returns a plugin; none if it has been unloaded, or is another worker's.
    #[inline]
    pub(super) fn get(&self, id: PluginId) -> Option<&LoadedPlugin> {
        self.all.get(id)
    }

    /// Returns a plugin if it is there still.
    pub(super) fn peek(&self, id: PluginId) -> Option<&LoadedPlugin> {
        self.all.peek(id)
    }

    /// Returns the same, to be changed.
    pub(super) fn get_mut(&mut self, id: PluginId) -> Option<&mut LoadedPlugin> {
        self.touched = true;
        self.all.get_mut(id)
    }

    /// Returns a plugin that has not been unloaded: it was found just now.
    pub(super) fn known(&self, id: PluginId) -> Option<&LoadedPlugin> {
        let plugin = self.all.get(id);
        debug_assert!(plugin.is_some(), "{id:?} was found just now, and has gone");
        plugin
    }

    /// Returns the same, to be changed.
    pub(super) fn known_mut(&mut self, id: PluginId) -> Option<&mut LoadedPlugin> {
        self.touched = true;
        let plugin = self.all.get_mut(id);
        debug_assert!(plugin.is_some(), "{id:?} was found just now, and has gone");
        plugin
    }

    /// Returns how often the id of a plugin was used that has been unloaded, or is another worker's, in debug builds.
    pub(super) fn stale(&self) -> u64 {
        self.all.stale()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PluginId, &LoadedPlugin)> {
        self.all.iter()
    }

    /// Returns the plugins in the order in which they were loaded.
    pub(super) fn in_order(&self) -> Vec<&LoadedPlugin> {
        let mut all: Vec<_> = self.all.iter().collect();
        all.sort_unstable_by_key(|(id, _)| id.slot().generation);
        all.into_iter().map(|(_, plugin)| plugin).collect()
    }

    /// Removes what was left behind in a VM that goes.
    pub(super) fn remove_left(&mut self, vm: VmId) {
        let left: Vec<_> = self.of(vm).filter(|(_, plugin)| plugin.is_left).map(|(id, _)| id).collect();
        left.into_iter().for_each(|id| self.remove(id));
    }

    /// Returns the plugins with a root in a VM, what was left behind there included.
    pub(super) fn of(&self, vm: VmId) -> impl Iterator<Item = (PluginId, &LoadedPlugin)> {
        self.iter().filter(move |(_, plugin)| plugin.vm == Some(vm))
    }

    pub(super) fn of_mut(&mut self, vm: VmId) -> impl Iterator<Item = &mut LoadedPlugin> {
        self.touched = true;
        self.all.values_mut().filter(move |plugin| plugin.vm == Some(vm))
    }

    /// Returns the plugin with this root.
    pub(super) fn by_root(&self, vm: VmId, root: ContextId) -> Option<PluginId> {
        self.of(vm).find(|(_, plugin)| plugin.root == root).map(|(id, _)| id)
    }
}
