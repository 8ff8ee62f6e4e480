//! The frame of a callback: the plugin that runs, and its rights.

use std::sync::Arc;

use super::{VmConfig, VmState};
use crate::abi::callback::CallbackId;
use crate::abi::hostcall::HostcallId;
use crate::abi::outcome::Outcome;
use crate::abi::{LogLevel, Status};
use crate::engine::trap::Trap;
use crate::hostcall::Failure;
use crate::model::context::{Context, ContextId, StreamContext};
use crate::model::percent::Percent;
use crate::model::plugin::{Compatibility, Plugin};
use crate::resources::host::LogRecord;
use crate::resources::in_flight::{OnAccountOf, Owner};
use crate::rights::{Capabilities, Denial, Family, Learned, OnDenial, Rule, Rules};
use crate::vm::usage::CpuBudget;

/// The plugin that runs now, and its rights. The frame is saved and made anew for each callback, so it is small.
#[derive(Debug)]
pub(crate) struct Frame {
    /// The calls that pass without a further look: the rights, or nothing while the VM has an observer.
    in_force: Capabilities,
    pub(super) plugin: Option<Arc<Plugin>>,
    /// The context whose callback runs.
    pub(super) current: ContextId,
    /// The context that the guest chose to act on, if any.
    effective: Option<ContextId>,
    callback: Option<CallbackId>,
    /// On whose account it runs.
    account: OnAccountOf,
    /// The host runs the guest's allocator.
    in_allocator: bool,
    /// When the callback began, on the clock of the plugin's usage.
    began: u64,
}

/// The frame as it was before the guest's allocator runs.
pub(crate) struct BeforeAllocator {
    in_force: Capabilities,
    current: ContextId,
    effective: Option<ContextId>,
    in_allocator: bool,
}

impl Frame {
    /// Returns the guest before any plugin exists.
    pub(super) fn before_start(config: &VmConfig, current: ContextId, callback: Option<CallbackId>) -> Self {
        let learns = config.rules.learned().is_some();
        let in_force = if learns { Capabilities::NONE } else { config.capabilities.and(Capabilities::IN_START) };
        Self {
            in_force,
            plugin: None,
            current,
            effective: None,
            callback,
            account: OnAccountOf::default(),
            in_allocator: false,
            began: 0,
        }
    }

    /// Has every call looked at, whatever is allowed.
    pub(super) fn look_at_all(&mut self) {
        self.in_force = Capabilities::UNLOOKED;
    }
}

/// The plugin and context that run.
impl VmState {
    /// Enters the guest in a context; `leave` undoes it. `None` if there is no such context: it gets no callback, and
    /// must not run with the VM's own rights.
    pub(crate) fn enter(&mut self, context: ContextId, callback: CallbackId) -> Option<Frame> {
        // Of this callback alone, whether it is called or not.
        let account = std::mem::take(&mut self.acts_for);
        let (plugin, account) = match self.contexts.get(context) {
            _ if context == ContextId::VM => (None, account),
            Some(Context::Root(root)) => (Some(&root.plugin), account),
            // A stream whose root is gone is as absent as the root.
            Some(Context::Stream(stream)) => {
                (Some(stream.plugin.as_ref()?), OnAccountOf { number: stream.id, context })
            }
            None => return None,
        };
        let mut frame = match plugin {
            Some(plugin) => {
                let learns = plugin.rules.learned().is_some();
                let in_force = if learns { Capabilities::NONE } else { plugin.capabilities };
                let began = plugin.usage.now();
                // Most often it is the one that ran before; then nothing is counted.
                let plugin = match self.last_plugin.take() {
                    Some(last) if Arc::ptr_eq(&last, plugin) => last,
                    _ => Arc::clone(plugin),
                };
                Frame {
                    in_force,
                    plugin: Some(plugin),
                    current: context,
                    effective: None,
                    callback: Some(callback),
                    account,
                    in_allocator: false,
                    began,
                }
            }
            None => Frame::before_start(&self.config, context, Some(callback)),
        };
        if self.observer.is_some() {
            frame.look_at_all();
        }
        self.budget.take_memory_was_refused();
        Some(std::mem::replace(&mut self.frame, frame))
    }

