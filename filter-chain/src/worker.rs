//! The worker: what a driver calls.

use std::collections::VecDeque;
use std::fmt;

use portcullis_core::{
    Access, Action, Body, Compatibility, Direction, ForeignFunctions, Headers, Host, LocalResponse, Part, Shared,
    SharedStreamInfo, Wake, lock,
};

use crate::arena::Arena;
use crate::background::Background;
use crate::callouts::Callouts;
use crate::effect::{Effect, StreamEffect};
use crate::id::{ConnectionId, PluginId, StreamId, VmId};
use crate::spec::{Chain, LoadError, PluginSpec};
use crate::stream::http::flow::Work;
use crate::stream::http::gate::{Item, Mode};
use crate::stream::http::reply::{is_grpc, status_of};
use crate::stream::http::{HttpStream, Progress, StreamPlugin};
use crate::stream::tcp::{TcpStream, TcpWork};
use crate::vms::{Health, Sandboxes};

/// The VMs of one thread and the streams that pass through them. See the crate's documentation for
/// how to drive it.
pub struct Worker {
    pub(crate) sandboxes: Sandboxes,
    pub(crate) streams: Arena<StreamId, HttpStream>,
    /// What is on its way between stages.
    pub(crate) work: VecDeque<Work>,
    /// What guests asked for, by VM, and is not done yet.
    pub(crate) actions: VecDeque<(VmId, Action)>,
    pub(crate) effects: VecDeque<Effect>,
    pub(crate) callouts: Callouts,
    /// Streams, and plugins of them, whose VM has just failed.
    pub(crate) orphans: VecDeque<(StreamId, usize)>,
    /// Streams that have effects since the last run.
    pub(crate) touched: Vec<StreamId>,
    pub(crate) connections: Arena<ConnectionId, TcpStream>,
    pub(crate) tcp_work: VecDeque<TcpWork>,
    pub(crate) tcp_orphans: VecDeque<(ConnectionId, usize)>,
    pub(crate) tcp_touched: Vec<ConnectionId>,
    /// VMs of which the last root may have gone.
    pub(crate) left: Vec<VmId>,
    /// What calls get that no stream waits for.
    pub(crate) background: Background,
}

/// Setting up and taking down.
impl Worker {
    /// A worker without plugins. Each VM gets a host of its own from `host`.
    pub fn new(host: impl Fn() -> Box<dyn Host> + 'static) -> Self {
        Self {
            sandboxes: Sandboxes::new(Box::new(host)),
            streams: Arena::default(),
            work: VecDeque::new(),
            actions: VecDeque::new(),
            effects: VecDeque::new(),
            callouts: Callouts::default(),
            orphans: VecDeque::new(),
            touched: Vec::new(),
            connections: Arena::default(),
            tcp_work: VecDeque::new(),
            tcp_orphans: VecDeque::new(),
            tcp_touched: Vec::new(),
            left: Vec::new(),
            background: Background::default(),
        }
    }

    /// The plugins of this worker share data and queues with those of other workers that are given the
    /// same. `wake` is called, on any thread, when [`Worker::queues_ready`] has something to do. To be
    /// set before a chain is loaded.
    #[must_use]
    pub fn sharing(mut self, shared: Shared, wake: Wake) -> Self {
        (self.sandboxes.shared, self.sandboxes.wake) = (shared, Some(wake));
        self
    }

    /// What plugins may call beyond the ABI. To be set before a chain is loaded.
    #[must_use]
    pub fn with_foreign_functions(mut self, functions: ForeignFunctions) -> Self {
        self.sandboxes.foreign = functions;
        self
    }

    /// Starts a chain: each plugin in the VM of its sandbox. A plugin that runs already, in another
    /// chain, is used again.
    ///
    /// A VM that has failed is not used again: when it has rested (see [`PluginSpec::reload`]) another one is started in
    /// its place, with all plugins that it had.
    ///
    /// # Errors
    /// A plugin did not start, or its VM has failed and still rests, with its index in `specs`; those before it run.
    pub fn load(&mut self, specs: &[PluginSpec]) -> Result<Chain, (usize, LoadError)> {
        let chain = self.load_services(specs)?;
        chain.0.iter().for_each(|plugin| self.sandboxes.serve(*plugin));
        Ok(chain)
    }

