//! Calls that no stream waits for: whose turn it is, and what they are charged.

use std::time::Duration;

use portcullis_core::model::Percent;

use super::Inner;
use crate::effect::Effect;
use crate::id::{AnyStreamId, CalloutId, PluginId, VmId};

/// A call that has begun.
#[derive(Clone, Copy, Debug)]
#[must_use = "the call is to be charged"]
pub(super) struct Begun {
    plugin: PluginId,
    vm: VmId,
    at: Duration,
}

/// Something that is done at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timed {
    /// A plugin ticks.
    Tick(PluginId),
    /// A VM is recycled, or one that was recycled ends.
    Upkeep(VmId),
}

impl Inner {
    pub(crate) fn set_tick_share(&mut self, share: Percent) {
        self.background.set_share(share);
    }

    pub(crate) fn note_io(&mut self) {
        self.background.note_io();
    }

    /// Returns when the next tick, or the upkeep of a VM, may begin.
    pub(crate) fn next_tick(&self) -> Option<Duration> {
        self.next_timed().map(|(at, ..)| at)
    }

    /// Returns when the next tick is due, or the upkeep of a VM.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let ticks = self.vms.due().map(|(_, due)| due);
        ticks.chain(self.vms.next_upkeep().map(|(due, _)| due)).min()
    }

    /// Has the driver set its timer, if that is not to be as it was told last.
    #[inline]
    pub(super) fn set_timer(&mut self) -> Option<Effect> {
        // A plugin's period changes in few of its calls.
        if !self.vms.take_due_changed() && !self.timer.has_expired() {
            return None;
        }
        self.set_timer_to_next()
    }

    #[inline(never)]
    fn set_timer_to_next(&mut self) -> Option<Effect> {
        let due = self.next_due();
        self.timer.set(due).then(|| Effect::Tick { after: self.time_to_tick() })
    }

    /// Returns the time from now until the next tick may begin.
    fn time_to_tick(&mut self) -> Option<Duration> {
        let (at, timed, _) = self.next_timed()?;
        let vm = match timed {
            Timed::Tick(plugin) => self.vms.root(plugin)?.0,
            Timed::Upkeep(vm) => vm,
        };
        Some(at.saturating_sub(self.vms.now(vm)))
    }

    /// Ticks one plugin, or sees to the upkeep of one VM, of those whose time has come.
    pub(crate) fn tick(&mut self) {
        self.timer.expire();
        match self.next_timed() {
            Some((at, Timed::Tick(plugin), due)) => self.tick_plugin(plugin, at, due),
            Some((at, Timed::Upkeep(vm), _)) => self.keep(vm, at),
            None => {}
        }
    }

    /// Sees to the upkeep of a VM at the cost of its first plugin.
    fn keep(&mut self, vm: VmId, at: Duration) {
        let now = self.vms.now(vm);
        if at > now {
            return;
        }
        let payer = self.vms.payer(vm);
        self.see_to_upkeep(vm);
        if let Some((plugin, vm)) = payer.and_then(|plugin| Some((plugin, self.vms.vm_of(plugin)?))) {
            self.charge(Some(Begun { plugin, vm, at: now }));
        }
    }

    fn tick_plugin(&mut self, plugin: PluginId, at: Duration, due: Duration) {
        let Some((vm, root)) = self.vms.root(plugin) else {
            debug_assert!(false, "what has gone with its VM, or has a VM for each stream, has no ticks: {plugin:?}");
            return;
        };
        let now = self.vms.now(vm);
        if at > now {
            return;
        }
        let paid = self.vms.account(plugin).map_or(Duration::ZERO, |account| account.paid());
        if at > due && paid > due {
            self.vms.tell_throttled(plugin);
        }
        self.vms.call(vm, |vm| vm.on_tick(root));
        // One that has failed meanwhile ticks no more.
        if !self.vms.has_failed(vm) {
            self.vms.restart_ticks(vm, root);
        }
        self.charge(Some(Begun { plugin, vm, at: now }));
        self.run(None);
    }

    /// Tells one plugin of an item in a queue, if one may be told now; returns when to call this again.
    pub(crate) fn queues_ready(&mut self) -> Option<Duration> {
        let (at, plugin, vm) = self.next_to_tell()?;
        let now = self.vms.now(vm);
        if at > now {
            self.note_wait(plugin, now, at);
            return Some(at);
        }
        let _ = self.vms.call(vm, |vm| vm.on_queue_ready())?;
        self.charge(Some(Begun { plugin, vm, at: now }));
        self.run(None);
        self.next_to_tell().map(|(at, ..)| at)
    }

    /// Returns when the answer to a callout, or a part of it, may be delivered, if no stream waits for it.
    pub(crate) fn answer_turn(&mut self, id: CalloutId) -> Option<Duration> {
        let (plugin, vm) = self.told_alone(id)?;
        let now = self.vms.now(vm);
        let at = self.begins(plugin, Duration::ZERO);
        self.note_wait(plugin, now, at);
        Some(at)
    }

    /// Begins to deliver an answer; to be charged if no stream waits for it.
    pub(super) fn begin_answer(&mut self, id: CalloutId) -> Option<Begun> {
        let (plugin, vm) = self.told_alone(id)?;
        Some(Begun { plugin, vm, at: self.vms.now(vm) })
    }

    /// Charges a plugin for a call that ends now.
    pub(super) fn charge(&mut self, begun: Option<Begun>) {
        // A call that a stream waits for is the stream's.
        let Some(Begun { plugin, vm, at }) = begun else { return };
        let (end, io_waits) = (self.vms.now(vm), self.io_waits());
        let plugins = u32::try_from(self.vms.sharing(plugin, at)).unwrap_or(u32::MAX);
        if let Some(account) = self.vms.account_mut(plugin) {
            self.background.charge(account, (at, end), plugins, io_waits);
        }
    }

    fn io_waits(&self) -> bool {
        self.background.has_io() || !self.http.is_empty() || !self.tcp.is_empty()
    }

    /// Returns when a call of a plugin may begin that is due.
    fn begins(&self, plugin: PluginId, due: Duration) -> Duration {
        match self.vms.account(plugin) {
            Some(account) if self.io_waits() => self.background.begins(account, due),
            _ => due,
        }
    }

    /// Returns what is done next at its time, with when it may and when it is due.
    fn next_timed(&self) -> Option<(Duration, Timed, Duration)> {
        let ticks = self.vms.due().map(|(plugin, due)| (self.begins(plugin, due), Timed::Tick(plugin), due));
        let upkeep = self.vms.next_upkeep().map(|(due, vm)| {
            let begins = self.vms.payer(vm).map_or(due, |plugin| self.begins(plugin, due));
            (begins, Timed::Upkeep(vm), due)
        });
        ticks.chain(upkeep).min()
    }

    /// Returns the plugin and the VM that are told next of an item, and when; of several, the one that has had least.
    fn next_to_tell(&mut self) -> Option<(Duration, PluginId, VmId)> {
        let told = self.vms.next_told();
        let to_tell = |(vm, plugin): (VmId, PluginId)| {
            let paid = self.vms.account(plugin)?.paid();
            Some((self.begins(plugin, Duration::ZERO), paid, plugin, vm))
        };
        told.into_iter().filter_map(to_tell).min().map(|(at, _, plugin, vm)| (at, plugin, vm))
    }

    /// Returns the plugin and the VM that are told of an answer, if no stream waits for it.
    fn told_alone(&mut self, id: CalloutId) -> Option<(PluginId, VmId)> {
        let (vm, pending) = self.callouts.get(id)?;
        let (plugin, stream) = self.vms.told_of(vm, pending)?;
        // A plugin can ask in the name of any stream of its own, also of one that passes by.
        let is_paused = match stream.and_then(|context| self.vms.owner(vm, context)) {
            Some((AnyStreamId::Http(id), index)) => self.http.is_paused(id, index),
            Some((AnyStreamId::Tcp(id), index)) => self.tcp.is_paused(id, index),
            None => false,
        };
        (!is_paused).then_some((plugin, vm))
    }

    /// Tells the host of a plugin that waits because it has had more than its part.
    fn note_wait(&mut self, plugin: PluginId, now: Duration, begins: Duration) {
        let account = self.vms.account_mut(plugin);
        if account.is_some_and(|account| account.begins_to_wait(now, begins)) {
            self.vms.tell_throttled(plugin);
        }
    }
}
