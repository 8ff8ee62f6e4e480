//! One VM: the only way into a guest.

mod background;
mod checked;
mod dns;
mod grpc;
mod http;
pub(crate) mod output;
pub(crate) mod quotas;
mod root;
pub(crate) mod snapshot;
pub(crate) mod state;
mod tcp;
pub(crate) mod usage;

pub use quotas::NeedsLongLivedVm;
pub use snapshot::VmSnapshot;
pub use state::{VmConfig, VmState};
pub use usage::{CoarseClock, Usage, Used};

pub use background::{Pending, Recipient};
pub use http::Part;

use std::sync::Arc;

use crate::abi::LogLevel;
use crate::abi::callback::CallbackId;
use crate::engine::Guest;
use crate::engine::any::AnyModule;
use crate::engine::error::StartError;
use crate::engine::trap::{Trap, WasmTrap};
use crate::model::action::Action;
use crate::model::context::{CallResponse, Context, ContextId, Direction, Ending, RootContext};
use crate::model::limits::Limits;
use crate::model::plugin::Plugin;
use crate::resources::files::FileTable;
use crate::resources::host::{self, Host};
use crate::vm::usage::MemoryCharge;

/// One running VM with the plugins that share it. It stays on the thread that made it.
///
/// Every callback goes: enter the context, check the capability, call, leave. What the guest asked
/// for meanwhile waits in [`Vm::next_action`]; nothing is delivered to a guest while it runs. When
/// a guest traps, its VM has failed: nothing is called in it any more, and every method that would
/// says [`VmFailed`].
pub struct Vm {
    guest: Box<dyn Guest>,
    failure: Option<Failure>,
    /// Calls have the time of a start.
    starting: bool,
    /// Its memory, as it counts for its first plugin.
    memory: Option<MemoryCharge>,
    /// The embedder has been told that the memory is past [`Recycle::memory`](crate::sandbox::Recycle::memory).
    told_of_memory: bool,
}

/// Why a VM has failed, and where.
#[derive(Debug)]
struct Failure {
    during: CallbackId,
    plugin: Option<Arc<Plugin>>,
    kind: &'static str,
    reason: String,
}

/// Where a VM has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedIn<'v> {
    /// The callback, by the name of its export.
    pub callback: &'static str,
    /// The name of the plugin that ran, if one did.
    pub plugin: Option<&'v str>,
}

/// The VM has failed ([`Vm::failure`] says why), or a callback whose answer decides over a stream could not be called
/// because the stream's context or its root does not exist. Not to be taken for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plugin's VM has failed, or has no such context")]
pub struct VmFailed;

/// How an HTTP callout ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CallOutcome {
    /// The callout was answered, maybe by the proxy (504, 503).
    Response(CallResponse),
    /// The connection broke; the guest sees no headers, and this by `proxy_get_status`.
    Reset(String),
}

/// Starting and stopping.
impl Vm {
    /// Makes a VM and runs its start functions: `_initialize`, then `main` or `__main_void`; or,
    /// without `_initialize`, `_start`.
    ///
    /// # Errors
    /// A directory could not be opened, the engine could not make the VM, or a start function trapped.
    pub fn start(module: &dyn AnyModule, config: VmConfig, mut host: Box<dyn Host>) -> Result<Self, StartError> {
        let limits = config.vm.limits.clone();
        let files = FileTable::open(&config.vm.preopens, limits.open_files, &mut *host)?;
        let guest = module.instantiate(VmState::new(config, host), &limits)?;
        let mut vm = Self::of(guest);
        // Not before: a start section may run twice (wasmi), and changes in a directory last.
        vm.state().files = files;
        vm.set_starting(&limits, true);
        if vm.call_start(CallbackId::initialize, |guest| checked::initialize(guest))?.is_some() {
            if vm.call_start(CallbackId::main, |guest| checked::main(guest, 0, 0))?.is_none() {
                vm.call_start(CallbackId::main_void, |guest| checked::main_void(guest))?;
            }
        } else {
            vm.call_start(CallbackId::start, |guest| checked::start(guest))?;
        }
        vm.set_starting(&limits, false);
        Ok(vm)
    }

