//! Contexts: what a guest knows by an id.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::Duration;

use crate::abi::{MapType, StreamType};
use crate::hostcall::Unseen;
use crate::model::body::Body;
use crate::model::headers::Headers;
use crate::model::plugin::Plugin;
use crate::model::stream_info::{SharedStreamInfo, lock};
use crate::model::visible::Visible;
use crate::resources::grpc::Received;
use crate::rights::Family;
use crate::sandbox::byte_budget::Charge;

/// The id of a context, unique among the live contexts of its VM. 0 is the VM itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContextId(pub(crate) u32);

impl ContextId {
    /// The VM context: start functions and the allocator run in it.
    pub const VM: Self = Self(0);

    /// The id as the guest knows it.
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
pub struct CallResponse {
    /// Headers with `:status`; none if the callout failed.
    pub headers: Headers,
    /// The body.
    pub body: Body,
    /// The trailers.
    pub trailers: Headers,
}

/// One direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the upstream.
    Request,
    /// From the upstream to the client.
    Response,
}

/// The kind of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    Http,
    Tcp,
}

impl Direction {
    /// The direction that a half of a stream has.
    pub const fn of(stream: StreamType) -> Self {
        match stream {
            StreamType::Request | StreamType::Downstream => Self::Request,
            StreamType::Response | StreamType::Upstream => Self::Response,
        }
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Request => 0,
            Self::Response => 1,
        }
    }
}

/// The context of a plugin for one stream. What the plugin may see is lent to it by the embedder,
/// by callback, and taken back when it has passed on.
#[derive(Debug)]
pub struct StreamContext {
    pub(crate) root: ContextId,
    /// The plugin of the root; none for a root that there is not.
    pub(crate) plugin: Option<Arc<Plugin>>,
    pub(crate) kind: StreamKind,
    pub(crate) info: SharedStreamInfo,
    /// [`StreamInfo::id`](crate::StreamInfo::id), which log lines want without a lock.
    pub(crate) id: u64,
    pub(crate) halves: [Half; 2],
    pub(crate) local_response: bool,
    pub(crate) closed: bool,
    /// An action waits that has its route chosen anew.
    pub(crate) route_cleared: bool,
}

/// The parts of one direction that are lent.
#[derive(Debug, Default)]
pub(crate) struct Half {
    pub(crate) headers: Slot,
    pub(crate) trailers: Slot,
    pub(crate) body: Option<Body>,
    /// The guest has continued this direction; it no longer sees what is lent of it.
    pub(crate) continued: bool,
    /// An [`Action::Continue`](crate::Action::Continue) waits to be drained.
    pub(crate) continue_queued: bool,
    /// The guest has closed this side of a TCP stream.
    pub(crate) closed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) map: Option<Headers>,
    pub(crate) access: Access,
    /// Entries that the guest has added and does not see.
    pub(crate) unseen: Option<Box<Unseen>>,
}

/// The access that a guest has to a map now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Neither read nor write.
    #[default]
    None,
    /// Read it.
    Read,
    /// Read and write it; if it does not exist, a write creates it.
    Write,
}

impl StreamContext {
    pub(crate) fn new(root: ContextId, plugin: Option<Arc<Plugin>>, info: SharedStreamInfo, kind: StreamKind) -> Self {
        let id = lock(&info).id;
        Self {
            root,
            plugin,
            kind,
            info,
            id,
            halves: Default::default(),
            local_response: false,
            closed: false,
            route_cleared: false,
        }
    }

    /// Lends headers.
    pub fn lend_headers(&mut self, direction: Direction, headers: Headers, access: Access) {
        self.half(direction).headers = Slot { map: Some(headers), access, unseen: None };
    }

    /// Takes headers back.
    pub fn take_headers(&mut self, direction: Direction) -> Option<Headers> {
        std::mem::take(&mut self.half(direction).headers).map
    }

    /// Lends trailers; none with [`Access::Write`] are trailers that a write creates.
    pub fn lend_trailers(&mut self, direction: Direction, trailers: Option<Headers>, access: Access) {
        self.half(direction).trailers = Slot { map: trailers, access, unseen: None };
    }

