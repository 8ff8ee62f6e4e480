//! Streams in VMs, and VMs that are there for one stream each.
//!
//! | | |
//! |---|---|
//! | places | a plugin has [`Snapshot::MOST`](crate::Snapshot::MOST) in a worker, or fewer ([`Snapshot::with_at_most`](crate::Snapshot::with_at_most)). When all are taken, or the engine makes no more, a stream gets the place of another one: of one that is over and waits for callouts, or of the connection that has most of them, if that has at least two more than the stream's own |
//! | a VM spends its deadline | the VMs of its client's connection end, and no other one is made for it while it rests; after several connections, for any ([`rests`](super::rests)) |
//! | any other failure | is the affair of its stream |
//!
//! A stream that loses its VM, or gets none, is answered by the plugin's failure policy.

use std::time::Duration;

use portcullis_core::engine::StartError;
use portcullis_core::model::{Compatibility, ContextId, FailurePolicy, SharedStreamInfo, StreamContext};
use portcullis_core::vm::{Vm, VmFailed};

use super::instance::MadeFor;
use super::per_stream::{MOST_LINGERING, NoVm, PerStream};
use super::plugins::LoadedPlugin;
use super::recycling::Reason;
use super::rests::{Began, Resting, SEVERAL};
use super::{Vms, take_actions};
use crate::id::{AnyStreamId, PluginId, VmId};

impl Vms {
    /// Returns the VM of a plugin now; none if the plugin does not exist in this worker, or has a VM for each stream.
    #[inline]
    pub(crate) fn vm_of(&self, plugin: PluginId) -> Option<VmId> {
        self.plugins.get(plugin)?.vm()
    }

    /// Returns the VM and the root for a stream that comes to a plugin. `made` is the VM that was made for the stream, if each has one.
    pub(crate) fn root_for(&mut self, plugin: PluginId, made: Option<VmId>) -> Option<(VmId, ContextId)> {
        let Some(loaded) = self.plugins.get(plugin) else {
            self.tell_of_stray();
            return None;
        };
        if loaded.source().is_some() {
            return made.map(|vm| (vm, loaded.root()));
        }
        if loaded.has_ended() || loaded.is_left() {
            self.tell(plugin, "it has ended: streams that still come to it are answered by its failure policy");
            return None;
        }
        // A newer VM may have taken the place of the one that was there when the stream began.
        loaded.vm().map(|vm| (vm, loaded.root()))
    }

    /// Creates the context of a stream; `None` if the VM has gone.
    pub(crate) fn create(
        &mut self,
        (vm, root): (VmId, ContextId),
        owner: (AnyStreamId, usize),
        info: SharedStreamInfo,
    ) -> Option<Result<ContextId, VmFailed>> {
        let instance = self.table.get_mut(vm)?;
        let created = match owner.0 {
            AnyStreamId::Http(_) => instance.vm_mut().create_stream(root, info),
            AnyStreamId::Tcp(_) => instance.vm_mut().create_tcp_stream(root, info),
        };
        let is_due = created.is_ok_and(|context| instance.enter(context, owner));
        take_actions(&mut self.actions, vm, instance);
        if created.is_err() && instance.has_failed() {
            self.note_failure(vm);
        }
        if is_due {
            self.pass(vm, Reason::Streams);
        }
        Some(created)
    }

    /// Notes that a stream has left its context, which is to be deleted.
    pub(crate) fn leave(&mut self, vm: VmId, context: ContextId) {
        // Its VM may have gone for the sake of another stream, and its plugin if the stream began after that was unloaded.
        let Some(instance) = self.table.get_mut(vm) else { return };
        instance.leave(context);
        if let Some(MadeFor { plugin, connection }) = instance.made_for().filter(|_| !instance.has_streams())
            && let Some(source) = self.source_mut(plugin)
        {
            source.over(vm, connection);
        }
    }

    /// Returns the stream of a context, and the index of the plugin in it.
    #[inline]
    pub(crate) fn owner(&self, vm: VmId, context: ContextId) -> Option<(AnyStreamId, usize)> {
        self.table.known(vm)?.owner(context)
    }

