//! Guest calls that no stream waits for: ticks, items of queues, and answers to callouts of roots, or of streams that the plugin does not
//! hold when they come.
//!
//! A driver makes one at a time and polls IO between two. While IO waits, all of them together get a share of the worker,
//! and each plugin that makes such calls an equal part of the share:
//!
//! | | begins |
//! |---|---|
//! | no IO waits | when it is due |
//! | IO waits, the plugin's calls are short, and it has had no more than its part | when it is due |
//! | IO waits | when the share has made up for all calls before it |
//! | the same, and others have had less | a moment later, so that these come first |
//!
//! A call of time `t` is made up for `t / share` after it began; for the plugin's part of the share, `t / part`. Calls that IO did not
//! wait for are made up for as if each were alone. A plugin's calls are short if none of late took longer than [`SHORT`].
//!
//! IO waits while a stream is open, and if something came since the last of these calls: a stream, or what
//! [`Worker::note_io`] tells of.

use std::time::Duration;

use portcullis_core::{ContextId, Percent};

use crate::id::{CalloutId, PluginId, VmId};
use crate::stream::http::gate::Mode;
use crate::stream::tcp::Greeting;
use crate::vms::Loaded;
use crate::worker::Worker;

/// A call of up to so long need not wait for the calls of others to be made up for.
const SHORT: Duration = Duration::from_millis(1);

/// By how much a plugin that has had more than its part lets others go first.
const GIVES_WAY: Duration = Duration::from_millis(1);

/// Time for which an unused part of the share counts: else short calls without end would never let one begin that gives way.
const KEPT: Duration = Duration::from_millis(2);

/// Time that all plugins have had.
#[derive(Debug)]
pub(crate) struct Background {
    share: Percent,
    /// When the share has made up for all calls.
    paid: Duration,
    /// Something came since the last call.
    io_came: bool,
}

/// Time that one plugin has had.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    /// When its part of the share has made up for its calls.
    paid: Duration,
    /// The longest of its calls of late; before the first, it may be as long as can be.
    longest: Duration,
    /// True while the plugin waits and the host has been told.
    is_throttled: bool,
}

/// A call that has begun.
#[derive(Clone, Copy, Debug)]
#[must_use = "the call is to be charged"]
pub(crate) struct Begun {
    plugin: PluginId,
    vm: VmId,
    at: Duration,
}

impl Default for Background {
    fn default() -> Self {
        Self { share: Worker::DEFAULT_TICK_SHARE, paid: Duration::ZERO, io_came: false }
    }
}

impl Default for Account {
    fn default() -> Self {
        Self { paid: Duration::ZERO, longest: Duration::MAX, is_throttled: false }
    }
}

impl Background {
    pub(crate) fn set_share(&mut self, share: Percent) {
        self.share = share;
    }

    /// Something has come that a client or an upstream waits for.
    #[inline]
    pub(crate) fn note_io(&mut self) {
        self.io_came = true;
    }

    /// When a call of a plugin that is due may begin, while IO waits.
    fn begins(&self, account: &Account, due: Duration) -> Duration {
        let is_over = account.paid > self.paid.saturating_add(KEPT);
        let begins = match account.longest <= SHORT {
            true => self.paid.min(account.paid),
            false if is_over => self.paid.saturating_add(GIVES_WAY),
            false => self.paid,
        };
        begins.max(due)
    }

    /// Notes a call. `plugins` is how many share.
    fn charge(&mut self, account: &mut Account, (begin, end): (Duration, Duration), plugins: u32, io_waits: bool) {
        let took = end.saturating_sub(begin);
        let whole = self.share.whole(took);
        let from = |paid: Duration, earliest: Duration| if io_waits { paid.max(earliest) } else { begin };
        self.paid = from(self.paid, begin.saturating_sub(KEPT)).saturating_add(whole);
        // However short a call is, others have had less.
        let part = whole.saturating_mul(plugins).max(Duration::from_nanos(1));
        account.paid = from(account.paid, begin).saturating_add(part);
        account.longest = match account.longest {
            Duration::MAX => took,
            // Half of it is left after 44 short ones.
            longest => took.max(longest - longest / 64),
        };
        account.is_throttled = false;
        self.io_came = false;
    }
}

impl Account {
    /// Whether a plugin waits, from now on, because it has had more than its part.
    fn begins_to_wait(&mut self, now: Duration, begins: Duration) -> bool {
        begins > now && self.paid > now && !std::mem::replace(&mut self.is_throttled, true)
    }
}

/// When calls begin that no stream waits for.
impl Worker {
    /// The part of a worker that [`Worker::with_tick_share`] sets, if it is not called: 20 %.
    pub const DEFAULT_TICK_SHARE: Percent = match Percent::new(20) {
        Some(share) => share,
        None => Percent::ALL,
    };