    /// Leaves the guest; says whether its memory is to be looked at: it may have grown, or the call took a time that the clock of its usage
    /// shows.
    pub(crate) fn leave(&mut self, saved: Frame) -> bool {
        self.flush_output();
        let took = self.frame.plugin.as_ref().map_or(0, |plugin| plugin.usage.called(self.frame.began));
        if took > 0 {
            self.spend(took);
        }
        self.last_plugin = std::mem::replace(&mut self.frame, saved).plugin;
        took > 0 || self.budget.take_memory_has_grown()
    }

    #[cold]
    fn spend(&mut self, took: u64) {
        if let (Some(share), Some(plugin)) = (self.config.vm.limits.cpu, &self.frame.plugin) {
            self.cpu_budget().spend(share, took, plugin.usage.now());
        }
    }

    fn cpu_budget(&self) -> &CpuBudget {
        self.shared_quotas.as_ref().map_or(&self.cpu_budget, |quotas| &quotas.cpu_budget)
    }

    /// Returns whether a callback of a context is refused, because the VM has used up its part of a CPU.
    #[inline]
    pub(crate) fn refuses(&mut self, context: ContextId) -> bool {
        self.config.vm.limits.cpu.is_some_and(|share| self.refuses_beyond(share, context))
    }

    #[cold]
    fn refuses_beyond(&mut self, share: Percent, context: ContextId) -> bool {
        let Some(plugin) = self.contexts.plugin_of(context).flatten().cloned() else { return false };
        if !self.cpu_budget().is_spent(plugin.usage.now()) {
            return false;
        }
        plugin.usage.refused();
        if self.cpu_budget().is_first() {
            let line = format!(
                "its VM has used more than {share} of a CPU (limits.cpu), so some of its callbacks are not called and its failure \
                 policy decides; portcullis_plugin_cpu_refused_total counts them"
            );
            self.host.log(&LogRecord {
                level: LogLevel::Warn,
                message: line.as_bytes(),
                plugin: Some(&plugin),
                context,
                stream: 0,
                from_host: true,
            });
        }
        true
    }

    /// Narrows the rights for the time in which the host runs the guest's allocator.
    pub(crate) fn enter_allocator(&mut self) -> BeforeAllocator {
        let Frame { in_force, current, effective, in_allocator, .. } = self.frame;
        self.frame.in_force = in_force.and(Capabilities::IN_ALLOCATOR);
        self.frame.current = ContextId::VM;
        self.frame.effective = None;
        self.frame.in_allocator = true;
        BeforeAllocator { in_force, current, effective, in_allocator }
    }

    pub(crate) fn leave_allocator(&mut self, saved: BeforeAllocator) {
        self.flush_output();
        let BeforeAllocator { in_force, current, effective, in_allocator } = saved;
        self.frame.in_force = in_force;
        self.frame.current = current;
        self.frame.effective = effective;
        self.frame.in_allocator = in_allocator;
    }

    /// Returns whether there is an upstream of this name; the host takes note where there is none.
    pub(crate) fn finds_upstream(&mut self, name: &str) -> bool {
        let is_there = self.host.has_upstream(name);
        if !is_there {
            self.host.lacks_upstream(self.frame.plugin.as_deref(), name);
        }
        is_there
    }

    pub(crate) fn plugin(&self) -> Option<&Arc<Plugin>> {
        self.frame.plugin.as_ref()
    }

    /// Returns whether the plugin that runs is made for the specification.
    pub(crate) fn keeps_to_spec(&self) -> bool {
        self.frame.plugin.as_ref().is_some_and(|plugin| plugin.compatibility == Compatibility::Spec)
    }

    pub(crate) fn callback(&self) -> Option<CallbackId> {
        self.frame.callback
    }

