//! The source of the VMs of a plugin that has one for each stream.

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::engine::StartError;
use portcullis_core::resources::Host;
use portcullis_core::sandbox::SandboxKey;

use super::health::LiveVms;
use super::instance::{MadeFor, VmInstance};
use super::places::Places;
use super::rests::{Began, Resting, Rests};
use crate::id::{PluginId, VmId};
use crate::spec::{Backoff, Module, PluginSpec, Snapshot};

/// How many VMs of streams that are over may wait for their callouts, for each plugin. When there are more, callouts are
/// given up.
pub(super) const MOST_LINGERING: usize = 256;

/// The VMs of one plugin that has one for each stream.
pub(super) struct PerStream {
    key: SandboxKey,
    spec: Arc<PluginSpec>,
    snapshot: Arc<Snapshot>,
    /// How many there are.
    live: LiveVms,
    places: Places,
    /// How many of them wait for callouts and have no stream any more.
    lingering: usize,
    rests: Rests,
}

/// Why a stream has no VM.
pub(crate) enum NoVm {
    /// The log has said it.
    Told,
    /// The engine makes no further one now, and why.
    Lacks(String),
}

impl PerStream {
    pub(super) fn new(spec: &PluginSpec, snapshot: &Arc<Snapshot>) -> Self {
        Self {
            key: spec.sandbox(),
            spec: Arc::new(spec.clone()),
            snapshot: Arc::clone(snapshot),
            live: LiveVms::default(),
            places: Places::default(),
            lingering: 0,
            rests: Rests::default(),
        }
    }

    pub(super) fn key(&self) -> SandboxKey {
        self.key
    }

    pub(super) fn spec(&self) -> &PluginSpec {
        &self.spec
    }

    /// Sets how long it rests.
    pub(super) fn set_reload(&mut self, reload: Backoff) {
        if self.spec.reload != reload {
            Arc::make_mut(&mut self.spec).reload = reload;
        }
    }

    pub(super) fn is_of(&self, snapshot: &Arc<Snapshot>) -> bool {
        Arc::ptr_eq(&self.snapshot, snapshot)
    }

    /// Returns the module that VMs of streams are made of now.
    pub(super) fn module_now(&self) -> &Module {
        self.snapshot.module_now()
    }

    /// Makes the VM of a stream.
    pub(super) fn make(
        &mut self,
        vm: VmId,
        plugin: PluginId,
        connection: u64,
        host: Box<dyn Host>,
    ) -> Result<VmInstance, StartError> {
        let made = self.snapshot.resume(host)?;
        self.live.begin();
        self.places.begin(vm, connection);
        Ok(VmInstance::for_stream(self.key, Arc::clone(&self.spec), made, MadeFor { plugin, connection }))
    }

    /// Notes that the stream of a VM is over.
    pub(super) fn over(&mut self, vm: VmId, connection: u64) {
        self.places.over(vm, connection);
    }

    /// Notes that a VM begins to wait for callouts alone; says whether it may.
    pub(super) fn linger(&mut self) -> bool {
        let may = self.lingering < MOST_LINGERING;
        self.lingering += usize::from(may);
        may
    }

    /// Notes that a VM has gone.
    pub(super) fn freed(&mut self, vm: VmId, connection: u64, lingered: bool) {
        self.live.end();
        self.places.freed(vm, connection);
        debug_assert!(!lingered || self.lingering > 0, "a VM is counted when it begins to wait");
        self.lingering = self.lingering.saturating_sub(usize::from(lingered));
    }

    /// Notes that a stream of a connection has spent its deadline; returns the rests that begin.
    pub(super) fn spend(&mut self, connection: u64, now: Duration) -> Began {
        self.rests.spend(connection, now, self.spec.reload)
    }

    /// Returns true if streams have spent deadlines of late.
    pub(super) fn has_rests(&self) -> bool {
        !self.rests.is_empty()
    }

    /// Returns why no VM is made for a stream of a connection, if others spent their deadline.
    pub(super) fn resting(&self, connection: u64, now: Duration) -> Option<Resting> {
        self.rests.resting(connection, now)
    }

    pub(super) fn live(&self) -> &LiveVms {
        &self.live
    }

    pub(super) fn lingering(&self) -> usize {
        self.lingering
    }

    /// Returns how many VMs there may be.
    pub(super) fn most(&self) -> usize {
        self.snapshot.most()
    }

    /// Says whether all places are taken.
    pub(super) fn is_full(&self) -> bool {
        self.live.count() >= self.most()
    }

    /// Returns the VM that a stream of a connection gets the place of.
    pub(super) fn to_spare(&self, connection: u64) -> Option<VmId> {
        self.places.to_spare(connection)
    }

    /// Returns the VMs of a connection's streams.
    pub(super) fn beside(&self, connection: u64) -> Vec<VmId> {
        self.places.of(connection).collect()
    }
}