    /// Makes the VM of a guest that is not to be started.
    pub(crate) fn of(guest: Box<dyn Guest>) -> Self {
        Self { guest, failure: None, starting: false, memory: None, told_of_memory: false }
    }

    /// Starts a plugin: creates its root, then `proxy_on_vm_start` and `proxy_on_configure`.
    ///
    /// # Errors
    /// The plugin trapped or refused; the VM is of no use to it then.
    pub fn add_plugin(&mut self, plugin: Arc<Plugin>) -> Result<ContextId, StartError> {
        let name = plugin.name.clone();
        let lengths = (self.state().config.vm.configuration.len(), plugin.configuration.len());
        let root = self.state().contexts.insert(Context::Root(Box::new(RootContext::new(Arc::clone(&plugin)))));
        let limits = self.state().config.vm.limits.clone();
        self.set_starting(&limits, true);
        let started = self.start_root(root, &name, lengths);
        self.set_starting(&limits, false);
        if started.is_err() {
            let state = self.state();
            state.contexts.remove(root);
            state.forget_queues(root);
        } else {
            self.charge_memory_to(&plugin);
        }
        started.map(|()| root)
    }

    /// Asks a root to end (`proxy_on_done`); says whether it may be deleted now. If not, it goes on
    /// until [`Action::RootDone`]. One that may be deleted is told of items in queues no more: others are, if there are any that have
    /// registered them.
    ///
    /// # Errors
    /// The VM has failed.
    pub fn end_root(&mut self, root: ContextId) -> Result<bool, VmFailed> {
        let done = self.call(root, CallbackId::on_done, |guest| checked::on_done(guest, root.as_arg()))? != Some(0);
        if let Some(context) = self.state().contexts.root_mut(root) {
            context.ending = if done { Ending::Done } else { Ending::Pending };
        }
        // Streams may keep a root that is done for as long as they please.
        if done {
            self.state().forget_queues(root);
        }
        Ok(done)
    }

    /// Deletes a root or a stream (`proxy_on_delete`). A root's callouts and lookups are given up.
    ///
    /// # Errors
    /// The VM has failed. The context is gone in any case.
    pub fn delete(&mut self, context: ContextId) -> Result<(), VmFailed> {
        let result = self.call(context, CallbackId::on_delete, |guest| checked::on_delete(guest, context.as_arg()));
        let state = self.state();
        if let Some(Context::Root(_)) = state.contexts.remove(context) {
            state.last_plugin = None;
            state.forget_queues(context);
            let (calls, lookups) = (state.calls.close_all(context), state.lookups.close_all(context));
            let grpc = state.grpc.cancel_all(context);
            state.actions.extend(calls.into_iter().map(|call| Action::HttpCancel { call }));
            state.actions.extend(grpc.into_iter().map(|id| Action::GrpcCancel { id }));
            state.actions.extend(lookups.into_iter().map(|id| Action::LookupCancel { id }));
        }
        result.map(drop)
    }

