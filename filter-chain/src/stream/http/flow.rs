//! How headers, data and trailers pass from plugin to plugin (abi: "Filter result values").
//!
//! A plugin has a gate in each direction of a stream. Its states, and what takes it from one to another:
//!
//! | state | what the plugin has | an item comes | the plugin answers | it is continued |
//! |---|---|---|---|---|
//! | open | nothing | is lent, and the plugin called | below | nothing |
//! | held | what it has seen, lent to its context | is lent beside the rest, and the plugin called | below | open; what is held goes on |
//! | stopped | the same; what came later waits unseen | waits unseen | – | open; what is held goes on, then what is unseen comes here again |
//!
//! | the answer to | next state | above the limit | of what is lent |
//! |---|---|---|---|
//! | anything: continue, or a failure | open | | all goes on |
//! | headers: stop iteration | held | waits | |
//! | headers: stop all and buffer | stopped | fails the stream | |
//! | headers: stop all and watermark | stopped | waits | |
//! | data: stop and buffer | held | fails the stream | |
//! | data: stop and watermark | held | waits | |
//! | data: stop, no buffer | held | waits | the body is dropped |
//! | trailers: stop | held | as before | |
//! | anything, when the plugin has answered or cut the stream itself | stopped | waits | |
//!
//! Headers of a request create the contexts of plugins; those of a response do so where the driver has fed no request, as test hosts and
//! CDNs do that have none. A response that the proxy or a plugin makes passes plugins that the request has not reached.
//!
//! An item without a callback passes an open gate, and is added to what a held one has. The end of a stream goes with the last thing that
//! does. `tests/it/gate_model.rs` drives a gate with random events beside a model of these tables.

use portcullis_core::abi::{DataStatus, HeadersStatus, TrailersStatus};
use portcullis_core::model::{Access, Body, ContextId, Direction, Headers, LocalResponse};
use portcullis_core::vm::VmFailed;

use super::Http;
use super::gate::{Gate, Item, Mode};
use super::render::status_of;
use crate::effect::StreamEffect;
use crate::id::{AnyStreamId, PluginId, StreamId, VmId};
use crate::stream::Work;
use crate::vms::Vms;

/// A plugin's place in a direction of a stream.
#[derive(Clone, Copy, Debug)]
struct Place {
    stream: StreamId,
    direction: Direction,
    index: usize,
    vm: VmId,
    context: ContextId,
}

impl Http {
    /// Does what is next on its way; says whether there was something.
    #[inline]
    pub(crate) fn step(&mut self, vms: &mut Vms) -> bool {
        let Some(work) = self.streams.next() else { return false };
        self.take_step(vms, work);
        true
    }

    /// Sees to the oldest stream whose plugin's VM has failed; says whether there was one.
    #[inline]
    pub(crate) fn release_orphan(&mut self, vms: &mut Vms) -> bool {
        let Some((stream, index)) = self.streams.next_orphan() else { return false };
        self.release(vms, stream, index);
        true
    }

    /// Lets a direction go on that a plugin has stopped. One that is not stopped goes on anyway.
    pub(crate) fn resume(&mut self, vms: &mut Vms, stream: StreamId, index: usize, direction: Direction) {
        let Some(state) = self.streams.known_mut(stream) else { return };
        let (position, place) = (state.position(direction, index), state.context(index));
        let Some(gate) = state.gate_mut(direction, index) else { return };
        if gate.is_open() {
            return;
        }
        let released = gate.release();
        self.streams.touch(stream);
        let lent = place.and_then(|(vm, context)| vms.lent(vm, context));
        let seen = lent.map(|lent| {
            let headers = released.held_headers.and_then(|end| Some((lent.take_headers(direction)?, end)));
            let (body, trailers) = (lent.take_body(direction), lent.take_trailers(direction));
            pass_on(headers, body, trailers, released.held_end)
        });
        let seen = seen.into_iter().flatten().map(|item| (position + 1, item));
        let unseen = released.unseen.into_iter().chain(released.unseen_trailers.map(Item::Trailers));
        self.streams.send(stream, direction, position, seen.chain(unseen.map(|item| (position, item))));
    }

    /// Lets a stream go on whose plugin's VM has failed elsewhere: only one that waits for it must act.
    pub(crate) fn release(&mut self, vms: &mut Vms, stream: StreamId, index: usize) {
        if !self.is_paused(stream, index) {
            return;
        }
        if self.fails_open(vms, stream, index) {
            self.resume(vms, stream, index, Direction::Request);
            self.resume(vms, stream, index, Direction::Response);
        } else {
            self.fail_stream(vms, stream);
        }
    }

