//! One VM and what it is there for.
//!
//! | [`Lifecycle`] | what comes to the VM | next |
//! |---|---|---|
//! | active | whatever comes to its plugins | draining, when another VM has taken its place |
//! | draining | what its streams bring; a VM that was made for one stream begins so | retired, when its streams are over; retired, when it was recycled and has lingered |
//! | retired | answers to callouts, and what its roots still do | freed, when these have ended; if it was recycled and has lingered, soon in any case |

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::model::{ContextId, ContextMap, StreamContext};
use portcullis_core::sandbox::{Recycle, SandboxKey};
use portcullis_core::vm::Vm;

use super::backoff::Restart;
use super::recycling::{Recycling, first_pause};
use crate::id::{AnyStreamId, PluginId};
use crate::spec::{Backoff, PluginSpec};

/// How far a VM has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lifecycle {
    Active,
    Draining,
    Retired,
}

/// Whether a VM is to be replaced by one of the module that its plugins are meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TierUp {
    /// The module is being compiled.
    Expected,
    /// The VM is of the module, or there is no other.
    Done,
    /// The plugins did not start on the module.
    Refused,
}

/// The stream and the plugin that a VM was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MadeFor {
    pub(super) plugin: PluginId,
    /// The number of the client's connection, or [`UNKNOWN`](super::places::UNKNOWN).
    pub(super) connection: u64,
}

/// A VM of a worker.
pub(super) struct VmInstance {
    key: SandboxKey,
    spec: Arc<PluginSpec>,
    vm: Vm,
    /// The stream, and the index of the plugin in it, that a context belongs to.
    contexts: ContextMap<(AnyStreamId, usize)>,
    /// Roots that may be deleted when no stream is left.
    ended_roots: Vec<ContextId>,
    made_for: Option<MadeFor>,
    lifecycle: Lifecycle,
    tier_up: TierUp,
    restart: Restart,
    recycling: Recycling,
}

impl VmInstance {
    /// Makes a long-lived VM, of the sandbox and the plugin that it was started for, in the place of one that may be. `part` says how much
    /// less old than the bound of its age it becomes.
    pub(super) fn new(
        key: SandboxKey,
        spec: Arc<PluginSpec>,
        vm: Vm,
        tier_up: TierUp,
        old: Option<&Self>,
        part: u16,
    ) -> Self {
        let rest = old.map(|old| old.restart.rest());
        let pause = old.map(|old| old.recycling.next_pause(spec.reload));
        Self::begin(key, spec, vm, tier_up, (rest, pause, part), None)
    }

    /// Sets how long the VM rests when it has failed; says whether that is another time than before.
    pub(super) fn set_reload(&mut self, reload: Backoff) -> bool {
        if self.spec.reload == reload {
            return false;
        }
        Arc::make_mut(&mut self.spec).reload = reload;
        self.restart.renew(reload);
        true
    }

    /// Makes a VM for one stream.
    pub(super) fn for_stream(key: SandboxKey, spec: Arc<PluginSpec>, vm: Vm, made_for: MadeFor) -> Self {
        Self::begin(key, spec, vm, TierUp::Done, (None, None, 0), Some(made_for))
    }

    fn begin(
        key: SandboxKey,
        spec: Arc<PluginSpec>,
        mut vm: Vm,
        tier_up: TierUp,
        (rest, pause, part): (Option<Duration>, Option<Duration>, u16),
        made_for: Option<MadeFor>,
    ) -> Self {
        let now = clock(&mut vm);
        let recycling = match made_for {
            Some(_) => Recycling::new(&Recycle::default(), now, Duration::ZERO, 0),
            None => Recycling::new(&spec.vm.recycle, now, pause.unwrap_or_else(|| first_pause(spec.reload)), part),
        };
        Self {
            key,
            restart: Restart::new(now, rest.unwrap_or(spec.reload.base)),
            recycling,
            spec,
            vm,
            contexts: ContextMap::default(),
            ended_roots: Vec::new(),
            made_for,
            lifecycle: if made_for.is_some() { Lifecycle::Draining } else { Lifecycle::Active },
            tier_up,
        }
    }

    pub(super) fn vm(&self) -> &Vm {
        &self.vm
    }

