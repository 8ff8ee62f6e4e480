//! VMs that are there for one stream each.
//!
//! | | |
//! |---|---|
//! | places | a plugin has [`Snapshot::MOST`] in a worker, or fewer ([`Snapshot::with_at_most`]). When all are taken, or the engine makes no more, a stream gets the place of another one: of one that is over and waits for callouts, or of the connection that has most of them, if that has at least two more than the stream's own |
//! | a VM spends its deadline | the VMs of its client's connection end, and no other one is made for it while it rests; after several connections, for any ([`rests`](super::rests)) |
//! | any other failure | is the affair of its stream |
//!
//! A stream that loses its VM, or gets none, is answered by the plugin's failure policy.

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{ContextId, SandboxKey, StartError};

use super::places::Places;
use super::rests::{Began, Resting, Rests, SEVERAL};
use super::{LiveVms, Loaded, Sandbox, Sandboxes};
use crate::background::Account;
use crate::id::{PluginId, VmId};
use crate::spec::{PluginSpec, Snapshot};
use crate::worker::Worker;

/// How many VMs of streams that are over may wait for their callouts, for each plugin. When there are more, callouts are
/// given up.
const LINGERING: usize = 256;

/// Where the VMs of a plugin come from that has one for each stream.
pub(super) struct ByStream {
    key: SandboxKey,
    spec: Arc<PluginSpec>,
    snapshot: Arc<Snapshot>,
    /// How many VMs there are.
    pub(super) live: LiveVms,
    /// Whose they are.
    places: Places,
    /// How many of them wait for callouts and have no stream any more.
    lingering: usize,
    /// Who gets none, because streams have spent their deadline.
    rests: Rests,
}

/// Why a stream has no VM.
pub(crate) enum NoVm {
    /// The log has said it.
    Told,
    /// The engine makes no further one now, and why.
    Lacks(String),
}

impl ByStream {
    /// Notes that a VM has gone.
    pub(super) fn freed(&mut self, vm: VmId, sandbox: &Sandbox) {
        self.live.end();
        self.places.freed(vm, sandbox.connection);
        self.lingering -= usize::from(sandbox.lingers);
    }
}

impl Sandboxes {
    pub(super) fn load_by_stream(&mut self, spec: &PluginSpec, snapshot: &Arc<Snapshot>) -> PluginId {
        let same = |loaded: &Loaded| loaded.by_stream.as_ref().is_some_and(|by| Arc::ptr_eq(&by.snapshot, snapshot));
        if let Some(index) = self.plugins.iter().position(same) {
            return PluginId::at(index);
        }
        self.note_change();
        self.plugins.push(Loaded {
            plugin: Arc::new(spec.plugin.clone()),
            vm: None,
            root: snapshot.root(),
            next_tick: None,
            ended: true,
            retired: false,
            asked: false,
            serves: false,
            by_stream: Some(ByStream {
                key: spec.sandbox(),
                spec: Arc::new(spec.clone()),
                snapshot: Arc::clone(snapshot),
                live: LiveVms::default(),
                places: Places::default(),
                lingering: 0,
                rests: Rests::default(),
            }),
            told: None,
            account: Account::default(),
        });
        PluginId::at(self.plugins.len() - 1)
    }

