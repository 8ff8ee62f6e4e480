//! The state of one HTTP stream in a chain.

use std::collections::VecDeque;

use portcullis_core::model::{ContextId, Direction, SharedStreamInfo};

use super::gate::{Gate, Item};
use crate::effect::StreamEffect;
use crate::id::{PluginId, VmId};
use crate::stream::{index_at, position_of};

/// One HTTP stream. Plugins stand in the order of the chain.
#[derive(Debug)]
pub(super) struct HttpStream {
    info: SharedStreamInfo,
    plugins: Vec<StreamPlugin>,
    effects: VecDeque<StreamEffect>,
    /// How many bytes one direction may hold.
    limit: usize,
    progress: [Progress; 2],
    /// Body bytes that have left each direction.
    bytes_out: [u64; 2],
    head_request: bool,
    grpc_request: bool,
    /// The response is a plugin's or the proxy's own.
    local_response: bool,
    /// The driver has been told that the request no longer matters.
    request_dropped: bool,
}

/// One plugin in a stream.
#[derive(Debug)]
struct StreamPlugin {
    plugin: PluginId,
    /// A VM that was started again has another; none if the plugin has one for each stream and this one has none yet.
    vm: Option<VmId>,
    context: Option<ContextId>,
    gates: [Gate; 2],
    /// Body bytes that have come to it in each direction.
    bytes_in: [u64; 2],
}

/// How far a direction has come.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Its headers have entered the chain.
    begun: bool,
    /// Its headers have left the chain.
    headers_out: bool,
    /// Nothing of it matters any more.
    done: bool,
}

impl HttpStream {
    pub(super) fn new(
        info: SharedStreamInfo,
        plugins: impl Iterator<Item = (PluginId, Option<VmId>)>,
        limit: usize,
    ) -> Self {
        let plugin =
            |(plugin, vm)| StreamPlugin { plugin, vm, context: None, gates: Default::default(), bytes_in: [0; 2] };
        Self {
            info,
            plugins: plugins.map(plugin).collect(),
            effects: VecDeque::new(),
            limit,
            progress: Default::default(),
            bytes_out: [0; 2],
            head_request: false,
            grpc_request: false,
            local_response: false,
            request_dropped: false,
        }
    }

