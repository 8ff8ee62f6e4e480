//! VMs that last for one stream: how the state after configure is kept.
//!
//! A plugin's code runs once, in a VM like any other. Then the host's side of that VM is kept as a [`VmSnapshot`], and its
//! guest's side (memory and globals) in a module that begins with them; who makes that module is the embedder. From both,
//! [`Vm::resume`] makes a VM for each stream, in which nothing of the plugin runs before the stream does.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use crate::abi::{LogLevel, Status};
use crate::engine::any::AnyModule;
use crate::engine::error::StartError;
use crate::model::context::{Context, ContextId, Declared, RootContext};
use crate::model::drawn::Drawn;
use crate::model::plugin::Plugin;
use crate::resources::files::FileTable;
use crate::resources::host::Host;
use crate::resources::metric::MetricTable;
use crate::resources::shared::{Queue, SharedStore};
use crate::rights::DenialLog;
use crate::sandbox::Budgets;
use crate::vm::Vm;
use crate::vm::quotas::{NeedsLongLivedVm, SharedQuotas};
use crate::vm::state::{VmConfig, VmState};

/// The host's side of a VM in which one plugin has been configured: its root, the ids of its metrics and queues, the
/// properties that it has declared.
#[derive(Clone)]
pub struct VmSnapshot {
    config: Arc<VmConfig>,
    plugin: Arc<Plugin>,
    root: ContextId,
    last_context: u32,
    declared: Arc<HashMap<Vec<u8>, Declared>>,
    metrics: Arc<MetricTable>,
    queues: HashMap<u32, Weak<Queue>>,
    /// Held, so that what streams share outlives each of them.
    store: Arc<SharedStore>,
    budgets: Arc<Budgets>,
    denials: Arc<DenialLog>,
    shared_quotas: Arc<SharedQuotas>,
    drawn: Drawn,
}

/// Taking and using snapshots.
impl Vm {
    /// Takes the host's side of this VM, to make others like it. Its plugin has been configured and has done nothing since.
    ///
    /// # Errors
    /// The plugin has asked for what needs a VM that lasts.
    pub fn snapshot(&mut self, root: ContextId) -> Result<VmSnapshot, NeedsLongLivedVm> {
        let state = self.state();
        let context =
            state.contexts.root(root).filter(|_| state.contexts.len() == 1).ok_or(NeedsLongLivedVm::Company)?;
        for (asked, lasting) in [
            (context.tick.is_some(), NeedsLongLivedVm::Ticks),
            (state.inbox.has_registered(), NeedsLongLivedVm::Queue),
            (!state.calls.is_empty(), NeedsLongLivedVm::HttpCall),
            (!state.grpc.is_empty(), NeedsLongLivedVm::Grpc),
            (!state.lookups.is_empty(), NeedsLongLivedVm::Lookup),
            (state.files.is_changed(), NeedsLongLivedVm::File),
        ] {
            if asked {
                return Err(lasting);
            }
        }
        let quotas = SharedQuotas::default();
        for (metric_type, name) in state.metrics.names() {
            quotas.defines(metric_type, name, usize::MAX);
        }
        Ok(VmSnapshot {
            config: Arc::clone(&state.config),
            plugin: Arc::clone(&context.plugin),
            root,
            last_context: state.contexts.last(),
            declared: Arc::clone(&context.declared),
            metrics: Arc::clone(&state.metrics),
            queues: state.resolved_queues.clone(),
            store: Arc::clone(&state.store),
            budgets: Arc::clone(&state.budgets),
            denials: Arc::default(),
            shared_quotas: Arc::new(quotas),
            drawn: state.drawn,
        })
    }

    /// Makes a VM in the state of a snapshot, from a module whose guests begin in the state that the snapshot's guest had.
    /// No code of the plugin runs; its root is [`VmSnapshot::root`]. The VM has no ticks and is not told of queues' items.
    ///
    /// # Errors
    /// A directory could not be opened, or the engine could not make the VM.
    pub fn resume(module: &dyn AnyModule, snapshot: &VmSnapshot, mut host: Box<dyn Host>) -> Result<Self, StartError> {
        let limits = &snapshot.config.vm.limits;
        let files = FileTable::open(&snapshot.config.vm.preopens, limits.open_files, &mut *host)?;
        let guest = module.instantiate(VmState::resumed(snapshot, host), limits)?;
        let mut vm = Self::of(guest);
        vm.state().files = files;
        vm.charge_memory_to(&snapshot.plugin);
        Ok(vm)
    }
}

impl VmSnapshot {
    /// Returns the root of the plugin, in every VM that is made from it.
    pub fn root(&self) -> ContextId {
        self.root
    }

    /// Counts the random bytes and clock readings that the plugin took until then, which are the same in every VM that is made from it.
    pub fn drawn(&self) -> Drawn {
        self.drawn
    }

    /// Returns the configuration of its VMs.
    pub fn config(&self) -> &VmConfig {
        &self.config
    }
}

impl fmt::Debug for VmSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VmSnapshot")
            .field("plugin", &self.plugin.name)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl VmState {
    fn resumed(snapshot: &VmSnapshot, host: Box<dyn Host>) -> Self {
        let (store, budgets) = (Arc::clone(&snapshot.store), Arc::clone(&snapshot.budgets));
        let mut state = Self::within(Arc::clone(&snapshot.config), store, budgets, host);
        let root =
            RootContext { declared: Arc::clone(&snapshot.declared), ..RootContext::new(Arc::clone(&snapshot.plugin)) };
        state.contexts.restore(snapshot.root, Context::Root(Box::new(root)), snapshot.last_context);
        state.metrics = Arc::clone(&snapshot.metrics);
        state.resolved_queues.clone_from(&snapshot.queues);
        state.denials = Arc::clone(&snapshot.denials);
        state.calls.in_flight = Arc::clone(&snapshot.shared_quotas.calls);
        state.grpc.in_flight = Arc::clone(&snapshot.shared_quotas.grpc);
        state.lookups.in_flight = Arc::clone(&snapshot.shared_quotas.lookups);
        state.shared_quotas = Some(Arc::clone(&snapshot.shared_quotas));
        state
    }

    /// Returns whether the VM can do what only one can that lasts. If not, the operator is told, once.
    pub(crate) fn must_last(&mut self, asked: NeedsLongLivedVm) -> Result<(), Status> {
        if self.shared_quotas.is_none() {
            return Ok(());
        }
        if self.denials.is_first(asked) {
            self.note(LogLevel::Error, &format!("{asked}, but its VM lasts for one stream; give it isolation: worker"));
        }
        Err(Status::Unimplemented)
    }
}
