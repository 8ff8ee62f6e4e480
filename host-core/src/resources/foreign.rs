//! Functions that a host offers beyond the ABI (spec: `proxy_call_foreign_function`).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::abi::hostcall::HostcallId;
use crate::abi::{LogLevel, Status};
use crate::engine::trap::Trap;
use crate::hostcall::Failure;
use crate::model::action::Action;
use crate::model::context::{ContextId, Declared, StreamKind};
use crate::model::plugin::Plugin;
use crate::model::steering::Steer;
use crate::model::stream_info::{NoRoom, StreamInfo};
use crate::rights::{Capabilities, Family, Key};
use crate::vm::state::{UsedUp, VmState};

type Function = Arc<dyn Fn(&mut ForeignCall<'_>) -> Result<(), Status> + Send + Sync>;

/// The foreign functions of a host, by name. Clones are cheap.
#[derive(Clone, Default)]
pub struct ForeignFunctions(Arc<HashMap<String, Function>>);

/// A call of a foreign function.
#[derive(Debug)]
pub struct ForeignCall<'a> {
    /// The plugin's arguments. They are the plugin's memory: trust nothing of them.
    pub arguments: &'a [u8],
    /// The result that the plugin gets, also if the function fails.
    pub result: &'a mut Vec<u8>,
    vm: &'a mut VmState,
    /// A denial for which the operator has the VM end.
    pub(crate) trap: Option<Trap>,
}

impl ForeignFunctions {
    /// Adds a function, in place of one of the same name. What it returns as an error is the status
    /// that the plugin gets. It runs on the VM's thread, while the plugin waits: it must not block,
    /// and must bound what it does.
    #[must_use]
    pub fn with(
        mut self,
        name: &str,
        function: impl Fn(&mut ForeignCall<'_>) -> Result<(), Status> + Send + Sync + 'static,
    ) -> Self {
        Arc::make_mut(&mut self.0).insert(name.to_owned(), Arc::new(function));
        self
    }

    /// Returns the names, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.0.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<Function> {
        self.0.get(std::str::from_utf8(name).ok()?).cloned()
    }
}

impl<'a> ForeignCall<'a> {
    pub(crate) fn new(arguments: &'a [u8], result: &'a mut Vec<u8>, vm: &'a mut VmState) -> Self {
        Self { arguments, result, vm, trap: None }
    }

    /// Returns the plugin that calls; none before there is one.
    pub fn plugin(&self) -> Option<&Plugin> {
        self.vm.plugin().map(|plugin| &**plugin)
    }

    /// Returns the context that the call is about: a stream or a root.
    pub fn context(&self) -> ContextId {
        self.vm.acting()
    }

    /// Reads and changes what is known of the stream that the call is about; `None` if it is about none.
    pub fn with_stream<R>(&mut self, change: impl FnOnce(&mut StreamInfo) -> R) -> Option<R> {
        let stream = self.vm.acting_stream()?;
        Some(stream.info.with(change))
    }

    /// Sets what plugins read as the property `path` of the stream that the call is about, at the cost of the plugin's sandbox; says
    /// whether there was room for it. `None` if the call is about no stream.
    pub fn set_filter_state(&mut self, path: &[u8], value: &[u8]) -> Option<bool> {
        let stream = self.vm.acting_stream()?;
        let buffers = &self.vm.budgets.buffers;
        let written = stream.info.with(|info| info.filter_state.set_by(buffers, path, value));
        if written == Err(NoRoom::InBudget) {
            self.vm.used_up(UsedUp::Buffers, Status::BadArgument);
        }
        Some(written.is_ok())
    }

    /// Declares a property of the plugin's streams; with `set_once`, `proxy_set_property` refuses to change
    /// it. Says whether it could: a property is declared once, and a plugin declares 256 at most, of 8 KiB each.
    pub fn declare_property(&mut self, path: &[u8], set_once: bool) -> bool {
        const MOST: usize = 256;
        const LONGEST: usize = 8 << 10;
        let Some((_, root)) = self.vm.root_mut() else { return false };
        if path.len() > LONGEST || root.declared.len() >= MOST || root.declared.contains_key(path) {
            return false;
        }
        let Some(charge) = self.vm.budgets.charge_piece(path.len()) else {
            self.vm.used_up(UsedUp::Buffers, Status::BadArgument);
            return false;
        };
        let Some((_, root)) = self.vm.root_mut() else { return false };
        Arc::make_mut(&mut root.declared).insert(path.to_vec(), Declared { set_once, charge });
        true
    }