    /// Returns why the VM has failed, if it has.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_ref().map(|failure| failure.reason.as_str())
    }

    /// Returns why the VM has failed, in one word, as [`host::Failure::reason`] has it.
    pub fn failure_kind(&self) -> Option<&'static str> {
        self.failure.as_ref().map(|failure| failure.kind)
    }

    /// Returns the callback in which the VM has failed, and the plugin that ran, if one did.
    pub fn failed_in(&self) -> Option<FailedIn<'_>> {
        let failure = self.failure.as_ref()?;
        let plugin = failure.plugin.as_ref().map(|plugin| plugin.name.as_str());
        Some(FailedIn { callback: failure.during.decl().export, plugin })
    }

    /// Returns the next thing that a guest of this VM asked for.
    pub fn next_action(&mut self) -> Option<Action> {
        let state = self.state();
        let action = state.actions.pop_front()?;
        match &action {
            Action::SetTick { root } => {
                if let Some(root) = state.contexts.root_mut(*root) {
                    root.tick_changed = false;
                }
            }
            Action::Continue { context, stream } => {
                let direction = Direction::of(*stream);
                if let Some(stream) = state.contexts.stream_mut(*context) {
                    stream.half(direction).continue_queued = false;
                }
            }
            Action::LocalResponse { context, .. } => {
                if let Some(stream) = state.contexts.stream_mut(*context) {
                    stream.local_response = false;
                }
            }
            Action::GrpcCancel { id } => drop(state.grpc.close(*id)),
            Action::ClearRouteCache { context } => {
                if let Some(stream) = state.contexts.stream_mut(*context) {
                    stream.route_cleared = false;
                }
            }
            _ => {}
        }
        Some(action)
    }

    /// Returns the state of the VM.
    pub fn state(&mut self) -> &mut VmState {
        self.guest.state()
    }

    /// Bytes of linear memory that the guest has now.
    pub fn memory_size(&mut self) -> usize {
        self.guest.memory().len()
    }

    /// Returns the guest's linear memory.
    pub fn memory(&mut self) -> &[u8] {
        self.guest.memory()
    }

    /// Returns the bits of a global that the guest exports; see [`Guest::global`].
    pub fn global(&mut self, export: &str) -> Option<u128> {
        self.guest.global(export)
    }

    /// Counts the contexts that are live, roots included.
    pub fn context_count(&mut self) -> usize {
        self.state().contexts.len()
    }
}

impl Vm {
    /// Calls the guest. `None` if the callback or the context does not exist.
    fn call<R>(
        &mut self,
        context: ContextId,
        callback: CallbackId,
        call: impl FnOnce(&mut dyn Guest) -> Result<Option<R>, Trap>,
    ) -> Result<Option<R>, VmFailed> {
        self.enter_and_call(context, callback, call).map(Option::flatten)
    }

    /// Calls a callback whose answer decides over a stream. `None` if the callback does not exist, and only then.
    fn ask<R>(
        &mut self,
        context: ContextId,
        callback: CallbackId,
        call: impl FnOnce(&mut dyn Guest) -> Result<Option<R>, Trap>,
    ) -> Result<Option<R>, VmFailed> {
        if self.state().refuses(context) {
            return Err(VmFailed);
        }
        self.enter_and_call(context, callback, call)?.ok_or(VmFailed)
    }

    /// Calls the guest. `None` outside if the context does not exist, inside if the callback does not.
    fn enter_and_call<R>(
        &mut self,
        context: ContextId,
        callback: CallbackId,
        call: impl FnOnce(&mut dyn Guest) -> Result<Option<R>, Trap>,
    ) -> Result<Option<Option<R>>, VmFailed> {
        if self.failure.is_some() {
            return Err(VmFailed);
        }
        let Some(saved) = self.guest.state().enter(context, callback) else { return Ok(None) };
        let result = call(&mut *self.guest);
        if let Err(trap) = &result {
            self.fail(callback, trap);
        }
        if self.guest.state().leave(saved) {
            self.note_memory();
        }
        result.map(Some).map_err(|_| VmFailed)
    }

    /// Counts the memory for a plugin, unless it counts for another one.
    pub(crate) fn charge_memory_to(&mut self, plugin: &Plugin) {
        self.memory.get_or_insert_with(|| MemoryCharge::new(plugin.usage.clone()));
        self.note_memory();
    }

    #[cold]
    fn note_memory(&mut self) {
        let bytes = self.guest.memory().len();
        if let Some(memory) = &mut self.memory {
            memory.set(bytes);
        }
        let state = self.guest.state();
        if !self.told_of_memory && state.config.vm.recycle.memory.is_some_and(|bound| bytes > bound) {
            self.told_of_memory = true;
            state.actions.push_back(Action::MemoryPassed { bytes });
        }
    }