    /// Starts plugins to which no stream comes; [`Worker::keep_up`] looks after them. Else as [`Worker::load`].
    ///
    /// # Errors
    /// Those of [`Worker::load`].
    pub fn load_services(&mut self, specs: &[PluginSpec]) -> Result<Chain, (usize, LoadError)> {
        let load = |(index, spec)| self.sandboxes.load(spec).map_err(|error| (index, error));
        let plugins: Result<_, _> = specs.iter().enumerate().map(load).collect();
        self.after_calls();
        self.run(None);
        self.sandboxes.replaced().into_iter().for_each(|vm| self.let_go(vm));
        Ok(Chain(plugins?))
    }

    /// Asks all plugins to end. Those that need time go on, and so do those of VMs with streams, until these are over; see
    /// [`Worker::pending_roots`]. A stream that comes to a plugin that has ended is answered by the plugin's failure policy.
    pub fn shut_down(&mut self) {
        for index in 0..self.sandboxes.plugins.len() {
            self.end_root(PluginId::at(index));
        }
        self.run(None);
    }

    /// How many plugins have not ended yet, and VMs of streams that are over wait for callouts.
    pub fn pending_roots(&self) -> usize {
        let failed = |vm: Option<VmId>| self.sandboxes.vms.get(vm).is_none_or(|sandbox| sandbox.vm.failure().is_some());
        let roots = self.sandboxes.plugins.iter().filter(|plugin| !plugin.ended && !failed(plugin.vm));
        roots.count() + self.sandboxes.lingering()
    }

    /// Bytes of linear memory of all VMs.
    pub fn memory_size(&mut self) -> usize {
        self.sandboxes.vms.iter_mut().map(|(_, sandbox)| sandbox.vm.memory_size()).sum()
    }

    /// Describes how each plugin is doing, in the order in which they were loaded. A plugin that was loaded for several chains
    /// is there once.
    pub fn health(&self) -> impl Iterator<Item = Health> {
        self.sandboxes.health()
    }

    /// Says whether [`Worker::health`] has changed since the last call, but for the number of VMs of streams, which
    /// [`LiveVms`](crate::LiveVms) has always.
    pub fn health_changed(&mut self) -> bool {
        self.sandboxes.take_changed()
    }

    /// How many VMs run, and how many have failed.
    pub fn vm_counts(&self) -> (usize, usize) {
        let failed = self.sandboxes.vms.iter().filter(|(_, sandbox)| sandbox.vm.failure().is_some()).count();
        (self.sandboxes.vms.len() - failed, failed)
    }
}

/// Streams.
impl Worker {
    /// Begins a stream over a chain that this worker has loaded; one of another worker is answered as if its plugins had
    /// failed, 503. `limit` is how many bytes each direction may hold.
    pub fn open(&mut self, chain: &Chain, info: SharedStreamInfo, limit: usize) -> StreamId {
        self.background.note_io();
        self.revive(chain);
        let plugin = |plugin: &PluginId| StreamPlugin {
            plugin: *plugin,
            vm: self.sandboxes.vm_of(*plugin),
            context: None,
            stages: Default::default(),
            entered: [0; 2],
        };
        self.streams.insert(HttpStream {
            info,
            plugins: chain.0.iter().map(plugin).collect(),
            effects: VecDeque::new(),
            limit,
            request: Progress::default(),
            response: Progress::default(),
            head_request: false,
            grpc_request: false,
            local_response: false,
            request_dropped: false,
            left: [0; 2],
        })
    }

    /// Starts VMs again that have failed and rested.
    pub(crate) fn revive(&mut self, chain: &Chain) {
        for plugin in chain.0.iter() {
            if let Some((old, new)) = self.sandboxes.revive(*plugin) {
                self.collect(new);
                self.run(None);
                self.let_go(old);
            }
        }
    }