    /// Sets which part of a worker all calls together get that no stream waits for, while IO waits.
    #[must_use]
    pub fn with_tick_share(mut self, share: Percent) -> Self {
        self.background.set_share(share);
        self
    }

    /// Something waits for this worker that is no stream yet, as a new connection. Streams need not be told of.
    pub fn note_io(&mut self) {
        self.background.note_io();
    }

    /// When [`Worker::tick`] has something to do next, on the host's monotonic clock. While streams are open that may be later than
    /// a tick is due, and it changes when they come and go; [`Worker::next_due`] does not.
    pub fn next_tick(&self) -> Option<Duration> {
        self.next_to_tick().map(|(at, _)| at)
    }

    /// When the next tick is due, on the host's monotonic clock.
    pub fn next_due(&self) -> Option<Duration> {
        self.sandboxes.plugins.iter().filter_map(|plugin| plugin.next_tick).min()
    }

    /// Ticks one plugin, of those whose time has come. The next period begins when the plugin has returned. IO should be polled
    /// between two calls.
    pub fn tick(&mut self) {
        let Some((at, index)) = self.next_to_tick() else { return };
        let Some(plugin) = self.sandboxes.plugins.get(index.index()) else { return };
        let (vm, root, due, paid) = (plugin.vm, plugin.root, plugin.next_tick, plugin.account.paid);
        let Some(vm) = vm else { return };
        let now = self.sandboxes.now(vm);
        if at > now {
            return;
        }
        if due.is_some_and(|due| at > due && paid > due) {
            self.sandboxes.tell_throttled(index);
        }
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { return };
        let result = sandbox.vm.on_tick(root);
        let period = sandbox.vm.tick_period(root);
        let end = self.sandboxes.now(vm);
        if let Some(plugin) = self.sandboxes.plugins.get_mut(index.index()) {
            plugin.next_tick = period.map(|period| end + period);
        }
        self.charge(Some(Begun { plugin: index, vm, at: now }));
        self.after_call(vm, result.is_err());
        self.run(None);
    }

    /// Tells one plugin of an item in a queue that it has registered, if one may be told now; says when to call this again, and
    /// `None` when there is nothing to tell. IO should be polled between two calls.
    pub fn queues_ready(&mut self) -> Option<Duration> {
        let (at, index, vm) = self.next_to_tell()?;
        let now = self.sandboxes.now(vm);
        if at > now {
            self.note_wait(index, now, at);
            return Some(at);
        }
        let begun = Begun { plugin: index, vm, at: now };
        let sandbox = self.sandboxes.vms.get_mut(vm)?;
        let result = sandbox.vm.on_queue_ready();
        self.charge(Some(begun));
        self.after_call(vm, result.is_err());
        self.run(None);
        self.next_to_tell().map(|(at, ..)| at)
    }

    /// When the answer to a callout, or a part of it, may be delivered, if no stream waits for it; IO should be polled before. `None`
    /// if it is to be delivered at once.
    pub fn answer_turn(&mut self, id: CalloutId) -> Option<Duration> {
        let (index, vm) = self.told_alone(id)?;
        let now = self.sandboxes.now(vm);
        let at = self.begins(index, Duration::ZERO);
        self.note_wait(index, now, at);
        Some(at)
    }

    /// Begins to deliver an answer; to be charged if no stream waits for it.
    pub(crate) fn begin_answer(&mut self, id: CalloutId) -> Option<Begun> {
        let (plugin, vm) = self.told_alone(id)?;
        Some(Begun { plugin, vm, at: self.sandboxes.now(vm) })
    }

    /// Charges a plugin for a call that ends now.
    pub(crate) fn charge(&mut self, begun: Option<Begun>) {
        let Some(Begun { plugin, vm, at }) = begun else { return };
        let (end, io_waits) = (self.sandboxes.now(vm), self.io_waits());
        let shares = |(index, loaded): (usize, &Loaded)| {
            PluginId::at(index) == plugin || loaded.next_tick.is_some() || loaded.account.paid > at
        };
        let plugins = self.sandboxes.plugins.iter().enumerate().filter(|loaded| shares(*loaded)).count();
        let plugins = u32::try_from(plugins).unwrap_or(u32::MAX);
        if let Some(loaded) = self.sandboxes.plugins.get_mut(plugin.index()) {
            self.background.charge(&mut loaded.account, (at, end), plugins, io_waits);
        }
    }

    fn io_waits(&self) -> bool {
        self.background.io_came || !self.streams.is_empty() || !self.connections.is_empty()
    }

    /// When a call of a plugin may begin that is due.
    fn begins(&self, plugin: PluginId, due: Duration) -> Duration {
        match self.sandboxes.plugins.get(plugin.index()) {
            Some(loaded) if self.io_waits() => self.background.begins(&loaded.account, due),
            _ => due,
        }
    }