    fn start_root(&mut self, root: ContextId, plugin: &str, lengths: (usize, usize)) -> Result<(), StartError> {
        let as_arg = |len: usize| i32::try_from(len).unwrap_or(i32::MAX);
        let id = root.as_arg();
        self.call_root(root, CallbackId::on_context_create, |guest| checked::on_context_create(guest, id, 0))?;
        let start = |guest: &mut dyn Guest| checked::on_vm_start(guest, id, as_arg(lengths.0));
        if self.call_root(root, CallbackId::on_vm_start, start)? == Some(0) {
            self.refused(root, CallbackId::on_vm_start);
            return Err(StartError::VmStart { plugin: plugin.to_owned() });
        }
        let configure = |guest: &mut dyn Guest| checked::on_configure(guest, id, as_arg(lengths.1));
        if self.call_root(root, CallbackId::on_configure, configure)? == Some(0) {
            self.refused(root, CallbackId::on_configure);
            return Err(StartError::Configure { plugin: plugin.to_owned() });
        }
        Ok(())
    }

    /// Tells the host that a plugin does not want to start.
    fn refused(&mut self, root: ContextId, callback: CallbackId) {
        let state = self.state();
        let plugin = state.contexts.root(root).map(|root| Arc::clone(&root.plugin));
        let during = callback.decl().export;
        state.host.failed(&host::Failure { plugin: plugin.as_deref(), during, reason: "refused" });
    }

    fn call_start<R>(
        &mut self,
        callback: CallbackId,
        call: impl FnOnce(&mut dyn Guest) -> Result<Option<R>, Trap>,
    ) -> Result<Option<R>, StartError> {
        self.call_root(ContextId::VM, callback, call)
    }

    fn call_root<R>(
        &mut self,
        root: ContextId,
        callback: CallbackId,
        call: impl FnOnce(&mut dyn Guest) -> Result<Option<R>, Trap>,
    ) -> Result<Option<R>, StartError> {
        self.call(root, callback, call).map_err(|VmFailed| match &self.failure {
            // Maybe another callback than the one that was to run now.
            Some(Failure { during, reason, .. }) => {
                StartError::Trap { during: during.decl().export, reason: reason.clone() }
            }
            None => StartError::Trap { during: callback.decl().export, reason: String::new() },
        })
    }

    fn set_starting(&mut self, limits: &Limits, starting: bool) {
        self.starting = starting;
        self.guest.set_deadline(if starting { limits.start_deadline } else { limits.deadline });
    }

    #[cold]
    fn fail(&mut self, callback: CallbackId, trap: &Trap) {
        let limits = &self.guest.state().config.vm.limits;
        let mut reason = trap.told(limits, self.starting);
        let mut kind = trap.kind();
        // A guest that gets no memory gives up by itself; that is what its author must know.
        if matches!(trap, Trap::Wasm(WasmTrap::Unreachable, _)) && self.state().budget().take_memory_was_refused() {
            let limit = self.state().config.vm.limits.memory;
            kind = "memory";
            reason =
                format!("memory: the plugin asked for more than {limit} bytes (limits.memory), and gave up ({reason})");
        }
        let state = self.guest.state();
        // Where each stream has a VM, each of them may fail.
        let now = state.host.monotonic_clock();
        match if state.shared_quotas.is_some() { state.denials.failure(now) } else { Some(0) } {
            None => {}
            Some(0) => state.note(LogLevel::Error, &format!("{callback} failed: {reason}")),
            Some(more) => {
                let line = format!("{callback} failed: {reason} ({more} failures before it were not logged)");
                state.note(LogLevel::Error, &line);
            }
        }
        state.calls.free_places();
        state.grpc.free_places();
        let plugin = state.plugin().cloned();
        let during = callback.decl().export;
        state.host.failed(&host::Failure { plugin: plugin.as_deref(), during, reason: kind });
        self.failure = Some(Failure { during: callback, plugin, kind, reason });
    }
}

impl std::fmt::Debug for Vm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vm").field("failure", &self.failure).finish_non_exhaustive()
    }
}