    #[inline]
    pub(super) fn info(&self) -> &SharedStreamInfo {
        &self.info
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn plugin_count(&self) -> usize {
        self.plugins.len()
    }

    pub(super) fn plugin(&self, index: usize) -> Option<PluginId> {
        Some(self.at(index)?.plugin)
    }

    pub(super) fn plugins(&self) -> impl Iterator<Item = PluginId> {
        self.plugins.iter().map(|plugin| plugin.plugin)
    }

    pub(super) fn vm(&self, index: usize) -> Option<VmId> {
        self.at(index)?.vm
    }

    pub(super) fn set_vm(&mut self, index: usize, vm: VmId) {
        if let Some(plugin) = self.at_mut(index) {
            plugin.vm = Some(vm);
        }
    }

    pub(super) fn has_context(&self, index: usize) -> bool {
        self.at(index).is_some_and(|plugin| plugin.context.is_some())
    }

    /// Returns the VM and the context of a plugin, if it has been reached.
    #[inline]
    pub(super) fn context(&self, index: usize) -> Option<(VmId, ContextId)> {
        let plugin = self.at(index)?;
        Some((plugin.vm?, plugin.context?))
    }

    pub(super) fn set_context(&mut self, index: usize, context: ContextId) {
        if let Some(plugin) = self.at_mut(index) {
            debug_assert!(plugin.context.is_none(), "a plugin has one context in a stream");
            plugin.context = Some(context);
        }
    }

    /// Takes the context of a plugin, which is to be deleted.
    pub(super) fn take_context(&mut self, index: usize) -> Option<(VmId, ContextId)> {
        let plugin = self.at_mut(index)?;
        Some((plugin.vm?, plugin.context.take()?))
    }

    /// Returns the index of the plugin at a position of a direction.
    #[inline]
    pub(super) fn index(&self, direction: Direction, position: usize) -> Option<usize> {
        index_at(direction, position, self.plugins.len())
    }

    /// Returns the position of a plugin in a direction.
    #[inline]
    pub(super) fn position(&self, direction: Direction, index: usize) -> usize {
        position_of(direction, index, self.plugins.len())
    }

    #[inline]
    pub(super) fn gate(&self, direction: Direction, index: usize) -> Option<&Gate> {
        Some(of(&self.at(index)?.gates, direction))
    }

    #[inline]
    pub(super) fn gate_mut(&mut self, direction: Direction, index: usize) -> Option<&mut Gate> {
        Some(of_mut(&mut self.at_mut(index)?.gates, direction))
    }

    /// Returns the indices of plugins that stop a direction, in its order.
    pub(super) fn stopping(&self, direction: Direction) -> impl Iterator<Item = usize> {
        let indices = (0..self.plugins.len()).filter_map(move |position| self.index(direction, position));
        indices.filter(move |index| self.gate(direction, *index).is_some_and(|gate| !gate.is_open()))
    }

    /// Says whether bytes are read without regard to the limit: they pass, or fail the stream if they
    /// are too many.
    pub(super) fn reads_on(&self, direction: Direction) -> bool {
        // They come to the first plugin that holds anything back, and no further.
        let first = self.stopping(direction).next().and_then(|index| self.gate(direction, index));
        first.is_none_or(Gate::fails_when_full)
    }

    /// Notes that a direction begins; says whether it does so for the first time.
    pub(super) fn begin(&mut self, direction: Direction) -> bool {
        !std::mem::replace(&mut of_mut(&mut self.progress, direction).begun, true)
    }

    /// Says whether an item is the first of the stream that plugins are to have a context for.
    #[inline]
    pub(super) fn is_first(&self, direction: Direction, item: &Item) -> bool {
        let is_alone = || !of(&self.progress, Direction::Request).begun && !self.local_response;
        matches!(item, Item::Headers { .. }) && (direction == Direction::Request || is_alone())
    }

    /// Notes what the request says of the response to it.
    pub(super) fn note_request(&mut self, is_head: bool, is_grpc: bool) {
        (self.head_request, self.grpc_request) = (is_head, is_grpc);
    }

    pub(super) fn is_head(&self) -> bool {
        self.head_request
    }

    pub(super) fn is_grpc(&self) -> bool {
        self.grpc_request
    }

    #[inline]
    pub(super) fn is_done(&self, direction: Direction) -> bool {
        of(&self.progress, direction).done
    }

    /// Notes that nothing of a direction matters any more; says whether that is news.
    pub(super) fn finish(&mut self, direction: Direction) -> bool {
        !std::mem::replace(&mut of_mut(&mut self.progress, direction).done, true)
    }

    pub(super) fn are_headers_out(&self, direction: Direction) -> bool {
        of(&self.progress, direction).headers_out
    }

    /// Notes that something has left the chain; nothing follows its `end`.
    pub(super) fn note_out(&mut self, direction: Direction, end: bool) {
        let progress = of_mut(&mut self.progress, direction);
        progress.headers_out = true;
        progress.done |= end;
    }

    /// Notes that the request no longer matters; says whether the driver is to be told.
    pub(super) fn drop_request(&mut self) -> bool {
        let over = self.is_done(Direction::Request) && self.is_done(Direction::Response);
        if over || std::mem::replace(&mut self.request_dropped, true) {
            return false;
        }
        self.finish(Direction::Request);
        true
    }

    pub(super) fn is_local(&self) -> bool {
        self.local_response
    }

    /// Notes that the response is a plugin's or the proxy's own.
    pub(super) fn make_local(&mut self) {
        self.local_response = true;
    }

    pub(super) fn push_effect(&mut self, effect: StreamEffect) {
        self.effects.push_back(effect);
    }

    pub(super) fn next_effect(&mut self) -> Option<StreamEffect> {
        self.effects.pop_front()
    }

    /// Notes that an item is dropped; the log still shows the headers of a request that got no further.
    pub(super) fn note_dropped(&self, direction: Direction, item: Item) {
        if let (Direction::Request, Item::Headers { headers, .. }) = (direction, item) {
            self.info.with(|info| {
                info.request_headers.get_or_insert(headers);
            });
        }
    }

    /// Counts body bytes that come to a plugin.
    #[inline]
    pub(super) fn count_in(&mut self, direction: Direction, index: usize, item: &Item) {
        if let (Item::Data { body, .. }, Some(plugin)) = (item, self.at_mut(index)) {
            *of_mut(&mut plugin.bytes_in, direction) += body.len() as u64;
        }
    }

    /// Counts body bytes that leave the chain.
    #[inline]
    pub(super) fn count_out(&mut self, direction: Direction, item: &Item) {
        if let Item::Data { body, .. } = item {
            *of_mut(&mut self.bytes_out, direction) += body.len() as u64;
        }
    }

    /// Returns the plugins that have made a body of a direction longer or shorter than it came to them; all of them if none has. `held` says
    /// how many bytes a plugin holds.
    pub(super) fn resized(&self, direction: Direction, mut held: impl FnMut(VmId, ContextId) -> u64) -> Vec<PluginId> {
        let mut resized = Vec::new();
        let mut after = *of(&self.bytes_out, direction);
        for position in (0..self.plugins.len()).rev() {
            let index = self.index(direction, position);
            let Some(plugin) = index.and_then(|index| self.at(index)) else { continue };
            let bytes_in = *of(&plugin.bytes_in, direction);
            let held = plugin.vm.zip(plugin.context).map_or(0, |(vm, context)| held(vm, context));
            if bytes_in != after.saturating_add(held) {
                resized.push(plugin.plugin);
            }
            after = bytes_in.saturating_add(of(&plugin.gates, direction).unseen_len() as u64);
        }
        if resized.is_empty() {
            resized.extend(self.plugins.iter().map(|plugin| plugin.plugin));
        }
        resized
    }

    /// Returns a plugin of the stream.
    #[inline]
    fn at(&self, index: usize) -> Option<&StreamPlugin> {
        debug_assert!(index < self.plugins.len(), "plugin {index} of {}", self.plugins.len());
        self.plugins.get(index)
    }

    /// Returns the same, to be changed.
    #[inline]
    fn at_mut(&mut self, index: usize) -> Option<&mut StreamPlugin> {
        debug_assert!(index < self.plugins.len(), "plugin {index} of {}", self.plugins.len());
        self.plugins.get_mut(index)
    }
}

#[inline]
fn of<T>(of_directions: &[T; 2], direction: Direction) -> &T {
    let [request, response] = of_directions;
    match direction {
        Direction::Request => request,
        Direction::Response => response,
    }
}

#[inline]
fn of_mut<T>(of_directions: &mut [T; 2], direction: Direction) -> &mut T {
    let [request, response] = of_directions;
    match direction {
        Direction::Request => request,
        Direction::Response => response,
    }
}