    /// Returns the context that hostcalls act on.
    #[inline]
    pub(crate) fn acting(&self) -> ContextId {
        self.frame.effective.filter(|id| self.contexts.contains(*id)).unwrap_or(self.frame.current)
    }

    /// Prepares for the callback that tells a root what came of something; says which root that is, if it is there still.
    pub(crate) fn acts_for(&mut self, owner: Owner) -> Option<ContextId> {
        self.contexts.root(owner.root)?;
        self.acts_for = owner.account;
        Some(owner.root)
    }

    /// Returns the owner of what a guest asks for now.
    pub(crate) fn acting_owner(&self) -> Option<Owner> {
        Some(Owner { root: self.acting_root()?, account: self.acting_account() })
    }

    /// Returns the number of the stream that a guest acts for, which its log lines carry; 0 for none.
    pub(super) fn acting_for(&self) -> u64 {
        self.acting_account().number
    }

    fn acting_account(&self) -> OnAccountOf {
        let chosen = self.frame.effective.and_then(|id| Some((id, self.contexts.stream(id)?.id)));
        chosen.map_or(self.frame.account, |(context, number)| OnAccountOf { number, context })
    }

    /// Returns the stream on whose account something is in flight, if one asked and is not over.
    pub(crate) fn stream_of(&self, owner: Owner) -> Option<ContextId> {
        let OnAccountOf { number, context } = owner.account;
        self.contexts.stream(context).filter(|stream| stream.id == number).map(|_| context)
    }

    /// Returns the root of the context that hostcalls act on.
    pub(crate) fn acting_root(&self) -> Option<ContextId> {
        self.contexts.root_of(self.acting())
    }

    pub(crate) fn acting_stream(&self) -> Option<&StreamContext> {
        self.contexts.stream(self.acting())
    }

    pub(crate) fn acting_stream_mut(&mut self) -> Option<&mut StreamContext> {
        self.contexts.stream_mut(self.acting())
    }

    /// Chooses the context that hostcalls act on until the callback returns; `None` resets it.
    ///
    /// differs: cpp-host allows any context of the VM, other plugins' too; here it must belong to
    /// the plugin that calls, unless [`VmSpec::any_effective_context`](crate::sandbox::VmSpec::any_effective_context) says otherwise.
    pub(crate) fn set_effective(&mut self, context: Option<ContextId>) -> Result<(), Status> {
        if let Some(id) = context {
            let own = self.contexts.root_of(self.frame.current);
            let of = self.contexts.root_of(id);
            if own.is_none() || of.is_none() || of != own && !self.config.vm.any_effective_context {
                return Err(Status::BadArgument);
            }
        }
        self.frame.effective = context;
        Ok(())
    }
}

/// The rights of the plugin that runs.
impl VmState {
    /// Returns the calls that pass without a further look now: the rights in force, or nothing while the VM has an
    /// observer.
    #[inline]
    pub fn capabilities(&self) -> Capabilities {
        self.frame.in_force
    }

    /// The rights in force now: the plugin's, as far as they are not narrowed; nothing while it is learned what the plugin needs.
    pub(crate) fn rights(&self) -> Capabilities {
        if self.learned().is_some() { Capabilities::NONE } else { self.plugin_rights().and(self.narrowed()) }
    }

    /// Returns the rights of the plugin that runs; before one exists, those of the VM.
    fn plugin_rights(&self) -> Capabilities {
        self.frame.plugin.as_ref().map_or(self.config.capabilities, |plugin| plugin.capabilities)
    }

    /// Returns the calls that are possible at all in the guest's present state.
    fn narrowed(&self) -> Capabilities {
        let narrowed = if self.frame.plugin.is_some() { Capabilities::ALL } else { Capabilities::IN_START };
        if self.frame.in_allocator { narrowed.and(Capabilities::IN_ALLOCATOR) } else { narrowed }
    }

    /// Returns the rules for some of its hostcalls.
    #[inline]
    pub(crate) fn rule(&self, family: Family) -> Option<&Rule> {
        self.rules().get(family)
    }

