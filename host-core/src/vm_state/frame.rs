//! Who runs in a VM, and with which rights.

use std::sync::Arc;

use super::{VmConfig, VmState};
use crate::abi::{LogLevel, Status};
use crate::callback::CallbackId;
use crate::capability::{Capabilities, Denial, Family, Learned, OnDenial, Rule, Rules};
use crate::context::{ContextId, StreamContext};
use crate::hostcall::{Failure, HostcallId, Outcome};
use crate::plugin::{Compatibility, Plugin};
use crate::trap::Trap;

/// Who runs now, and with which rights.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// The context whose callback runs.
    pub(super) current: ContextId,
    /// The context that the guest chose to act on, if any.
    effective: Option<ContextId>,
    callback: Option<CallbackId>,
    pub(super) plugin: Option<Arc<Plugin>>,
    granted: Capabilities,
    /// What may be called at all, as long as the guest does what it does.
    narrowed: Capabilities,
    /// What is granted and not narrowed; nothing while it is learned what the plugin needs.
    rights: Capabilities,
    /// What may be called without a further look: the rights, or nothing while the VM has a witness.
    in_force: Capabilities,
    restriction: Option<&'static str>,
}

impl Frame {
    /// The guest before any plugin exists.
    pub(super) fn before_start(config: &VmConfig, current: ContextId, callback: Option<CallbackId>) -> Self {
        let granted = config.capabilities;
        let learns = config.rules.learned().is_some();
        let rights =
            if learns { Capabilities::NONE } else { granted.and(Capabilities::IN_START).or(Capabilities::NONE) };
        Self {
            current,
            effective: None,
            callback,
            plugin: None,
            granted,
            narrowed: Capabilities::IN_START,
            rights,
            in_force: rights,
            restriction: Some("before the VM has started"),
        }
    }

    /// Has every call looked at, whatever is allowed.
    pub(super) fn look_at_all(&mut self) {
        self.in_force = Capabilities::UNLOOKED;
    }
}

/// Who runs.
impl VmState {
    /// Enters the guest in a context; `leave` undoes it.
    pub(crate) fn enter(&mut self, context: ContextId, callback: CallbackId) -> Frame {
        let root = self.contexts.root_of(context).and_then(|root| self.contexts.root(root));
        let plugin = root.map(|root| Arc::clone(&root.plugin));
        let mut frame = match plugin {
            Some(plugin) => {
                let learns = plugin.rules.learned().is_some();
                let rights = if learns { Capabilities::NONE } else { plugin.capabilities };
                Frame {
                    current: context,
                    effective: None,
                    callback: Some(callback),
                    granted: plugin.capabilities,
                    narrowed: Capabilities::ALL,
                    rights,
                    in_force: rights,
                    restriction: None,
                    plugin: Some(plugin),
                }
            }
            None => Frame::before_start(&self.config, context, Some(callback)),
        };
        if self.witness.is_some() {
            frame.look_at_all();
        }
        std::mem::replace(&mut self.frame, frame)
    }

    pub(crate) fn leave(&mut self, saved: Frame) {
        self.flush_output();
        self.frame = saved;
    }

    /// Narrows the rights for the time in which the host runs the guest's allocator.
    pub(crate) fn enter_allocator(&mut self) -> Frame {
        let saved = self.frame.clone();
        self.frame.current = ContextId::VM;
        self.frame.effective = None;
        self.frame.narrowed = saved.narrowed.and(Capabilities::IN_ALLOCATOR);
        self.frame.rights = saved.rights.and(Capabilities::IN_ALLOCATOR);
        self.frame.in_force = saved.in_force.and(Capabilities::IN_ALLOCATOR);
        self.frame.restriction = Some("while the host runs the plugin's allocator");
        saved
    }

    pub(crate) fn plugin(&self) -> Option<&Arc<Plugin>> {
        self.frame.plugin.as_ref()
    }

    /// Whether the plugin that runs is made for the specification.
    pub(crate) fn keeps_to_spec(&self) -> bool {
        self.frame.plugin.as_ref().is_some_and(|plugin| plugin.compatibility == Compatibility::Spec)
    }

    pub(crate) fn callback(&self) -> Option<CallbackId> {
        self.frame.callback
    }

    /// The context that hostcalls act on.
    #[inline]
    pub(crate) fn acting(&self) -> ContextId {
        self.frame.effective.filter(|id| self.contexts.contains(*id)).unwrap_or(self.frame.current)
    }

    /// The root of the context that hostcalls act on.
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
    /// the plugin that calls, unless [`VmConfig::any_effective_context`] says otherwise.
    pub(crate) fn set_effective(&mut self, context: Option<ContextId>) -> Result<(), Status> {
        if let Some(id) = context {
            let own = self.contexts.root_of(self.frame.current);
            let of = self.contexts.root_of(id);
            if own.is_none() || of.is_none() || of != own && !self.config.any_effective_context {
                return Err(Status::BadArgument);
            }
        }
        self.frame.effective = context;
        Ok(())
    }
}

/// What it may do.
impl VmState {
    /// What may be called now without a further look: the rights in force, or nothing while the VM has a
    /// witness.
    #[inline]
    pub fn capabilities(&self) -> Capabilities {
        self.frame.in_force
    }

    /// The rights in force now.
    pub(crate) fn rights(&self) -> Capabilities {
        self.frame.rights
    }

    /// The rules for some of its hostcalls.
    #[inline]
    pub(crate) fn rule(&self, family: Family) -> Option<&Rule> {
        self.rules().get(family)
    }

    /// Whether the plugin has the right but may not use it now; says what the guest is doing.
    pub(crate) fn restriction(&self, id: HostcallId) -> Option<&'static str> {
        self.frame.restriction.filter(|_| self.frame.granted.allows(id))
    }

    /// Whether it is being learned what the plugin needs, and this is part of it.
    pub(crate) fn learns(&self, id: HostcallId) -> bool {
        let may = self.frame.granted.allows(id) && self.frame.narrowed.allows(id);
        self.learned().filter(|_| may).map(|learned| learned.capability(id.decl().name)).is_some()
    }

    /// Whether a callback that is not in force is called nevertheless, because the VM has a witness, or it is being learned
    /// what the plugin needs. If not, and the guest has it, that is a denial, which is told once: many plugins export
    /// all callbacks that there are and do nothing in most.
    #[cold]
    pub(crate) fn lets_through(&mut self, id: CallbackId) -> bool {
        if self.frame.rights.allows_callback(id) {
            return true;
        }
        if !self.config.exports.allows_callback(id) || id.is_start_function() {
            return false;
        }
        let learns = self.frame.granted.allows_callback(id)
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
