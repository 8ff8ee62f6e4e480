//! The VMs of a worker and the plugins in them.
//!
//! Every call into a VM goes through [`Vms::call`]: actions that the guest asked for meanwhile, and its failure, wait here until the worker
//! takes them.

mod backoff;
mod due;
mod health;
mod instance;
mod per_stream;
mod places;
mod plugins;
mod ready;
mod recycling;
mod report;
mod rests;
mod roots;
mod start;
mod streams;
mod table;
mod threads;
mod upkeep;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_core::engine::EngineError;
use portcullis_core::model::{Action, ContextId, Direction};
use portcullis_core::resources::{ForeignFunctions, Host, Shared, Wake};
use portcullis_core::rights::Capabilities;
use portcullis_core::vm::{Part, Vm, VmFailed};

use self::due::Upkeep;
use self::instance::VmInstance;
use self::per_stream::PerStream;
use self::plugins::Plugins;
use self::ready::Ready;
use self::table::Table;
use self::threads::Threads;
use crate::id::{PluginId, VmId};
pub use health::{Health, LiveVms, PluginState, VmCounts};
pub(crate) use per_stream::NoVm;

/// Makes hosts of VMs: one that a worker has to itself, and that may move with it.
pub(crate) type NewHost = Arc<Mutex<dyn Fn() -> Box<dyn Host> + Send>>;

/// All VMs of a worker, and all plugins.
pub(crate) struct Vms {
    host: NewHost,
    shared: Shared,
    wake: Option<Wake>,
    foreign: ForeignFunctions,
    table: Table,
    plugins: Plugins,
    ready: Ready,
    /// Actions of guests that are not carried out yet.
    actions: VecDeque<(VmId, Action)>,
    /// VMs that have failed, until the worker has seen to their streams and callouts.
    failures: VecDeque<VmId>,
    /// VMs of which the last root may have gone.
    to_release: Vec<VmId>,
    told_of_stray: bool,
    /// Plugins have VMs for each stream.
    has_per_stream: bool,
    /// The health of a plugin has changed.
    changed: bool,
    threads: Threads,
    upkeep: Upkeep,
}

impl Vms {
    /// Lets several threads use the worker, one after the other.
    pub(crate) fn allow_several_threads(&mut self) -> Result<(), EngineError> {
        let of_vms = self.table.iter().flat_map(|(_, instance)| {
            let spec = instance.spec();
            [&*spec.module, &**spec.module_now()]
        });
        let of_streams = self.plugins.iter().filter_map(|(_, loaded)| loaded.source()).map(PerStream::module_now);
        self.threads.allow_several(of_vms.chain(of_streams))
    }

    /// No VM. Each that is started gets a host of its own.
    pub(crate) fn new(host: NewHost) -> Self {
        Self {
            host,
            shared: Shared::default(),
            wake: None,
            foreign: ForeignFunctions::default(),
            table: Table::default(),
            plugins: Plugins::default(),
            ready: Ready::default(),
            actions: VecDeque::new(),
            failures: VecDeque::new(),
            to_release: Vec::new(),
            told_of_stray: false,
            has_per_stream: false,
            changed: false,
            threads: Threads::default(),
            upkeep: Upkeep::default(),
        }
    }

    /// Makes a table without VMs whose VMs would be started as those of this one, and change nothing that is shared with others.
    pub(crate) fn apart(&self) -> Self {
        let (shared, foreign, threads) = (self.shared.trial(), self.foreign.clone(), self.threads.clone());
        Self { shared, foreign, threads, ..Self::new(Arc::clone(&self.host)) }
    }

    /// Makes the host of a VM.
    fn new_host(&self) -> Box<dyn Host> {
        (self.host.lock().unwrap_or_else(PoisonError::into_inner))()
    }

    /// Sets what VMs that are started from now on share with those of other workers.
    pub(crate) fn share(&mut self, shared: Shared, wake: Wake) {
        (self.shared, self.wake) = (shared, Some(wake));
    }

    /// Sets what plugins may call beyond the ABI, in VMs that are started from now on.
    pub(crate) fn set_foreign(&mut self, functions: ForeignFunctions) {
        self.foreign = functions;
    }

    /// Calls into a VM; `None` if it has gone, as that of a stream may for the sake of another one. What the guest asked for, and a
    /// failure, waits to be taken.
    pub(crate) fn call<T>(
        &mut self,
        vm: VmId,
        call: impl FnOnce(&mut Vm) -> Result<T, VmFailed>,
    ) -> Option<Result<T, VmFailed>> {
        let instance = self.table.get_mut(vm)?;
        let result = call(instance.vm_mut());
        take_actions(&mut self.actions, vm, instance);
        // Where a context does not exist, the VM itself may be well.
        if result.is_err() && instance.has_failed() {
            self.note_failure(vm);
        }
        Some(result)
    }

    /// Returns a VM, for what runs no code of the guest.
    #[inline]
    pub(crate) fn get_mut(&mut self, vm: VmId) -> Option<&mut Vm> {
        self.table.get_mut(vm).map(|instance| instance.vm_mut())
    }