    /// Returns what the guest is doing, if it has the right to a hostcall but may not use it meanwhile.
    pub(crate) fn not_callable(&self, id: HostcallId) -> Option<&'static str> {
        let during = match (self.frame.in_allocator, &self.frame.plugin) {
            (true, _) => Some("while the host runs the plugin's allocator"),
            (false, None) => Some("before the VM has started"),
            (false, Some(_)) => None,
        };
        during.filter(|_| self.plugin_rights().allows(id))
    }

    /// Returns whether it is being learned what the plugin needs, and this is part of it.
    pub(crate) fn learns(&self, id: HostcallId) -> bool {
        let may = self.plugin_rights().allows(id) && self.narrowed().allows(id);
        self.learned().filter(|_| may).map(|learned| learned.capability(id.decl().name)).is_some()
    }

    /// Returns whether a callback that is not in force is called nevertheless, because the VM has an observer, or it is being learned
    /// what the plugin needs. If not, and the guest has it, that is a denial, which is told once: many plugins export
    /// all callbacks that there are and do nothing in most.
    #[cold]
    pub(crate) fn lets_through(&mut self, id: CallbackId) -> bool {
        if self.rights().allows_callback(id) {
            return true;
        }
        if !self.config.exports.is_some_and(|exports| exports.allows_callback(id)) || id.is_start_function() {
            return false;
        }
        let learns = self.plugin_rights().allows_callback(id)
            && self.learned().map(|learned| learned.capability(id.decl().export)).is_some();
        if !learns && self.denials.is_news(id) {
            let (plugin, context) = (self.frame.plugin.as_deref(), self.acting());
            let capability = id.decl().export;
            let (vm_id, sandbox) = (&self.config.vm_id, self.config.sandbox);
            self.host.denied(&Denial { plugin, vm_id, sandbox, context, capability, rule: None, argument: None });
        }
        learns
    }

    /// Takes note of a hostcall that the plugin may not make.
    ///
    /// # Errors
    /// Its operator has its VM end then.
    pub(crate) fn deny(&mut self, id: HostcallId, rule: Option<(&'static str, Option<&[u8]>)>) -> Result<(), Trap> {
        let argument = rule.and_then(|(key, argument)| Some(Denial::redact(key, argument?)));
        let rule = rule.map(|(key, _)| key);
        self.tell_denial(id.decl().name, rule, argument.as_deref());
        match self.frame.plugin.as_ref().map(|plugin| plugin.on_denial) {
            Some(OnDenial::Trap) => Err(Trap::Denied { hostcall: id, rule }),
            _ => Ok(()),
        }
    }

    /// The same of a call whose arguments a rule forbids, as the handler's answer.
    #[cold]
    pub(crate) fn refuse<O: Outcome>(
        &mut self,
        id: HostcallId,
        rule: &'static str,
        argument: Option<&[u8]>,
    ) -> Failure<O> {
        match self.deny(id, Some((rule, argument))) {
            Ok(()) => Failure::Answer(O::DENIED),
            Err(trap) => Failure::Trap(trap),
        }
    }

    fn rules(&self) -> &Rules {
        self.frame.plugin.as_ref().map_or(&self.config.rules, |plugin| &plugin.rules)
    }

    fn learned(&self) -> Option<&Arc<Learned>> {
        self.rules().learned()
    }

    fn tell_denial(&mut self, capability: &'static str, rule: Option<&'static str>, argument: Option<&str>) {
        let context = self.acting();
        let now = self.host.monotonic_clock();
        let plugin = self.frame.plugin.as_deref();
        let sandbox = self.config.sandbox;
        let denial = Denial { plugin, vm_id: &self.config.vm_id, sandbox, context, capability, rule, argument };
        self.host.denied(&denial);
        if let Some(left_out) = self.denials.count(now) {
            let more =
                if left_out > 0 { format!(" ({left_out} denials before it were not logged)") } else { String::new() };
            let line = format!("{denial}{more}");
            self.note(LogLevel::Warn, &line);
        }
    }
}