    /// Ends the pauses of a direction by the failure policies of the plugins that hold it; returns these. Nothing is held of a direction that
    /// does not matter any more.
    pub(crate) fn end_pause(&mut self, vms: &mut Vms, stream: StreamId, direction: Direction) -> Vec<PluginId> {
        let Some(state) = self.streams.get(stream).filter(|state| !state.is_done(direction)) else { return Vec::new() };
        let held: Vec<usize> = state.stopping(direction).collect();
        let plugins = held.iter().filter_map(|index| state.plugin(*index)).collect();
        for index in held {
            if !self.fails_open(vms, stream, index) {
                self.fail_stream(vms, stream);
                break;
            }
            self.resume(vms, stream, index, direction);
        }
        plugins
    }

    /// Makes sure that a plugin of a stream has a context; says whether it has.
    pub(super) fn ensure_context(&mut self, vms: &mut Vms, stream: StreamId, index: usize) -> bool {
        let Some(state) = self.streams.known_mut(stream) else { return false };
        if state.has_context(index) {
            return true;
        }
        let Some(plugin) = state.plugin(index) else { return false };
        // The plugin has ended or been unloaded, or there is no VM for the stream.
        let Some((vm, root)) = vms.root_for(plugin, state.vm(index)) else { return false };
        state.set_vm(index, vm);
        let owner = (AnyStreamId::Http(stream), index);
        // Its VM may have ended for the sake of another stream.
        let Some(Ok(context)) = vms.create((vm, root), owner, state.info().clone()) else { return false };
        state.set_context(index, context);
        true
    }

    fn take_step(&mut self, vms: &mut Vms, work: Work<StreamId, Item>) {
        let Work { stream, direction, position, item } = work;
        let Some(state) = self.streams.known_mut(stream) else { return };
        if state.is_done(direction) {
            return state.note_dropped(direction, item);
        }
        let Some(index) = state.index(direction, position) else {
            state.count_out(direction, &item);
            return self.leave(stream, direction, item);
        };
        let Some(gate) = state.gate_mut(direction, index) else { return };
        if gate.mode() == Mode::Stopped {
            gate.keep(item);
            return self.check_limit(vms, stream, direction, index);
        }
        state.count_in(direction, index, &item);
        let is_first = state.is_first(direction, &item);
        if is_first && !self.ensure_context(vms, stream, index) {
            return self.without_plugin(vms, stream, direction, index, [item]);
        }
        let Some(place) = self.place(stream, direction, index) else {
            // A response passes plugins that its request never reached; a request reaches every plugin.
            if direction == Direction::Request && !self.fails_open(vms, stream, index) {
                return self.without_plugin(vms, stream, direction, index, [item]);
            }
            return self.streams.push_front(stream, direction, position + 1, item);
        };
        match self.without_callback(vms, place, &item) {
            Some(Mode::Open) => return self.streams.push_front(stream, direction, position + 1, item),
            Some(_) => return self.hold(vms, place, item),
            None => {}
        }
        match item {
            Item::Headers { headers, end } => self.headers_at(vms, place, headers, end),
            Item::Data { body, end } => self.data_at(vms, place, body, end),
            Item::Trailers(trailers) => self.trailers_at(vms, place, trailers),
        }
    }

    /// Returns the mode of a plugin that has no callback for an item: what is open lets it pass, what is held goes on holding.
    /// An absent callback decides nothing, least of all that a pause ends.
    ///
    /// differs: in Envoy an item without a callback ends the pause of the plugin.
    fn without_callback(&mut self, vms: &mut Vms, place: Place, item: &Item) -> Option<Mode> {
        let Place { stream, direction, index, vm, context } = place;
        let mode = self.streams.known(stream)?.gate(direction, index)?.mode();
        let vm = vms.get_mut(vm)?;
        let absent = match mode {
            Mode::Open => vm.has_no_callback_for(direction, item.part()),
            Mode::Held | Mode::Stopped => vm.failure().is_none() && !vm.may_hear(context, direction, item.part()),
        };
        absent.then_some(mode)
    }