    /// The plugin that ticks next, and when.
    fn next_to_tick(&self) -> Option<(Duration, PluginId)> {
        let plugins = self.sandboxes.plugins.iter().enumerate();
        let plugins = plugins.map(|(index, plugin)| (PluginId::at(index), plugin));
        plugins.filter_map(|(index, plugin)| Some((self.begins(index, plugin.next_tick?), index))).min()
    }

    /// The plugin and the VM that are told next of an item, and when; of several, the one that has had least.
    fn next_to_tell(&mut self) -> Option<(Duration, PluginId, VmId)> {
        let told = self.sandboxes.to_tell();
        let to_tell = |(vm, index): (VmId, PluginId)| {
            let paid = self.sandboxes.plugins.get(index.index())?.account.paid;
            Some((self.begins(index, Duration::ZERO), paid, index, vm))
        };
        told.into_iter().filter_map(to_tell).min().map(|(at, _, index, vm)| (at, index, vm))
    }

    /// The plugin and the VM that are told of an answer, if no stream waits for it.
    fn told_alone(&mut self, id: CalloutId) -> Option<(PluginId, VmId)> {
        let (vm, pending) = self.callouts.get(id)?;
        let (root, stream) = self.sandboxes.vms.get_mut(vm)?.vm.told_of(pending)?;
        if stream.is_some_and(|context| self.is_paused(vm, context)) {
            return None;
        }
        Some((self.sandboxes.index_of(vm, root)?, vm))
    }

    /// Whether the plugin of a context holds its stream. A plugin can ask in the name of any stream of its own, also of one that passes by.
    fn is_paused(&self, vm: VmId, context: ContextId) -> bool {
        let http = self.stream_of(vm, context).and_then(|(id, index)| self.streams.get(id)?.plugins.get(index));
        let tcp = self.connection_of(vm, context).and_then(|(id, index)| self.connections.get(id)?.plugins.get(index));
        http.is_some_and(|plugin| plugin.stages.iter().any(|stage| stage.mode != Mode::Open))
            || tcp.is_some_and(|plugin| {
                plugin.greeting == Greeting::Paused || plugin.sides.iter().any(|side| side.stopped)
            })
    }

    /// Tells the host of a plugin that waits because it has had more than its part.
    fn note_wait(&mut self, plugin: PluginId, now: Duration, begins: Duration) {
        let account = self.sandboxes.plugins.get_mut(plugin.index()).map(|loaded| &mut loaded.account);
        if account.is_some_and(|account| account.begins_to_wait(now, begins)) {
            self.sandboxes.tell_throttled(plugin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn after_call(account: &mut Account, took: Duration, plugins: u32, io_waits: bool) -> Background {
        let mut background = Background::default();
        background.charge(account, (100 * MS, 100 * MS + took), plugins, io_waits);
        background
    }

    #[test]
    fn a_share_makes_up_for_a_call() {
        let mut account = Account::default();
        let background = after_call(&mut account, 40 * MS, 1, true);
        assert_eq!(background.begins(&account, 101 * MS), 298 * MS, "40 ms are 20 % of 200 ms; 2 ms were left before");
        assert_eq!(background.begins(&account, 301 * MS), 301 * MS);
    }

    #[test]
    fn who_has_had_more_than_a_part_gives_way() {
        let (mut account, fresh) = (Account::default(), Account::default());
        let background = after_call(&mut account, 40 * MS, 2, true);
        assert_eq!(background.begins(&fresh, Duration::ZERO), 298 * MS);
        assert_eq!(background.begins(&account, Duration::ZERO), 299 * MS);
    }

    #[test]
    fn short_calls_of_others_need_not_wait() {
        let (mut long, mut short) = (Account::default(), Account::default());
        let mut background = Background::default();
        background.charge(&mut short, (99 * MS, 100 * MS), 2, false);
        background.charge(&mut long, (100 * MS, 140 * MS), 2, true);
        assert_eq!(background.begins(&short, 150 * MS), 150 * MS);
        background.charge(&mut short, (150 * MS, 151 * MS), 2, true);
        assert_eq!(background.begins(&short, 151 * MS), 160 * MS, "its part has to make up for its own");
        background.charge(&mut short, (160 * MS, 200 * MS), 2, true);
        for _ in 0..200 {
            background.charge(&mut short, (1000 * MS, 1000 * MS), 2, true);
        }
        assert!(short.longest > SHORT, "one that was long is not forgotten soon: {:?}", short.longest);
    }

    #[test]
    fn calls_that_nobody_waited_for_are_no_debt() {
        let mut account = Account::default();
        let mut background = after_call(&mut account, 40 * MS, 1, false);
        for turn in 1..50 {
            background.charge(&mut account, (turn * 40 * MS, (turn + 1) * 40 * MS), 1, false);
        }
        assert_eq!(background.begins(&account, Duration::ZERO), 49 * 40 * MS + 200 * MS);
    }
}