    /// Says whether a VM has failed, or gone.
    pub(crate) fn has_failed(&self, vm: VmId) -> bool {
        self.table.get(vm).is_none_or(|instance| instance.has_failed())
    }

    /// Says whether a VM has failed or a guest has asked for something, and that is not done yet.
    #[inline]
    pub(crate) fn has_due(&self) -> bool {
        !self.failures.is_empty() || !self.actions.is_empty()
    }

    /// Takes the oldest action of a guest.
    #[inline]
    pub(crate) fn next_action(&mut self) -> Option<(VmId, Action)> {
        self.actions.pop_front()
    }

    /// Drops the actions of the guests of a VM.
    pub(crate) fn drop_actions(&mut self, vm: VmId) {
        self.actions.retain(|(of, _)| *of != vm);
    }

    /// Says whether a plugin has answered or cut its stream, and that is not done yet.
    pub(crate) fn is_answered(&self, vm: VmId, context: ContextId) -> bool {
        self.actions.iter().any(|(of, action)| {
            let answers = |stream: &ContextId| *of == vm && *stream == context;
            matches!(action, Action::LocalResponse { context, .. } | Action::Close { context, .. } if answers(context))
        })
    }

    /// Takes the VM that failed first and has not been seen to.
    #[inline]
    pub(crate) fn next_failure(&mut self) -> Option<VmId> {
        self.failures.pop_front()
    }

    /// Has a VM looked at when all else is done: its last root may have gone.
    pub(crate) fn release_later(&mut self, vm: VmId) {
        self.to_release.push(vm);
    }

    /// Takes a VM whose last root may have gone.
    #[inline]
    pub(crate) fn next_to_release(&mut self) -> Option<VmId> {
        self.to_release.pop()
    }

    /// Says whether a plugin has a VM for each stream: else none is to be made.
    #[inline]
    pub(crate) fn has_per_stream(&self) -> bool {
        self.has_per_stream
    }

    /// Reads the host's monotonic clock.
    pub(crate) fn now(&mut self, vm: VmId) -> Duration {
        self.table.known_mut(vm).map_or(Duration::ZERO, |instance| instance.now())
    }

    /// Returns how often the id of a plugin was used that has been unloaded, or is another worker's, in debug builds.
    pub(crate) fn stale(&self) -> u64 {
        self.plugins.stale()
    }

    /// Returns whether a plugin has a callback for a part of a message, and the right to it; true if its exports are not known.
    pub(crate) fn has_callback_for(&self, plugin: PluginId, direction: Direction, part: Part) -> bool {
        let Some(loaded) = self.plugins.get(plugin) else { return false };
        // Plugins of one VM have one module.
        let of_vm = || Some(&**self.table.get(loaded.vm()?)?.spec());
        let Some(spec) = loaded.source().map(PerStream::spec).or_else(of_vm) else { return false };
        let exports = spec.module.exports().unwrap_or(Capabilities::ALL);
        part.has_callback_in(direction, exports.and(loaded.plugin().capabilities))
    }

    /// Returns how many VMs run, and how many have failed.
    pub(crate) fn counts(&self) -> VmCounts {
        let failed = self.table.iter().filter(|(_, instance)| instance.has_failed()).count();
        VmCounts { running: self.table.len() - failed, failed }
    }

    /// Returns the bytes of linear memory of all VMs.
    pub(crate) fn memory_size(&mut self) -> usize {
        self.table.iter_mut().map(|(_, instance)| instance.vm_mut().memory_size()).sum()
    }

    /// Returns how many plugins there are, and VMs that are looked after.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> [usize; 2] {
        [self.plugins.iter().count(), self.upkeep.len()]
    }

    /// Returns how many VMs have been walked over since the last call.
    #[cfg(test)]
    pub(crate) fn take_walked(&self) -> usize {
        self.table.take_walked()
    }

    /// Notes that a VM has failed, once: what it asked for in its last call is void, and its ticks end.
    fn note_failure(&mut self, vm: VmId) {
        let Some(instance) = self.table.known_mut(vm) else { return };
        let now = instance.now();
        let backoff = instance.spec().reload;
        if !instance.restart_mut().fail(now, backoff) {
            return;
        }
        let made_for = instance.made_for();
        let is_active = instance.is_active();
        self.plugins.of_mut(vm).for_each(|plugin| plugin.set_next_tick(None));
        self.drop_actions(vm);
        self.failures.push_back(vm);
        // A VM of one stream takes its failure with it, and there may be many.
        match made_for {
            Some(made_for) => self.note_failure_of_stream(made_for, vm, now),
            None => {
                // Other VMs that have registered its queues are told of items, if there are any.
                if let Some(vm) = self.get_mut(vm) {
                    vm.retire_queues();
                }
                self.note_change();
                self.tell_consequences(vm);
                // One that was recycled ends when it has lingered.
                if is_active {
                    self.watch(vm);
                }
            }
        }
    }
}

/// Takes the actions of the guests of a VM.
#[inline]
fn take_actions(actions: &mut VecDeque<(VmId, Action)>, vm: VmId, instance: &mut VmInstance) {
    while let Some(action) = instance.vm_mut().next_action() {
        actions.push_back((vm, action));
    }
}
