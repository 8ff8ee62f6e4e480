//! The parts of a worker, and work that concerns several of them. Each part owns its data and knows no other but those below it:
//!
//! | part | has | asks |
//! |---|---|---|
//! | [`Vms`] | VMs and plugins, what guests asked for, which VM has failed | – |
//! | [`Callouts`] | callouts in flight | – |
//! | [`Http`], [`Tcp`] | streams, and what is on its way in them | [`Vms`] |
//! | [`Chains`] | chains that are loaded, and plugins that wait to be unloaded | – |
//! | [`Background`] | the time of calls that no stream waits for | – |
//! | [`Timer`] | when the driver was told to tick | – |
//!
//! Work that concerns several of them is done here, when the call that brought it about has returned; the driver's events come through
//! [`Worker`](crate::Worker), which has the methods of [`Inner`] that are meant for drivers and no state beside it.

mod actions;
mod answers;
mod background;
mod chains;
mod http;
mod load;
mod places;
mod recycle;
mod release;
mod tcp;
#[cfg(test)]
mod tests;
mod timer;
mod unload;

use std::collections::VecDeque;

use self::chains::Chains;
use self::timer::Timer;
use crate::background::Background;
use crate::callouts::Callouts;
use crate::effect::Effect;
use crate::id::{AnyStreamId, StreamId, VmId};
use crate::stream::http::Http;
use crate::stream::tcp::Tcp;
use crate::vms::Vms;

/// The parts of a worker.
pub(crate) struct Inner {
    vms: Vms,
    http: Http,
    tcp: Tcp,
    chains: Chains,
    callouts: Callouts,
    background: Background,
    effects: VecDeque<Effect>,
    timer: Timer,
}

impl Inner {
    pub(crate) fn new(vms: Vms) -> Self {
        Self {
            vms,
            http: Http::default(),
            tcp: Tcp::default(),
            chains: Chains::default(),
            callouts: Callouts::default(),
            background: Background::default(),
            effects: VecDeque::new(),
            timer: Timer::default(),
        }
    }

    pub(crate) fn vms(&self) -> &Vms {
        &self.vms
    }

    pub(crate) fn vms_mut(&mut self) -> &mut Vms {
        &mut self.vms
    }

    /// Returns how often ids of streams, callouts and plugins were used that had gone, and chains unloaded twice, in debug builds.
    pub(crate) fn stale(&self) -> u64 {
        let streams = self.http.stale() + self.tcp.stale();
        streams + self.callouts.stale() + self.vms.stale() + self.chains.stale()
    }

    /// Does all that is due. Streams other than the one that was fed are woken.
    pub(crate) fn run(&mut self, fed: Option<StreamId>) {
        loop {
            // What a callback asked for is done before the next callback: a later one must not see it.
            if self.vms.has_due() {
                self.see_to_vms();
            } else if !self.step() {
                break;
            }
        }
        while let Some(vm) = self.vms.next_to_release() {
            self.release(vm);
        }
        let woken = self.http.take_touched().filter(|stream| Some(*stream) != fed);
        self.effects.extend(woken.map(|stream| Effect::Wake { stream }));
        self.effects.extend(self.tcp.take_touched().map(|id| Effect::WakeConnection { id }));
    }

    /// Takes the next thing to do for the worker; the timer of ticks is set last, once for all that has changed.
    #[inline]
    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front().or_else(|| self.set_timer())
    }

    /// Sees to the failure or the action that came first. Not inlined: most turns of the loop have neither.
    #[inline(never)]
    fn see_to_vms(&mut self) {
        if let Some(vm) = self.vms.next_failure() {
            self.see_to_failure(vm);
        } else if let Some((vm, action)) = self.vms.next_action() {
            self.act(vm, action);
        }
    }

    /// Takes one step in one stream; says whether there was one to take.
    fn step(&mut self) -> bool {
        if self.http.release_orphan(&mut self.vms) || self.tcp.release_orphan(&mut self.vms) {
            return true;
        }
        if self.vms.has_per_stream()
            && let Some(lacking) = self.http.lacks_vm()
            && let Some(vm) = self.make_vm(lacking.plugin, lacking.connection)
        {
            self.http.set_vm(lacking.stream, lacking.index, vm);
        }
        self.http.step(&mut self.vms) || self.tcp.step(&mut self.vms)
    }

    /// Sees to the streams and callouts of a VM that has failed: nobody in it waits for anything any more, and streams that wait for it
    /// must not wait for ever.
    fn see_to_failure(&mut self, vm: VmId) {
        self.give_up(vm);
        for (stream, index) in self.vms.owners(vm) {
            match stream {
                AnyStreamId::Http(stream) => self.http.orphan(stream, index),
                AnyStreamId::Tcp(id) => self.tcp.orphan(id, index),
            }
        }
        for vm in self.vms.beside(vm) {
            self.end_vm_of_stream(vm);
        }
        // An old VM whose streams are over was there for its roots alone.
        if self.vms.root_left(vm).is_some() {
            self.vms.release_later(vm);
        }
    }
}