    /// Headers have come; `end` says that nothing follows. A second response is ignored.
    pub fn headers(&mut self, stream: StreamId, direction: Direction, headers: Headers, end: bool) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        if std::mem::replace(&mut state.progress(direction).begun, true) {
            return;
        }
        if direction == Direction::Request {
            state.head_request = headers.get(b":method") == Some(b"HEAD");
            state.grpc_request = headers.get(b"content-type").is_some_and(is_grpc);
        } else {
            // Plugins may ask for it while they see the headers.
            lock(&state.info).response_code = status_of(&headers);
        }
        self.feed(stream, direction, Item::Headers { headers, end });
    }

    /// Body bytes have come; `end` says that nothing follows.
    pub fn body(&mut self, stream: StreamId, direction: Direction, body: Body, end: bool) {
        // As Envoy counts: what came of a request, and what was sent of a response.
        if let Some(state) = self.streams.get(stream).filter(|_| direction == Direction::Request) {
            lock(&state.info).request_size += body.len() as u64;
        }
        self.feed(stream, direction, Item::Data { body, end });
    }

    /// Trailers have come; nothing follows.
    pub fn trailers(&mut self, stream: StreamId, direction: Direction, trailers: Headers) {
        self.feed(stream, direction, Item::Trailers(trailers));
    }

    /// Whether body bytes of a direction should be read now. When not, plugins hold as much as they
    /// may; that changes with the stream's effects.
    pub fn wants_body(&mut self, stream: StreamId, direction: Direction) -> bool {
        let Some(state) = self.streams.get(stream) else { return false };
        let limit = state.limit;
        state.reads_on(direction) || self.held(stream, direction) < limit
    }

    /// Whether body bytes of a direction would be received by somebody now: its headers have left, or the plugin that holds
    /// them receives the body meanwhile. When not, nobody needs a body yet that has not been sent.
    pub fn hears_body(&mut self, stream: StreamId, direction: Direction) -> bool {
        let Some(state) = self.streams.get(stream) else { return false };
        let plugins =
            (0..state.plugins.len()).filter_map(|position| state.plugins.get(state.index(direction, position)?));
        let mut stopping = plugins.filter(|plugin| plugin.stage_ref(direction).mode != Mode::Open);
        let Some(first) = stopping.next() else { return true };
        let (mode, vm, context) = (first.stage_ref(direction).mode, first.vm, first.context);
        let vm = self.sandboxes.vms.get_mut(vm).map(|sandbox| &mut sandbox.vm);
        let hears = vm.zip(context).is_some_and(|(vm, context)| vm.may_hear(context, direction, Part::Body));
        mode == Mode::Held && hears
    }

    /// Answers a stream in the proxy's own name, as plugins do with a local response: through the
    /// response side of the chain if no response has begun.
    pub fn reply(&mut self, stream: StreamId, response: LocalResponse) {
        self.local_reply(stream, response);
        self.run(Some(stream));
    }

    /// Answers a stream in the proxy's own name, as [`Worker::reply`] does. When its response's headers have left, it is cut for
    /// this reason and, unless they are empty, with these details for logs and properties.
    pub fn fail(&mut self, stream: StreamId, response: LocalResponse, reason: &'static str, details: String) {
        self.reply_or_cut(stream, response, reason, details);
        self.run(Some(stream));
    }

    /// The next thing to do for a stream.
    pub fn stream_effect(&mut self, stream: StreamId) -> Option<StreamEffect> {
        self.streams.get_mut(stream)?.effects.pop_front()
    }

    /// Ends a stream: every plugin logs it and forgets it. Plugins that the stream never reached get
    /// a context for their log, as in deployed hosts.
    pub fn finish(&mut self, stream: StreamId) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        state.request.done = true;
        state.response.done = true;
        self.reclaim(stream);
        let count = self.streams.get(stream).map_or(0, |state| state.plugins.len());
        for index in 0..count {
            if self.ensure_context(stream, index) {
                if self.ends_before_log(stream, index) {
                    self.end_stream(stream, index);
                }
                self.log(stream, index);
            }
        }
        for index in 0..count {
            if !self.ends_before_log(stream, index) {
                self.end_stream(stream, index);
            }
            self.delete_stream(stream, index);
        }
        self.run(Some(stream));
        let state = self.streams.remove(stream);
        for plugin in state.iter().flat_map(|state| &state.plugins) {
            plugin.vm.into_iter().for_each(|vm| self.let_go(vm));
        }
    }

    fn feed(&mut self, stream: StreamId, direction: Direction, item: Item) {
        self.work.push_back(Work { stream, direction, position: 0, item });
        self.run(Some(stream));
    }

    fn log(&mut self, stream: StreamId, index: usize) {
        let Some(state) = self.streams.get(stream) else { return };
        let Some((plugin, info)) = state.plugins.get(index).map(|plugin| (plugin, &state.info)) else { return };
        let (Some(context), Some(vm_index)) = (plugin.context, plugin.vm) else { return };
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm_index) else { return };
        let mut maps = lock(info);
        if let Some(lent) = sandbox.vm.stream(context) {
            for (direction, headers, trailers) in [
                (Direction::Request, maps.request_headers.take(), maps.request_trailers.take()),
                (Direction::Response, maps.response_headers.take(), maps.response_trailers.take()),
            ] {
                if let Some(headers) = headers {
                    lent.lend_headers(direction, headers, Access::Read);
                }
                if trailers.is_some() {
                    lent.lend_trailers(direction, trailers, Access::Read);
                }
            }
        }
        drop(maps);
        let result = sandbox.vm.on_log(context);
        if let Some(lent) = sandbox.vm.stream(context) {
            let mut maps = lock(info);
            maps.request_headers = lent.take_headers(Direction::Request);
            maps.request_trailers = lent.take_trailers(Direction::Request);
            maps.response_headers = lent.take_headers(Direction::Response);
            maps.response_trailers = lent.take_trailers(Direction::Response);
        }
        self.after_call(vm_index, result.is_err());
    }

    /// Whether a plugin is told of the end before it logs (spec: `proxy_on_done`; deployed hosts log first).
    fn ends_before_log(&self, stream: StreamId, index: usize) -> bool {
        let plugin = self.streams.get(stream).and_then(|state| state.plugins.get(index));
        let loaded = plugin.and_then(|plugin| self.sandboxes.plugins.get(plugin.plugin.index()));
        loaded.is_some_and(|loaded| loaded.plugin.compatibility == Compatibility::Spec)
    }

    fn end_stream(&mut self, stream: StreamId, index: usize) {
        let plugin = self.streams.get(stream).and_then(|state| state.plugins.get(index));
        let Some((context, vm)) = plugin.and_then(|plugin| Some((plugin.context?, plugin.vm?))) else { return };
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { return };
        let result = sandbox.vm.on_done(context);
        self.after_call(vm, result.is_err());
    }

    fn delete_stream(&mut self, stream: StreamId, index: usize) {
        let plugin = self.streams.get_mut(stream).and_then(|state| state.plugins.get_mut(index));
        let Some((context, vm)) = plugin.and_then(|plugin| Some((plugin.context.take()?, plugin.vm?))) else { return };
        self.sandboxes.forget_stream(vm, context);
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { return };
        let deleted = sandbox.vm.delete(context);
        self.after_call(vm, deleted.is_err());
    }
}

/// Callouts and queues; the module `background` has the rest.
impl Worker {
    /// Tells the plugins of a VM of items; says whether there is more to tell.
    pub(crate) fn tell_queues(&mut self, vm: VmId) -> bool {
        const AT_ONCE: usize = 64;
        for _ in 0..AT_ONCE {
            let sandbox = self.sandboxes.vms.get_mut(vm).filter(|sandbox| sandbox.vm.failure().is_none());
            let Some(sandbox) = sandbox else { return false };
            let result = sandbox.vm.on_queue_ready();
            self.after_call(vm, result.is_err());
            self.run(None);
            if result == Ok(false) {
                return false;
            }
        }
        true
    }

    /// The next thing to do for the worker.
    pub fn effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stale = self.streams.stale() + self.connections.stale();
        f.debug_struct("Worker")
            .field("streams", &self.streams.len())
            .field("stale_ids", &stale)
            .finish_non_exhaustive()
    }
}
