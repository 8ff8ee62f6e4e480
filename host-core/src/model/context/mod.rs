//! Contexts: roots and streams, which guests name by ids.

mod map;
mod stream;

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::time::Duration;

pub use map::{ContextMap, IdHasher};
pub use stream::{Access, Direction, StreamContext};
pub(crate) use stream::{Slot, StreamKind};

use crate::abi::MapType;
use crate::model::body::Body;
use crate::model::headers::Headers;
use crate::model::plugin::Plugin;
use crate::model::visible::Visible;
use crate::resources::grpc::Received;
use crate::rights::Family;
use crate::sandbox::byte_budget::Charge;
use crate::setters::setters;

/// The id of a context, unique among the live contexts of its VM. 0 is the VM itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContextId(pub(crate) u32);

impl ContextId {
    /// The VM context: start functions and the allocator run in it.
    pub const VM: Self = Self(0);

    /// Returns the id as the guest knows it.
    pub const fn number(self) -> u32 {
        self.0
    }

    pub(crate) const fn as_arg(self) -> i32 {
        self.0.cast_signed()
    }
}

impl fmt::Display for ContextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The context of a plugin in its VM.
#[derive(Debug)]
pub(crate) struct RootContext {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) tick: Option<Duration>,
    pub(crate) tick_changed: bool,
    pub(crate) call_response: Option<CallResponse>,
    /// Whether `call_response` stands for a callout that was reset, and so has no body.
    pub(crate) call_was_reset: bool,
    pub(crate) grpc: Received,
    pub(crate) status: (u32, Vec<u8>),
    pub(crate) ending: Ending,
    /// Properties that the plugin has declared. The roots of VMs that were made from one snapshot have them together.
    pub(crate) declared: Arc<HashMap<Vec<u8>, Declared>>,
}

/// A property that a plugin has declared.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) set_once: bool,
    pub(crate) charge: Charge,
}

/// A copy is charged, too.
impl Clone for Declared {
    fn clone(&self) -> Self {
        Self { set_once: self.set_once, charge: self.charge.again() }
    }
}

impl RootContext {
    pub(crate) fn new(plugin: Arc<Plugin>) -> Self {
        Self {
            plugin,
            tick: None,
            tick_changed: false,
            call_response: None,
            call_was_reset: false,
            grpc: Received::default(),
            status: (0, Vec::new()),
            ending: Ending::Live,
            declared: Arc::default(),
        }
    }
}

/// How far a root is on its way out (spec: `proxy_on_done`, `proxy_done`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Live,
    Pending,
    Done,
}

/// The response to an HTTP callout; readable while its callback runs.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CallResponse {
    /// Headers with `:status`; none if the callout failed.
    pub headers: Headers,
    /// The body.
    pub body: Body,
    /// The trailers.
    pub trailers: Headers,
}

impl CallResponse {
    setters! {
        with_headers(Headers) -> headers;
        with_body(impl Into<Body>) -> body;
        with_trailers(Headers) -> trailers;
    }
}

/// All contexts of a VM. Roots and streams share one counter.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    next: u32,
    live: HashMap<u32, Context, BuildHasherDefault<IdHasher>>,
}

/// Boxed, so that the table of many live contexts stays small, and a new one takes the memory of the one that went last.
#[derive(Debug)]
pub(crate) enum Context {
    Root(Box<RootContext>),
    Stream(Box<StreamContext>),
}

impl Contexts {
    /// Adds a context under an id that no live context has.
    pub(crate) fn insert(&mut self, context: Context) -> ContextId {
        loop {
            self.next = self.next.wrapping_add(1);
            if self.next != 0 && !self.live.contains_key(&self.next) {
                self.live.insert(self.next, context);
                return ContextId(self.next);
            }
        }
    }

    /// Adds a context under an id that it had elsewhere, and goes on from the id that was given last there.
    pub(crate) fn restore(&mut self, id: ContextId, context: Context, last: u32) {
        self.live.insert(id.0, context);
        self.next = last;
    }

    /// Returns the id that was given last.
    pub(crate) fn last(&self) -> u32 {
        self.next
    }

    /// Removes a context. The streams of a root have no plugin any more.
    pub(crate) fn remove(&mut self, id: ContextId) -> Option<Context> {
        let removed = self.live.remove(&id.0);
        if let Some(Context::Root(_)) = removed {
            for context in self.live.values_mut() {
                match context {
                    Context::Stream(stream) if stream.root == id => stream.plugin = None,
                    _ => {}
                }
            }
        }
        removed
    }

    pub(crate) fn contains(&self, id: ContextId) -> bool {
        self.live.contains_key(&id.0)
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    #[inline]
    pub(crate) fn stream(&self, id: ContextId) -> Option<&StreamContext> {
        match self.live.get(&id.0) {
            Some(Context::Stream(stream)) => Some(stream),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn stream_mut(&mut self, id: ContextId) -> Option<&mut StreamContext> {
        match self.live.get_mut(&id.0) {
            Some(Context::Stream(stream)) => Some(stream),
            _ => None,
        }
    }

    /// The root that a context is or belongs to.
    #[inline]
    pub(crate) fn root_of(&self, id: ContextId) -> Option<ContextId> {
        match self.live.get(&id.0)? {
            Context::Root(_) => Some(id),
            Context::Stream(stream) => Some(stream.root),
        }
    }

    /// Returns the context with an id.
    #[inline]
    pub(crate) fn get(&self, id: ContextId) -> Option<&Context> {
        self.live.get(&id.0)
    }

    /// Returns the plugin that a context belongs to, if it has one; `None` if there is no such context.
    #[inline]
    pub(crate) fn plugin_of(&self, id: ContextId) -> Option<Option<&Arc<Plugin>>> {
        Some(match self.live.get(&id.0)? {
            Context::Root(root) => Some(&root.plugin),
            Context::Stream(stream) => stream.plugin.as_ref(),
        })
    }

    /// Returns a map as far as the plugin of a root may see it.
    pub(crate) fn visible<'a>(&'a self, root: ContextId, map: MapType, headers: &'a Headers) -> Visible<'a> {
        let rule = self.root(root).and_then(|root| root.plugin.rules.get(Family::ReadHeaders));
        Visible { headers, map, rule }
    }

    pub(crate) fn root(&self, id: ContextId) -> Option<&RootContext> {
        match self.live.get(&id.0) {
            Some(Context::Root(root)) => Some(root),
            _ => None,
        }
    }

    pub(crate) fn root_mut(&mut self, id: ContextId) -> Option<&mut RootContext> {
        match self.live.get_mut(&id.0) {
            Some(Context::Root(root)) => Some(root),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stream_info::StreamInfo;

    #[test]
    fn ids_start_at_one_and_skip_zero_and_live_ones() {
        let stream = || {
            Context::Stream(Box::new(StreamContext::new(
                ContextId(1),
                None,
                StreamInfo::default().into_shared(),
                StreamKind::Http,
            )))
        };
        let mut contexts = Contexts::default();
        assert_eq!(contexts.insert(stream()), ContextId(1));
        contexts.next = u32::MAX;
        assert_eq!(contexts.insert(stream()), ContextId(2), "0 is the VM's and 1 is live");
    }
}