    /// Returns the streams that have contexts in a VM, with the indices of their plugins.
    pub(crate) fn owners(&self, vm: VmId) -> Vec<(AnyStreamId, usize)> {
        self.table.get(vm).map_or_else(Vec::new, |instance| instance.owners().collect())
    }

    /// Returns what is lent to a stream's context.
    #[inline]
    pub(crate) fn lent(&mut self, vm: VmId, context: ContextId) -> Option<&mut StreamContext> {
        self.table.get_mut(vm)?.lent(context)
    }

    /// Says whether streams pass a plugin that has failed.
    pub(crate) fn is_open(&self, plugin: PluginId) -> bool {
        self.plugins.get(plugin).is_some_and(|loaded| loaded.policy() == FailurePolicy::Open)
    }

    /// Says whether a plugin is told of the end before it logs (spec: `proxy_on_done`; deployed hosts log first).
    pub(crate) fn ends_before_log(&self, plugin: PluginId) -> bool {
        self.plugins.get(plugin).is_some_and(|loaded| loaded.plugin().compatibility == Compatibility::Spec)
    }

    pub(crate) fn name(&self, plugin: PluginId) -> Option<&str> {
        Some(&self.plugins.get(plugin)?.plugin().name)
    }

    /// Makes the VM of a stream of a connection.
    ///
    /// # Errors
    /// No VM is to be had for this stream now.
    pub(crate) fn make_for_stream(&mut self, plugin: PluginId, connection: u64) -> Result<VmId, NoVm> {
        if let Some(resting) = self.resting(plugin, connection) {
            let why = match resting {
                Resting::Connection(rest) => {
                    format!("another {rest:.1?} have to pass since one of its connection spent its deadline")
                }
                Resting::All(rest) => {
                    format!(
                        "another {rest:.1?} have to pass since streams of several connections spent their deadlines"
                    )
                }
            };
            self.tell(plugin, &format!("no VM is made for a stream: {why}"));
            return Err(NoVm::Told);
        }
        let vm = self.table.next_id();
        let host = self.new_host();
        // The module may have been compiled by another engine since the plugin was loaded.
        let module = self.plugins.get(plugin).and_then(LoadedPlugin::source).map(PerStream::module_now);
        if let Some(Err(error)) = module.map(|module| self.threads.check(module)) {
            self.tell_no_vm(plugin, &error.to_string());
            return Err(NoVm::Told);
        }
        let Some(source) = self.source_mut(plugin) else {
            debug_assert!(false, "a VM of a stream is made only for a plugin that has one for each: {plugin:?}");
            return Err(NoVm::Told);
        };
        if source.is_full() {
            let why = format!("there are {} of them, as many as there may be in a worker", source.most());
            self.tell_no_vm(plugin, &why);
            return Err(NoVm::Told);
        }
        match source.make(vm, plugin, connection, host) {
            Ok(instance) => {
                self.table.insert(vm, instance);
                Ok(vm)
            }
            // One has been made before, so it is a place that lacks, or memory.
            Err(StartError::Engine(error)) => Err(NoVm::Lacks(error.to_string())),
            Err(error) => {
                self.tell_no_vm(plugin, &error.to_string());
                Err(NoVm::Told)
            }
        }
    }

    /// Says whether a VM was made for one stream.
    pub(crate) fn is_of_stream(&self, vm: VmId) -> bool {
        self.table.get(vm).is_some_and(|instance| instance.made_for().is_some())
    }

    /// Says whether a plugin has a VM for each stream.
    #[inline]
    pub(crate) fn is_per_stream(&self, plugin: PluginId) -> bool {
        self.source(plugin).is_some()
    }

    /// Says whether a stream of a connection needs the place of another one: all are taken, and one would be made for it.
    pub(crate) fn lacks_place(&mut self, plugin: PluginId, connection: u64) -> bool {
        self.source(plugin).is_some_and(PerStream::is_full) && self.resting(plugin, connection).is_none()
    }

    /// Returns the VM that a stream of a connection gets the place of, if others have more than a fair part of the plugin's.
    pub(crate) fn spare(&mut self, plugin: PluginId, connection: u64) -> Option<VmId> {
        let vm = self.source(plugin)?.to_spare(connection)?;
        let what = "all places are taken, so connections that have most of them lose streams to others, which are answered by the \
                    failure policy";
        self.tell(plugin, what);
        Some(vm)
    }