    /// Adds an item to what a plugin holds.
    fn hold(&mut self, vms: &mut Vms, place: Place, item: Item) {
        let Place { stream, direction, index, .. } = place;
        let Some(lent) = vms.lent(place.vm, place.context) else {
            return self.without_plugin(vms, stream, direction, index, [item]);
        };
        match item {
            Item::Headers { headers, .. } => lent.lend_headers(direction, headers, Access::Write),
            Item::Data { body, end } => {
                lent.lend_body(direction, body);
                self.with_gate(place, |gate| gate.hold(end));
            }
            Item::Trailers(trailers) => lent.lend_trailers(direction, Some(trailers), Access::Write),
        }
        self.check_limit(vms, stream, direction, index);
    }

    fn headers_at(&mut self, vms: &mut Vms, place: Place, headers: Headers, end: bool) {
        let Place { stream, direction, index, context, .. } = place;
        let Some(lent) = vms.lent(place.vm, context) else {
            return self.without_plugin(vms, stream, direction, index, [Item::Headers { headers, end }]);
        };
        lent.lend_headers(direction, headers, Access::Write);
        let status = vms.call(place.vm, |vm| vm.on_headers(context, direction, end)).unwrap_or(Err(VmFailed));
        let answer = answer_to(vms, place, status, HeadersStatus::Continue);
        self.with_gate(place, |gate| gate.headers_seen(answer, end));
        self.proceed(vms, place, status.err());
    }

    fn data_at(&mut self, vms: &mut Vms, place: Place, body: Body, end: bool) {
        let Place { stream, direction, index, context, .. } = place;
        let Some(lent) = vms.lent(place.vm, context) else {
            return self.without_plugin(vms, stream, direction, index, [Item::Data { body, end }]);
        };
        lent.lend_body(direction, body);
        if end {
            // Trailers that do not exist can be created with the last data.
            lent.lend_trailers(direction, None, Access::Write);
        }
        let status = vms.call(place.vm, |vm| vm.on_body(context, direction, end)).unwrap_or(Err(VmFailed));
        if status == Ok(DataStatus::StopNoBuffer)
            && let Some(lent) = vms.lent(place.vm, context)
        {
            lent.take_body(direction);
        }
        let answer = answer_to(vms, place, status, DataStatus::Continue);
        self.with_gate(place, |gate| gate.data_seen(answer, end));
        self.proceed(vms, place, status.err());
    }

    fn trailers_at(&mut self, vms: &mut Vms, place: Place, trailers: Headers) {
        let Place { stream, direction, index, context, .. } = place;
        let Some(lent) = vms.lent(place.vm, context) else {
            return self.without_plugin(vms, stream, direction, index, [Item::Trailers(trailers)]);
        };
        lent.lend_trailers(direction, Some(trailers), Access::Write);
        let status = vms.call(place.vm, |vm| vm.on_trailers(context, direction)).unwrap_or(Err(VmFailed));
        let answer = answer_to(vms, place, status, TrailersStatus::Continue);
        self.with_gate(place, |gate| gate.trailers_seen(answer));
        self.proceed(vms, place, status.err());
    }

    /// Passes on what a plugin no longer holds after its callback.
    fn proceed(&mut self, vms: &mut Vms, place: Place, failed: Option<VmFailed>) {
        let Place { stream, direction, index, vm, context } = place;
        let gate = self.streams.known_mut(stream).and_then(|state| state.gate_mut(direction, index));
        let Some(gate) = gate else { return };
        if !gate.is_open() {
            return self.check_limit(vms, stream, direction, index);
        }
        let (held_headers, held_end) = gate.pass();
        let Some(lent) = vms.lent(vm, context) else {
            debug_assert!(false, "a context goes while its callback runs: {place:?}");
            return;
        };
        let headers = held_headers.and_then(|end| Some((lent.take_headers(direction)?, end)));
        let (body, trailers) = (lent.take_body(direction), lent.take_trailers(direction));
        let items = pass_on(headers, body, trailers, held_end);
        if failed.is_some() {
            return self.without_plugin(vms, stream, direction, index, items);
        }
        self.pass(stream, direction, index, items);
    }

    /// Answers the absence of a plugin (its VM has failed, or its VM, root or context does not exist) by its failure policy:
    /// the stream goes on without it, or fails.
    fn without_plugin(
        &mut self,
        vms: &mut Vms,
        stream: StreamId,
        direction: Direction,
        index: usize,
        items: impl IntoIterator<Item = Item>,
    ) {
        if !self.fails_open(vms, stream, index) {
            self.fail_stream(vms, stream);
        }
        // What belongs to a stream that has failed is dropped on its way.
        self.pass(stream, direction, index, items);
    }