    /// Changes where the TCP stream goes that the call is about, and keeps what the plugin gave as `filter_state.KEY`.
    /// A plugin that has not all rights needs the key by name in `filter_state`, the rule of
    /// `proxy_call_foreign_function`; the rule `upstreams` may limit the clusters.
    ///
    /// # Errors
    /// `NotFound` if there is no stream, or none that can be steered; `InternalFailure` if the plugin may not;
    /// `BadArgument` if its upstream has been chosen, or there is no room.
    pub fn steer(&mut self, key: &'static str, value: &str, steer: Steer<'_>) -> Result<(), Status> {
        let stream = self.vm.acting_stream().ok_or(Status::NotFound)?;
        if stream.info.with(|info| info.steering.is_none()) {
            self.note_once(key, &format!("set_envoy_filter_state: {key} is for TCP streams alone"));
            return Err(Status::NotFound);
        }
        let argument = match steer {
            Steer::Cluster(name) => Some(name),
            Steer::IdleTimeout(_) | Steer::Nothing => None,
        };
        self.check_steering(key, argument)?;
        let path = [b"filter_state\0", key.as_bytes()].concat();
        let buffers = Arc::clone(&self.vm.budgets.buffers);
        let mut is_used_up = false;
        let changed = self.with_stream(|info| {
            let Some(steering) = &mut info.steering else { return false };
            if steering.is_settled && argument.is_some() {
                return false;
            }
            // What is kept is bounded, and so what is obeyed is.
            if let Err(limit) = info.filter_state.set_by(&buffers, &path, value.as_bytes()) {
                is_used_up = limit == NoRoom::InBudget;
                return false;
            }
            match steer {
                Steer::Cluster(name) => steering.cluster = Some(name.to_owned()),
                Steer::IdleTimeout(limit) => steering.idle_timeout = Some(limit),
                Steer::Nothing => {}
            }
            true
        });
        match changed {
            Some(true) => Ok(()),
            _ if is_used_up => Err(self.vm.used_up(UsedUp::Buffers, Status::BadArgument)),
            _ => Err(Status::BadArgument),
        }
    }

    /// Tells the operator something about the plugin, once in the life of its VM for each `key`; at a bounded rate, if each stream has a VM.
    pub fn note_once(&mut self, key: &'static str, message: &str) {
        if !self.vm.noted.contains(&key) {
            self.vm.noted.push(key);
            // Where each stream has a VM, once is as often as there are streams.
            match self.vm.shared_quotas {
                Some(_) => self.vm.remark(message),
                None => self.vm.note(LogLevel::Warn, message),
            }
        }
    }

    /// Checks that the plugin may steer by a key, and to an upstream. Without rules of its own only a plugin that may do
    /// everything can.
    fn check_steering(&mut self, key: &str, upstream: Option<&str>) -> Result<(), Status> {
        const ID: HostcallId = HostcallId::proxy_call_foreign_function;
        let refused = match self.vm.rule(Family::CallForeign) {
            Some(rule) if !rule.allows_by_name(Key::FilterState, key.as_bytes()) => Some(("filter_state", key)),
            Some(rule) => upstream
                .filter(|upstream| !rule.allows(Key::Upstreams, upstream.as_bytes()))
                .map(|upstream| ("upstreams", upstream)),
            None => {
                let plugin = self.vm.plugin();
                let is_free =
                    plugin.is_some_and(|plugin| plugin.capabilities == Capabilities::ALL && plugin.rules.is_empty());
                (!is_free).then_some(("filter_state", key))
            }
        };
        let Some((rule, argument)) = refused else { return Ok(()) };
        match self.vm.refuse(ID, rule, Some(argument.as_bytes())) {
            Failure::Answer(status) => Err(status),
            Failure::Trap(trap) => {
                self.trap = Some(trap);
                Err(Status::InternalFailure)
            }
        }
    }

    /// Has the route of the stream chosen anew, if the call is about one.
    pub fn clear_route_cache(&mut self) {
        let context = self.vm.acting();
        let stream = self.vm.acting_stream_mut().filter(|stream| stream.kind == StreamKind::Http);
        // One action is enough until it is taken.
        if stream.is_some_and(|stream| !std::mem::replace(&mut stream.route_cleared, true)) {
            self.vm.actions.push_back(Action::ClearRouteCache { context });
        }
    }
}

impl fmt::Debug for ForeignFunctions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