    /// Tells the operator that a stream gets no VM.
    pub(crate) fn tell_no_vm(&mut self, plugin: PluginId, why: &str) {
        self.tell(plugin, &format!("no VM can be made for a stream: {why}"));
    }

    /// Says whether a VM whose streams are over may wait for its callouts, and retires it then. Of those that are of one stream not all may.
    pub(crate) fn may_wait(&mut self, vm: VmId) -> bool {
        let Some(instance) = self.table.known_mut(vm) else { return false };
        if instance.is_retired() {
            return true;
        }
        if let Some(MadeFor { plugin, .. }) = instance.made_for()
            && !self.source_mut(plugin).is_some_and(PerStream::linger)
        {
            let what = format!(
                "more than {MOST_LINGERING} streams are over whose callouts are not; those of further ones are given up"
            );
            self.tell(plugin, &what);
            return false;
        }
        self.retire(vm);
        true
    }

    /// Returns how many VMs are there for callouts alone.
    pub(super) fn lingering(&self) -> usize {
        self.plugins.iter().filter_map(|(_, loaded)| loaded.source()).map(PerStream::lingering).sum()
    }

    /// Returns the VMs of other streams of the connection of a VM that has spent its deadline; they end with it.
    pub(crate) fn beside(&self, vm: VmId) -> Vec<VmId> {
        let spent = self.table.get(vm).filter(|instance| spent_deadline(instance.vm()));
        let made_for = spent.and_then(|instance| instance.made_for());
        let beside = made_for.and_then(|made_for| Some(self.source(made_for.plugin)?.beside(made_for.connection)));
        beside.unwrap_or_default().into_iter().filter(|vm| !self.has_failed(*vm)).collect()
    }

    /// Notes a failure of a VM that was there for one stream.
    pub(super) fn note_failure_of_stream(&mut self, made_for: MadeFor, vm: VmId, now: Duration) {
        let MadeFor { plugin, connection } = made_for;
        // Only this one took time that others wanted.
        if !self.table.known(vm).is_some_and(|instance| spent_deadline(instance.vm())) {
            return;
        }
        // The VM may have waited for its callouts, and the plugin been unloaded meanwhile.
        let Some(source) = self.source_mut(plugin) else { return };
        let Began { connection, all } = source.spend(connection, now);
        let whose = match (all, connection) {
            (Some(rest), _) => format!(
                "{SEVERAL} connections have of late, so the other streams of its own, and those of any that begin in {rest:?}"
            ),
            (None, Some(rest)) => {
                format!("the other streams of its connection, and those that begin there in {rest:?}")
            }
            (None, None) => return,
        };
        let message = format!(
            "a stream has spent its deadline: {whose}, are answered by the failure policy; reload_config.backoff sets how long"
        );
        self.tell(plugin, &message);
    }

    /// Frees a VM. What plugins have left there goes with it.
    pub(crate) fn free(&mut self, vm: VmId) {
        self.plugins.remove_left(vm);
        let Some(instance) = self.table.remove(vm) else {
            debug_assert!(false, "{vm:?} is freed twice");
            return;
        };
        self.upkeep.set(vm, None);
        self.note_gone(&instance);
        // The plugin may have been unloaded when the stream was over, and the VM have waited for its callouts.
        if let Some(MadeFor { plugin, connection }) = instance.made_for()
            && let Some(source) = self.source_mut(plugin)
        {
            source.freed(vm, connection, instance.is_retired());
        }
    }

    /// Returns why no VM is made for a stream of a connection, if others spent their deadline.
    fn resting(&self, plugin: PluginId, connection: u64) -> Option<Resting> {
        // Most often nothing rests, and no host has to be made for its clock.
        let source = self.source(plugin).filter(|source| source.has_rests())?;
        source.resting(connection, Duration::from_nanos(self.new_host().monotonic_clock()))
    }

    fn source(&self, plugin: PluginId) -> Option<&PerStream> {
        self.plugins.get(plugin)?.source()
    }

    fn source_mut(&mut self, plugin: PluginId) -> Option<&mut PerStream> {
        self.plugins.get_mut(plugin)?.source_mut()
    }
}

fn spent_deadline(vm: &Vm) -> bool {
    vm.failure_kind() == Some("deadline")
}