    #[inline]
    pub(super) fn vm_mut(&mut self) -> &mut Vm {
        &mut self.vm
    }

    /// Returns what is lent to a stream's context.
    #[inline]
    pub(super) fn lent(&mut self, context: ContextId) -> Option<&mut StreamContext> {
        self.vm.stream(context)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.vm.failure().is_some()
    }

    pub(super) fn key(&self) -> SandboxKey {
        self.key
    }

    pub(super) fn spec(&self) -> &Arc<PluginSpec> {
        &self.spec
    }

    pub(super) fn made_for(&self) -> Option<MadeFor> {
        self.made_for
    }

    /// Reads the host's monotonic clock.
    pub(super) fn now(&mut self) -> Duration {
        clock(&mut self.vm)
    }

    /// Notes whose a context is; says whether the VM is to be recycled, since as many streams have begun as may.
    pub(super) fn enter(&mut self, context: ContextId, owner: (AnyStreamId, usize)) -> bool {
        debug_assert!(self.lifecycle != Lifecycle::Retired, "streams come to no VM that is retired");
        self.contexts.insert(context, owner);
        self.recycling.begin_stream()
    }

    /// Notes that a stream's context is over.
    pub(super) fn leave(&mut self, context: ContextId) {
        self.contexts.remove(&context);
    }

    #[inline]
    pub(super) fn owner(&self, context: ContextId) -> Option<(AnyStreamId, usize)> {
        self.contexts.get(&context).copied()
    }

    pub(super) fn owners(&self) -> impl Iterator<Item = (AnyStreamId, usize)> {
        self.contexts.values().copied()
    }

    pub(super) fn has_streams(&self) -> bool {
        !self.contexts.is_empty()
    }

    /// Keeps a root that has ended for the streams that are there.
    pub(super) fn keep_root(&mut self, root: ContextId) {
        self.ended_roots.push(root);
    }

    /// Takes the roots that were kept, once no stream is left.
    pub(super) fn take_kept_roots(&mut self) -> Vec<ContextId> {
        if self.has_streams() { Vec::new() } else { std::mem::take(&mut self.ended_roots) }
    }

    /// Says whether something new may come to the VM.
    pub(super) fn is_active(&self) -> bool {
        self.lifecycle == Lifecycle::Active
    }

    /// Lets nothing new come to the VM: active, it drains from now on. Items of queues are told to others that have registered them.
    pub(super) fn drain(&mut self) {
        if self.lifecycle == Lifecycle::Active {
            self.lifecycle = Lifecycle::Draining;
            self.vm.retire_queues();
        }
    }

    /// Says whether nothing new comes to the VM, and its streams are over.
    pub(super) fn is_over(&self) -> bool {
        !self.is_active() && !self.has_streams()
    }

    /// Retires a VM whose streams are over; says whether it was not before.
    pub(super) fn retire(&mut self) -> bool {
        debug_assert!(self.is_over(), "only a VM that drains and has no stream retires");
        std::mem::replace(&mut self.lifecycle, Lifecycle::Retired) != Lifecycle::Retired
    }

    pub(super) fn is_retired(&self) -> bool {
        self.lifecycle == Lifecycle::Retired
    }

    pub(super) fn tier_up(&self) -> TierUp {
        self.tier_up
    }

    pub(super) fn set_tier_up(&mut self, tier_up: TierUp) {
        self.tier_up = tier_up;
    }

    /// Says whether the VM is to be replaced now: the module that it is meant for has been compiled.
    pub(super) fn awaits_tier_up(&self) -> bool {
        let waits = self.tier_up == TierUp::Expected && self.is_active() && !self.has_failed();
        waits && self.spec.tier.as_ref().is_some_and(|tier| tier.compiled().is_some())
    }

    pub(super) fn recycling(&self) -> &Recycling {
        &self.recycling
    }

    pub(super) fn recycling_mut(&mut self) -> &mut Recycling {
        &mut self.recycling
    }

    pub(super) fn restart(&self) -> &Restart {
        &self.restart
    }

    pub(super) fn restart_mut(&mut self) -> &mut Restart {
        &mut self.restart
    }
}

fn clock(vm: &mut Vm) -> Duration {
    Duration::from_nanos(vm.state().host().monotonic_clock())
}