    /// As [`Worker::root_for`], which makes room, too.
    fn root_for(&mut self, plugin: PluginId, vm: Option<VmId>, connection: u64) -> Result<(VmId, ContextId), NoVm> {
        let Some(loaded) = self.plugins.get_mut(plugin.index()) else {
            self.tell_of_stray();
            return Err(NoVm::Told);
        };
        if loaded.by_stream.is_none() {
            if loaded.ended {
                self.tell(plugin, "it has ended: streams that still come to it are answered by its failure policy");
                return Err(NoVm::Told);
            }
            // A newer VM may have taken the place of the one that was there when the stream began.
            return loaded.vm.map(|vm| (vm, loaded.root)).ok_or(NoVm::Told);
        }
        let root = loaded.root;
        if let Some(vm) = vm {
            return Ok((vm, root));
        }
        if let Some(resting) = self.rests_by_stream(plugin, connection) {
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
        let by = self.plugins.get_mut(plugin.index()).and_then(|loaded| loaded.by_stream.as_mut());
        let Some(by) = by else { return Err(NoVm::Told) };
        let most = by.snapshot.most();
        if by.live.count() >= most {
            self.tell_no_vm(plugin, &format!("there are {most} of them, as many as there may be in a worker"));
            return Err(NoVm::Told);
        }
        match by.snapshot.resume((self.host)()) {
            Ok(made) => {
                by.live.begin();
                let (vm, sandbox) = (self.vms.number(), Sandbox::new(by.key, Arc::clone(&by.spec), made));
                by.places.begin(vm, connection);
                self.vms.insert(vm, Sandbox { replaced: true, of: Some(plugin), connection, ..sandbox });
                Ok((vm, root))
            }
            // One has been made before, so it is a place that lacks, or memory.
            Err(StartError::Engine(error)) => Err(NoVm::Lacks(error.to_string())),
            Err(error) => {
                self.tell_no_vm(plugin, &error.to_string());
                Err(NoVm::Told)
            }
        }
    }

    /// Notes that a stream of a VM has gone; the VM may have been there for that one alone.
    pub(super) fn note_over(&mut self, vm: VmId) {
        let Some(sandbox) = self.vms.get(vm).filter(|sandbox| !sandbox.has_streams()) else { return };
        let plugin = sandbox.of.and_then(|plugin| self.plugins.get_mut(plugin.index()));
        if let Some(by) = plugin.and_then(|loaded| loaded.by_stream.as_mut()) {
            by.places.over(vm, sandbox.connection);
        }
    }

    fn by_stream(&self, plugin: PluginId) -> Option<&ByStream> {
        self.plugins.get(plugin.index())?.by_stream.as_ref()
    }

    fn tell_no_vm(&mut self, plugin: PluginId, why: &str) {
        self.tell(plugin, &format!("no VM can be made for a stream: {why}"));
    }

    /// Whether a VM whose streams are over may wait for its callouts. Of those that are of one stream not all can.
    pub(crate) fn may_wait(&mut self, vm: VmId) -> bool {
        let Some(sandbox) = self.vms.get_mut(vm) else { return false };
        let Some(plugin) = sandbox.of else { return true };
        let by = self.plugins.get_mut(plugin.index()).and_then(|loaded| loaded.by_stream.as_mut());
        let Some(by) = by.filter(|by| sandbox.lingers || by.lingering < LINGERING) else {
            let what = format!(
                "more than {LINGERING} streams are over whose callouts are not; those of further ones are given up"
            );
            self.tell(plugin, &what);
            return false;
        };
        if !std::mem::replace(&mut sandbox.lingers, true) {
            by.lingering += 1;
        }
        true
    }

    /// How many VMs are there for callouts alone.
    pub(crate) fn lingering(&self) -> usize {
        self.plugins.iter().filter_map(|loaded| loaded.by_stream.as_ref()).map(|by| by.lingering).sum()
    }

    /// Notes a failure of a VM that was there for one stream.
    pub(super) fn note_failure_of_stream(&mut self, plugin: PluginId, vm: VmId, now: Duration) {
        let Some(failed) = self.vms.get(vm) else { return };
        let (kind, connection) = (failed.vm.failure_kind(), failed.connection);
        let by = self.plugins.get_mut(plugin.index()).and_then(|loaded| loaded.by_stream.as_mut());
        // Only this one took time that others wanted.
        let Some(by) = by.filter(|_| kind == Some("deadline")) else { return };
        let Began { connection, all } = by.rests.spend(connection, now, by.spec.reload);
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

    /// Whether a VM that was there for one stream has spent its deadline.
    pub(crate) fn spent_deadline_of_stream(&self, vm: VmId) -> bool {
        let sandbox = self.vms.get(vm).filter(|sandbox| sandbox.of.is_some());
        sandbox.is_some_and(|sandbox| sandbox.vm.failure_kind() == Some("deadline"))
    }

    /// Whether no VM is made for a stream of a plugin and connection, because others spent their deadline.
    fn rests_by_stream(&mut self, plugin: PluginId, connection: u64) -> Option<Resting> {
        let by = self.plugins.get(plugin.index())?.by_stream.as_ref()?;
        by.rests.resting(connection, Duration::from_nanos((self.host)().monotonic_clock()))
    }

    /// Whether all places of a plugin are taken.
    fn is_full(&self, plugin: PluginId) -> bool {
        self.by_stream(plugin).is_some_and(|by| by.live.count() >= by.snapshot.most())
    }
}

impl Worker {
    /// Where the root of a plugin is for a stream of this connection whose VM is `vm`: made now, if each stream has one and this one
    /// has none yet.
    pub(crate) fn root_for(
        &mut self,
        plugin: PluginId,
        vm: Option<VmId>,
        connection: u64,
    ) -> Option<(VmId, ContextId)> {
        if vm.is_none()
            && self.sandboxes.is_full(plugin)
            && self.sandboxes.rests_by_stream(plugin, connection).is_none()
        {
            self.make_place(plugin, connection);
        }
        let mut found = self.sandboxes.root_for(plugin, vm, connection);
        // Other workers and plugins may have what the engine has.
        if matches!(found, Err(NoVm::Lacks(_))) && self.make_place(plugin, connection) {
            found = self.sandboxes.root_for(plugin, vm, connection);
        }
        match found {
            Ok(root) => Some(root),
            Err(NoVm::Told) => None,
            Err(NoVm::Lacks(why)) => {
                self.sandboxes.tell_no_vm(plugin, &why);
                None
            }
        }
    }

    /// Makes a place for a VM of a stream of this connection, if others have more than a fair part of the plugin's; says whether it has.
    fn make_place(&mut self, plugin: PluginId, connection: u64) -> bool {
        let by = self.sandboxes.by_stream(plugin);
        let Some(vm) = by.and_then(|by| by.places.to_spare(connection)) else { return false };
        let what = "all places are taken, so connections that have most of them lose streams to others, which are answered by the \
                    failure policy";
        self.sandboxes.tell(plugin, what);
        self.end_vm_of_stream(vm);
        true
    }

    /// Ends the VMs of other streams of a client's connection.
    pub(crate) fn end_vms_beside(&mut self, vm: VmId) {
        let Some(failed) = self.sandboxes.vms.get(vm) else { return };
        let by = failed.of.and_then(|plugin| self.sandboxes.by_stream(plugin));
        let Some(by) = by else { return };
        let works = |vm: &VmId| self.sandboxes.vms.get(*vm).is_some_and(|sandbox| sandbox.vm.failure().is_none());
        let beside: Vec<_> = by.places.of(failed.connection).filter(works).collect();
        beside.into_iter().for_each(|vm| self.end_vm_of_stream(vm));
    }

    /// Takes the VM of a stream away, without a word to the plugin. What the stream is answered is the failure policy's affair.
    fn end_vm_of_stream(&mut self, vm: VmId) {
        self.actions.retain(|(of, _)| *of != vm);
        self.give_up(vm);
        let Some(sandbox) = self.sandboxes.vms.get(vm) else { return };
        let streams: Vec<_> = sandbox.contexts.values().copied().collect();
        let connections: Vec<_> = sandbox.connections.values().copied().collect();
        // What the plugin holds is taken back before its VM goes.
        streams.into_iter().for_each(|(stream, index)| self.release(stream, index));
        connections.into_iter().for_each(|(id, index)| self.tcp_failed(id, index));
        self.sandboxes.free(vm);
    }
}