    /// Takes trailers back.
    pub fn take_trailers(&mut self, direction: Direction) -> Option<Headers> {
        std::mem::take(&mut self.half(direction).trailers).map
    }

    /// Lends body bytes, behind those that are lent already.
    pub fn lend_body(&mut self, direction: Direction, body: Body) {
        match &mut self.half(direction).body {
            Some(lent) => lent.append(body),
            slot @ None => *slot = Some(body),
        }
    }

    /// Takes the body bytes back.
    pub fn take_body(&mut self, direction: Direction) -> Option<Body> {
        self.half(direction).body.take()
    }

    /// How many values the lent headers have.
    pub fn headers_len(&self, direction: Direction) -> usize {
        self.half_ref(direction).headers.map.as_ref().map_or(0, Headers::len)
    }

    /// How many values the lent trailers have.
    pub fn trailers_len(&self, direction: Direction) -> usize {
        self.half_ref(direction).trailers.map.as_ref().map_or(0, Headers::len)
    }

    /// How many body bytes are lent.
    pub fn body_len(&self, direction: Direction) -> usize {
        self.half_ref(direction).body.as_ref().map_or(0, Body::len)
    }

    /// Makes what is lent of a direction visible, for a new callback.
    pub(crate) fn show(&mut self, direction: Direction) {
        self.half(direction).continued = false;
    }

    /// The slot of one of the four maps of a stream, if the guest may see it.
    pub(crate) fn slot(&self, map: MapType) -> Option<&Slot> {
        let half = self.half_ref(direction_of(map)?);
        if half.continued {
            return None;
        }
        Some(if is_trailers(map) { &half.trailers } else { &half.headers })
    }

    pub(crate) fn slot_mut(&mut self, map: MapType) -> Option<&mut Slot> {
        let half = self.half(direction_of(map)?);
        if half.continued {
            return None;
        }
        Some(if is_trailers(map) { &mut half.trailers } else { &mut half.headers })
    }

    #[expect(clippy::indexing_slicing, reason = "an index of two, into two")]
    pub(crate) fn half(&mut self, direction: Direction) -> &mut Half {
        &mut self.halves[direction.index()]
    }

    #[expect(clippy::indexing_slicing, reason = "an index of two, into two")]
    pub(crate) fn half_ref(&self, direction: Direction) -> &Half {
        &self.halves[direction.index()]
    }
}

const fn direction_of(map: MapType) -> Option<Direction> {
    match map {
        MapType::RequestHeaders | MapType::RequestTrailers => Some(Direction::Request),
        MapType::ResponseHeaders | MapType::ResponseTrailers => Some(Direction::Response),
        _ => None,
    }
}

const fn is_trailers(map: MapType) -> bool {
    matches!(map, MapType::RequestTrailers | MapType::ResponseTrailers)
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

    /// The id that was given last.
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

    /// The context with an id.
    #[inline]
    pub(crate) fn get(&self, id: ContextId) -> Option<&Context> {
        self.live.get(&id.0)
    }

    /// The plugin that a context belongs to, if it has one; `None` if there is no such context.
    #[inline]
    pub(crate) fn plugin_of(&self, id: ContextId) -> Option<Option<&Arc<Plugin>>> {
        Some(match self.live.get(&id.0)? {
            Context::Root(root) => Some(&root.plugin),
            Context::Stream(stream) => stream.plugin.as_ref(),
        })
    }

    /// A map as far as the plugin of a root may see it.
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

/// A map by contexts of one VM.
pub type ContextMap<V> = HashMap<ContextId, V, BuildHasherDefault<IdHasher>>;

/// For keys that are one id each, ours and consecutive: they need neither spreading nor protection. Neighbours stand side by side, where
/// the ones in use are in the processor's caches together.
#[derive(Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_usize(&mut self, id: usize) {
        self.0 = in_order(self.0 ^ id as u64);
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = in_order(self.0 ^ u64::from(id));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The place is the low bits. The top seven tell entries apart that are near each other.
fn in_order(id: u64) -> u64 {
    const TOP: u64 = 0x7F << 57;
    (id & !TOP) | (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) & TOP)
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
