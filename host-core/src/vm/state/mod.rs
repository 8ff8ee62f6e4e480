//! The state of one VM: what hostcalls read and write. It knows no engine.

mod config;
mod frame;
mod log;
mod view;

pub use config::VmConfig;
pub(crate) use log::UsedUp;
pub(crate) use view::Buffer;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use frame::Frame;

use crate::model::action::Action;
use crate::model::context::{ContextId, Contexts};
use crate::model::drawn::Drawn;
use crate::model::limits::Budget;
use crate::model::plugin::Plugin;
use crate::observe::observer::{Observer, Seen};
use crate::resources::callouts::Callouts;
use crate::resources::dns::Lookups;
use crate::resources::files::FileTable;
use crate::resources::grpc::GrpcCalls;
use crate::resources::host::Host;
use crate::resources::in_flight::OnAccountOf;
use crate::resources::metric::MetricTable;
use crate::resources::shared::{Item, OwnInbox, Queue, SharedStore};
use crate::rights::DenialLog;
use crate::sandbox::Budgets;
use crate::sandbox::byte_budget::HeldBytes;
use crate::vm::output::Output;
use crate::vm::quotas::SharedQuotas;
use crate::vm::usage::CpuBudget;

/// The state of one VM.
#[derive(Debug)]
pub struct VmState {
    pub(crate) host: Box<dyn Host>,
    pub(crate) config: Arc<VmConfig>,
    pub(crate) contexts: Contexts,
    pub(crate) actions: VecDeque<Action>,
    pub(crate) metrics: Arc<MetricTable>,
    pub(crate) calls: Callouts,
    pub(crate) grpc: GrpcCalls,
    pub(crate) lookups: Lookups,
    /// Its directories and open files; none until its start section has run.
    pub(crate) files: FileTable,
    budget: Budget,
    /// The budgets of its sandbox.
    pub(crate) budgets: Arc<Budgets>,
    /// The data and queues of its id.
    pub(crate) store: Arc<SharedStore>,
    /// Where queues tell it of their items.
    pub(crate) inbox: OwnInbox,
    /// Queues of other ids that it has asked for by name; it may use no others.
    pub(crate) resolved_queues: HashMap<u32, Weak<Queue>>,
    /// An item on its way to the guest, and the queue that it came from.
    pub(crate) item: Option<(Arc<Queue>, Item)>,
    /// Output of the guest that has not ended with a newline.
    output: Output,
    /// The arguments of `proxy_on_foreign_function`, while it runs.
    pub(crate) call_data: Option<Bytes>,
    /// Bytes on their way to the guest; reused.
    pub(crate) reply: Vec<u8>,
    /// The keys that the operator has been told of.
    pub(crate) noted: Vec<&'static str>,
    pub(crate) denials: Arc<DenialLog>,
    /// The quotas that it shares with others, if it lasts for one stream, and its guest was made in the state after configure.
    pub(crate) shared_quotas: Option<Arc<SharedQuotas>>,
    /// The share of a CPU that its callbacks may use.
    cpu_budget: CpuBudget,
    frame: Frame,
    /// The random bytes and clock readings that it took.
    pub(crate) drawn: Drawn,
    /// The plugin that ran last, to be counted no more when it runs next.
    pub(crate) last_plugin: Option<Arc<Plugin>>,
    /// On whose account the next callback of a root runs.
    acts_for: OnAccountOf,
    /// The observer of each of its calls.
    observer: Option<Box<dyn Observer>>,
}

impl VmState {
    /// Makes the state of a VM that has not started.
    pub fn new(config: VmConfig, host: Box<dyn Host>) -> Self {
        let VmConfig { shared, vm_id, isolated, sandbox, vm, .. } = &config;
        let (store, budgets) = shared.enter(vm_id, *isolated, *sandbox, &vm.limits);
        Self::within(Arc::new(config), store, budgets, host)
    }

    /// Makes the same in a store that is known, and with budgets that are.
    pub(crate) fn within(
        config: Arc<VmConfig>,
        store: Arc<SharedStore>,
        budgets: Arc<Budgets>,
        host: Box<dyn Host>,
    ) -> Self {
        let frame = Frame::before_start(&config, ContextId::VM, None);
        let metrics = Arc::new(MetricTable::new(config.vm.limits.metrics));
        let budget = Budget::new(&config.vm.limits);
        let inbox = OwnInbox::new(&store, config.wake.clone());
        Self {
            host,
            config,
            contexts: Contexts::default(),
            actions: VecDeque::new(),
            metrics,
            calls: Callouts::default(),
            grpc: GrpcCalls::default(),
            lookups: Lookups::default(),
            files: FileTable::default(),
            budget,
            budgets,
            store,
            inbox,
            resolved_queues: HashMap::new(),
            item: None,
            output: Output::default(),
            call_data: None,
            reply: Vec::new(),
            noted: Vec::new(),
            denials: Arc::default(),
            shared_quotas: None,
            frame,
            drawn: Drawn::default(),
            last_plugin: None,
            acts_for: OnAccountOf::default(),
            cpu_budget: CpuBudget::default(),
            observer: None,
        }
    }

    /// Returns the room that is left for memory and tables; for engines.
    #[inline]
    pub fn budget(&mut self) -> &mut Budget {
        &mut self.budget
    }

    /// Has each call looked at by an observer, from before its guest is made.
    pub(crate) fn set_observer(&mut self, observer: Box<dyn Observer>) {
        self.observer = Some(observer);
        self.frame.look_at_all();
    }

    /// Drops the observer. Callbacks that begin from now on cost what they did without.
    pub(crate) fn drop_observer(&mut self) {
        self.observer = None;
    }

    /// Hands `look` the observer, if there is one.
    pub(crate) fn observe<R>(&mut self, look: impl FnOnce(&mut dyn Observer, Seen<'_>) -> R) -> Option<R> {
        let seen = Seen { host: &*self.host, plugin: self.frame.plugin.as_deref() };
        Some(look(&mut **self.observer.as_mut()?, seen))
    }

    /// Returns what observers see of it.
    pub(crate) fn seen(&self) -> Seen<'_> {
        Seen { host: &*self.host, plugin: self.frame.plugin.as_deref() }
    }

    /// Returns the embedder's side.
    pub fn host(&self) -> &dyn Host {
        &*self.host
    }

    /// Room for bytes that the embedder holds for the plugins of the VM; none of it is taken yet.
    pub fn held_bytes(&self) -> HeldBytes {
        HeldBytes::none(&self.budgets.buffers)
    }

    /// Counts the hostcalls that were denied.
    pub fn denials(&self) -> u64 {
        self.denials.total()
    }

    /// Tells a root of items in queues no more, and others of those that it has not been told of yet.
    pub(crate) fn forget_queues(&self, root: ContextId) {
        self.store.forget(&self.inbox, Some(root));
    }

    pub(crate) fn environment(&self) -> &[(String, String)] {
        &self.config.vm.environment
    }
}
