//! HTTP streams in a chain.

mod end;
mod flow;
mod gate;
mod render;
mod reply;
mod state;

use std::collections::BTreeSet;

use portcullis_core::model::{Body, Direction, Headers, SharedStreamInfo};
use portcullis_core::vm::Part;

use self::gate::{Item, Mode};
use self::state::HttpStream;
use crate::effect::StreamEffect;
use crate::id::{PluginId, StreamId, VmId};
use crate::stream::{Lacking, Streams};
use crate::vms::Vms;
pub use render::local_response;

/// All HTTP streams of a worker.
#[derive(Debug, Default)]
pub(crate) struct Http {
    streams: Streams<StreamId, HttpStream, Item>,
}

impl Http {
    /// Begins a stream over plugins that stand in this order.
    pub(crate) fn open(
        &mut self,
        info: SharedStreamInfo,
        plugins: impl Iterator<Item = (PluginId, Option<VmId>)>,
        limit: usize,
    ) -> StreamId {
        self.streams.open(HttpStream::new(info, plugins, limit))
    }

    /// Puts the headers of a direction on their way. A second response is ignored.
    pub(crate) fn feed_headers(&mut self, stream: StreamId, direction: Direction, headers: Headers, end: bool) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        if !state.begin(direction) {
            return;
        }
        if direction == Direction::Request {
            let is_grpc = headers.get(b"content-type").is_some_and(render::is_grpc);
            state.note_request(headers.get(b":method") == Some(b"HEAD"), is_grpc);
        } else {
            // Plugins may ask for it while they see the headers.
            state.info().with(|info| info.response_code = render::status_of(&headers));
        }
        self.streams.push_back(stream, direction, 0, Item::Headers { headers, end });
    }

    /// Puts body bytes on their way.
    pub(crate) fn feed_body(&mut self, stream: StreamId, direction: Direction, body: Body, end: bool) {
        let Some(state) = self.streams.get(stream) else { return };
        // As Envoy counts: what came of a request, and what was sent of a response.
        if direction == Direction::Request {
            state.info().with(|info| info.request_size += body.len() as u64);
        }
        self.streams.push_back(stream, direction, 0, Item::Data { body, end });
    }

    /// Puts trailers on their way.
    pub(crate) fn feed_trailers(&mut self, stream: StreamId, direction: Direction, trailers: Headers) {
        if self.streams.get(stream).is_some() {
            self.streams.push_back(stream, direction, 0, Item::Trailers(trailers));
        }
    }

    /// Says whether body bytes of a direction should be read now.
    pub(crate) fn wants_body(&self, vms: &mut Vms, stream: StreamId, direction: Direction) -> bool {
        let Some(state) = self.streams.get(stream) else { return false };
        state.reads_on(direction) || self.held(vms, stream, direction) < state.limit()
    }

    /// Says whether body bytes of a direction would be received by somebody now.
    pub(crate) fn hears_body(&self, vms: &mut Vms, stream: StreamId, direction: Direction) -> bool {
        let Some(state) = self.streams.get(stream) else { return false };
        let Some(first) = state.stopping(direction).next() else { return true };
        let is_held = state.gate(direction, first).is_some_and(|gate| gate.mode() == Mode::Held);
        let hears = state.context(first).and_then(|(vm, context)| Some((vms.get_mut(vm)?, context)));
        is_held && hears.is_some_and(|(vm, context)| vm.may_hear(context, direction, Part::Body))
    }

    /// Returns how many bytes the plugins of a stream hold of a direction.
    pub(crate) fn held(&self, vms: &mut Vms, stream: StreamId, direction: Direction) -> usize {
        let Some(state) = self.streams.known(stream) else { return 0 };
        let held = |index| {
            let lent = state.context(index).and_then(|(vm, context)| vms.lent(vm, context));
            let unseen = state.gate(direction, index).map_or(0, gate::Gate::unseen_len);
            unseen + lent.map_or(0, |lent| lent.body_len(direction))
        };
        state.stopping(direction).map(held).sum()
    }

    /// Names the plugins of a stream that have made a body of a direction longer or shorter than it came to them; all of them if none has.
    pub(crate) fn resized(&self, vms: &mut Vms, stream: StreamId, direction: Direction) -> Vec<String> {
        let Some(state) = self.streams.get(stream) else { return Vec::new() };
        let resized = state
            .resized(direction, |vm, context| vms.lent(vm, context).map_or(0, |lent| lent.body_len(direction) as u64));
        resized.into_iter().filter_map(|plugin| vms.name(plugin).map(str::to_owned)).collect()
    }

    /// Says whether a plugin holds a stream.
    pub(crate) fn is_paused(&self, stream: StreamId, index: usize) -> bool {
        let state = self.streams.known(stream);
        let is_stopped =
            |direction| state.and_then(|state| state.gate(direction, index)).is_some_and(|gate| !gate.is_open());
        is_stopped(Direction::Request) || is_stopped(Direction::Response)
    }

    /// Takes the next thing to do for a stream.
    pub(crate) fn next_effect(&mut self, stream: StreamId) -> Option<StreamEffect> {
        self.streams.get_mut(stream)?.next_effect()
    }

    /// Asks the driver to do something for a stream.
    pub(crate) fn emit(&mut self, stream: StreamId, effect: StreamEffect) {
        if let Some(state) = self.streams.known_mut(stream) {
            state.push_effect(effect);
            self.streams.touch(stream);
        }
    }

    /// Takes the streams that have effects since the last call.
    pub(crate) fn take_touched(&mut self) -> impl Iterator<Item = StreamId> {
        self.streams.take_touched()
    }

    /// Notes that the VM of a plugin in a stream has failed.
    pub(crate) fn orphan(&mut self, stream: StreamId, index: usize) {
        self.streams.orphan(stream, index);
    }

    /// Returns the plugin that is reached next, if it has no VM.
    #[inline]
    pub(crate) fn lacks_vm(&self) -> Option<Lacking<StreamId>> {
        let work = self.streams.peek()?;
        let state = self.streams.known(work.stream)?;
        if !state.is_first(work.direction, &work.item) {
            return None;
        }
        let index = state.index(work.direction, work.position)?;
        if state.vm(index).is_some() || state.is_done(work.direction) {
            return None;
        }
        self.lacks_vm_at(work.stream, index)
    }

    /// Returns a plugin of a stream, if it has no VM.
    pub(crate) fn lacks_vm_at(&self, stream: StreamId, index: usize) -> Option<Lacking<StreamId>> {
        let state = self.streams.known(stream)?;
        if state.vm(index).is_some() {
            return None;
        }
        let connection = state.info().with(|info| info.connection_id);
        Some(Lacking { stream, index, plugin: state.plugin(index)?, connection })
    }

    /// Gives a plugin of a stream the VM that was made for it.
    pub(crate) fn set_vm(&mut self, stream: StreamId, index: usize, vm: VmId) {
        if let Some(state) = self.streams.known_mut(stream) {
            state.set_vm(index, vm);
        }
    }

    /// Returns the plugins that a stream passes.
    pub(crate) fn plugins(&self, stream: StreamId) -> Vec<PluginId> {
        self.streams.get(stream).into_iter().flat_map(HttpStream::plugins).collect()
    }

    /// Returns the VMs that the plugins of a stream are in.
    pub(crate) fn vms(&self, stream: StreamId) -> BTreeSet<VmId> {
        let state = self.streams.get(stream).into_iter();
        state.flat_map(|state| (0..state.plugin_count()).filter_map(|index| state.vm(index))).collect()
    }

    /// Returns how often open streams pass a plugin.
    pub(crate) fn count_over(&self, plugin: PluginId) -> usize {
        self.streams.iter().flat_map(HttpStream::plugins).filter(|of| *of == plugin).count()
    }

    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Returns how often the id of a stream that is over was used, in debug builds.
    pub(crate) fn stale(&self) -> u64 {
        self.streams.stale()
    }
}