    fn fails_open(&self, vms: &Vms, stream: StreamId, index: usize) -> bool {
        let plugin = self.streams.known(stream).and_then(|state| state.plugin(index));
        plugin.is_some_and(|plugin| vms.is_open(plugin))
    }

    fn pass(&mut self, stream: StreamId, direction: Direction, index: usize, items: impl IntoIterator<Item = Item>) {
        let Some(state) = self.streams.known(stream) else { return };
        let position = state.position(direction, index);
        self.streams.send(stream, direction, position, items.into_iter().map(|item| (position + 1, item)));
    }

    /// Fails a stream that holds more than it may.
    fn check_limit(&mut self, vms: &mut Vms, stream: StreamId, direction: Direction, index: usize) {
        let Some(state) = self.streams.known(stream) else { return };
        let fails = state.gate(direction, index).is_some_and(Gate::fails_when_full);
        if !fails || self.held(vms, stream, direction) <= state.limit() {
            return;
        }
        let (status, body, details) = match direction {
            Direction::Request => (413, "Payload Too Large", "request_payload_too_large"),
            Direction::Response => (500, "Internal Server Error", "response_payload_too_large"),
        };
        let response = LocalResponse::new(status).with_details(details).with_body(body);
        self.reply(vms, stream, response);
    }

    /// Lets out what has passed the last plugin of a direction.
    fn leave(&mut self, stream: StreamId, direction: Direction, item: Item) {
        let Some(state) = self.streams.known_mut(stream) else { return };
        let request = direction == Direction::Request;
        let (effect, end) = state.info().with(|info| match item {
            Item::Headers { headers, end } => {
                if request {
                    info.request_headers = Some(headers);
                } else {
                    info.response_code = status_of(&headers);
                    info.response_headers = Some(headers);
                }
                let response = StreamEffect::ResponseHeaders { local: state.is_local(), end };
                (if request { StreamEffect::RequestHeaders { end } } else { response }, end)
            }
            Item::Data { body, end } if request => (StreamEffect::RequestBody { body, end }, end),
            Item::Data { body, end } => {
                info.response_size += body.len() as u64;
                (StreamEffect::ResponseBody { body, end }, end)
            }
            Item::Trailers(trailers) if request => {
                info.request_trailers = Some(trailers);
                (StreamEffect::RequestTrailers, true)
            }
            Item::Trailers(trailers) => {
                info.response_trailers = Some(trailers);
                (StreamEffect::ResponseTrailers, true)
            }
        });
        state.note_out(direction, end);
        self.emit(stream, effect);
    }

    fn place(&self, stream: StreamId, direction: Direction, index: usize) -> Option<Place> {
        let (vm, context) = self.streams.known(stream)?.context(index)?;
        Some(Place { stream, direction, index, vm, context })
    }

    fn with_gate(&mut self, place: Place, change: impl FnOnce(&mut Gate)) {
        let gate = self.streams.known_mut(place.stream).and_then(|state| state.gate_mut(place.direction, place.index));
        debug_assert!(gate.is_some(), "a stream lasts as long as its plugin is called");
        if let Some(gate) = gate {
            change(gate);
        }
    }
}

/// Returns what a plugin has answered to a callback; none if it has answered or cut the stream itself meanwhile. A VM that has failed holds
/// nothing.
fn answer_to<S>(vms: &Vms, place: Place, status: Result<S, VmFailed>, go_on: S) -> Option<S> {
    match status {
        Ok(_) if vms.is_answered(place.vm, place.context) => None,
        Ok(status) => Some(status),
        Err(VmFailed) => Some(go_on),
    }
}

/// Returns what goes to the next plugin, in order. `ended` says that the end of the stream came as data.
fn pass_on(
    headers: Option<(Headers, bool)>,
    body: Option<Body>,
    trailers: Option<Headers>,
    ended: bool,
) -> impl Iterator<Item = Item> {
    let headers = headers.map(|(headers, end)| Item::Headers { headers, end });
    let end = ended && trailers.is_none();
    let body = body.unwrap_or_default();
    let data = (!body.is_empty() || end).then_some(Item::Data { body, end });
    headers.into_iter().chain(data).chain(trailers.map(Item::Trailers))
}
