//! Functions that a host offers beyond the ABI (spec: `proxy_call_foreign_function`).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::abi::Status;
use crate::action::Action;
use crate::context::{ContextId, StreamKind};
use crate::plugin::Plugin;
use crate::stream_info::{StreamInfo, lock};
use crate::vm_state::VmState;

type Function = Arc<dyn Fn(&mut ForeignCall<'_>) -> Result<(), Status> + Send + Sync>;

/// The foreign functions of a host, by name. Clones are cheap.
#[derive(Clone, Default)]
pub struct ForeignFunctions(Arc<HashMap<String, Function>>);

/// A call of a foreign function.
#[derive(Debug)]
pub struct ForeignCall<'a> {
    /// What the plugin gives. It is the plugin's memory: trust nothing of it.
    pub arguments: &'a [u8],
    /// What the plugin gets, also if the function fails.
    pub result: &'a mut Vec<u8>,
    vm: &'a mut VmState,
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

    /// The names, sorted.
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
        Self { arguments, result, vm }
    }

    /// The plugin that calls; none before there is one.
    pub fn plugin(&self) -> Option<&Plugin> {
        self.vm.plugin().map(|plugin| &**plugin)
    }

    /// The context that the call is about: a stream or a root.
    pub fn context(&self) -> ContextId {
        self.vm.acting()
    }

    /// Reads and changes what is known of the stream that the call is about; `None` if it is about none.
    pub fn with_stream<R>(&mut self, change: impl FnOnce(&mut StreamInfo) -> R) -> Option<R> {
        let stream = self.vm.acting_stream()?;
        Some(change(&mut lock(&stream.info)))
    }

    /// Declares a property of the plugin's streams; with `set_once`, `proxy_set_property` refuses to change
    /// it. Says whether it could: a property is declared once, and a plugin declares 256 at most.
    pub fn declare_property(&mut self, path: &[u8], set_once: bool) -> bool {
        const MOST: usize = 256;
        let Some((_, root)) = self.vm.root_mut() else { return false };
        if root.declared.len() >= MOST || root.declared.contains_key(path) {
            return false;
        }
        root.declared.insert(path.to_vec(), set_once);
        true
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
