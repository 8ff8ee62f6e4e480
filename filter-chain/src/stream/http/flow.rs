//! How headers, data and trailers pass from plugin to plugin (abi: "Filter result values").

use portcullis_core::{
    Access, Action, Body, ContextId, DataStatus, Direction, FailurePolicy, Headers, HeadersStatus, LocalResponse,
    TrailersStatus, VmFailed, lock,
};

use crate::effect::{Effect, StreamEffect};
use crate::id::{PluginId, StreamId, VmId};
use crate::stream::http::gate::{Item, Mode, Overflow, Stage};
use crate::stream::http::reply::status_of;
use crate::worker::Worker;

/// Something on its way to a position of a stream.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) stream: StreamId,
    pub(crate) direction: Direction,
    pub(crate) position: usize,
    pub(crate) item: Item,
}

/// A plugin's place in a direction of a stream.
#[derive(Clone, Copy, Debug)]
struct Place {
    stream: StreamId,
    direction: Direction,
    index: usize,
    vm: VmId,
    context: ContextId,
}

impl Worker {
    /// Does all that is due. Streams other than the one that was fed are woken.
    pub(crate) fn run(&mut self, fed: Option<StreamId>) {
        loop {
            // What a callback asked for is done before the next callback: a later one must not see it.
            if let Some((vm, action)) = self.actions.pop_front() {
                self.act(vm, action);
            } else if let Some((stream, index)) = self.orphans.pop_front() {
                self.release(stream, index);
            } else if let Some((id, index)) = self.tcp_orphans.pop_front() {
                self.tcp_failed(id, index);
            } else if let Some(work) = self.work.pop_front() {
                self.step(work);
            } else if let Some(work) = self.tcp_work.pop_front() {
                self.step_tcp(work);
            } else {
                break;
            }
        }
        while let Some(vm) = self.left.pop() {
            self.let_go(vm);
        }
        for stream in self.touched.drain(..).filter(|stream| Some(*stream) != fed) {
            self.effects.push_back(Effect::Wake { stream });
        }
        self.effects.extend(self.tcp_touched.drain(..).map(|id| Effect::WakeConnection { id }));
    }

    /// Asks the driver to do something for a stream.
    pub(crate) fn emit(&mut self, stream: StreamId, effect: StreamEffect) {
        if let Some(state) = self.streams.get_mut(stream) {
            state.effects.push_back(effect);
            self.touch(stream);
        }
    }

    /// Lets a direction go on that a plugin has stopped. One that is not stopped goes on anyway.
    pub(crate) fn resume(&mut self, stream: StreamId, index: usize, direction: Direction) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        let position = state.position(direction, index);
        let Some(plugin) = state.plugins.get_mut(index) else { return };
        let (vm, context) = (plugin.vm, plugin.context);
        let stage = std::mem::take(plugin.stage(direction));
        if stage.mode == Mode::Open {
            return;
        }
        self.touch(stream);
        let mut due: Vec<(usize, Item)> = Vec::new();
        if let Some(lent) = context.and_then(|id| self.sandboxes.vms.get_mut(vm)?.vm.stream(id)) {
            let headers = stage.held_headers.and_then(|end| lent.take_headers(direction).map(|headers| (headers, end)));
            let held = (lent.take_body(direction), lent.take_trailers(direction));
            due.extend(
                pass_on(headers, held.0, held.1, stage.ended && stage.mode == Mode::Held).map(|i| (position + 1, i)),
            );
        }
        if stage.mode == Mode::Stopped {
            let Stage { unseen, ended, unseen_trailers, .. } = stage;
            if !unseen.is_empty() || ended {
                due.push((position, Item::Data { body: unseen, end: ended }));
            }
            due.extend(unseen_trailers.map(|trailers| (position, Item::Trailers(trailers))));
        }
        self.send(stream, direction, position, due);
    }

    /// Puts items, each with the position that it goes to, on their way from a position: before all
    /// that is behind them, after all that is ahead. An item is at its end before the next begins.
    fn send(
        &mut self,
        stream: StreamId,
        direction: Direction,
        from: usize,
        items: impl IntoIterator<Item = (usize, Item)>,
    ) {
        let is_ahead = |work: &Work| work.stream == stream && work.direction == direction && work.position > from;
        let first = self.work.iter().rposition(is_ahead).map_or(0, |last| last + 1);
        for (offset, (position, item)) in items.into_iter().enumerate() {
            self.work.insert(first + offset, Work { stream, direction, position, item });
        }
    }

    /// Makes sure that a plugin of a stream has a context; says whether it has.
    pub(crate) fn ensure_context(&mut self, stream: StreamId, index: usize) -> bool {
        let Some(state) = self.streams.get_mut(stream) else { return false };
        let Some(plugin) = state.plugins.get_mut(index) else { return false };
        if plugin.context.is_some() {
            return true;
        }
        let (of, vm) = (plugin.plugin, plugin.vm);
        let connection = if vm.is_none() { lock(&state.info).connection_id } else { 0 };
        let Some((vm, root)) = self.root_for(of, vm, connection) else { return false };
        let Some(state) = self.streams.get_mut(stream) else { return false };
        let Some(plugin) = state.plugins.get_mut(index) else { return false };
        plugin.vm = Some(vm);
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { return false };
        let created = sandbox.vm.create_stream(root, state.info.clone());
        if let Ok(context) = created {
            plugin.context = Some(context);
            sandbox.contexts.insert(context, (stream, index));
        }
        self.after_call(vm, created.is_err());
        created.is_ok()
    }

    /// Takes back all that plugins of a stream hold: maps to the stream's info, bodies to nowhere.
    pub(crate) fn reclaim(&mut self, stream: StreamId) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        let mut info = lock(&state.info);
        for plugin in &state.plugins {
            let Some(sandbox) = self.sandboxes.vms.get_mut(plugin.vm) else { continue };
            let Some(lent) = plugin.context.and_then(|context| sandbox.vm.stream(context)) else { continue };
            let keep = |slot: &mut Option<Headers>, map: Option<Headers>| {
                if map.is_some() {
                    *slot = map;
                }
            };
            keep(&mut info.request_headers, lent.take_headers(Direction::Request));
            keep(&mut info.request_trailers, lent.take_trailers(Direction::Request));
            keep(&mut info.response_headers, lent.take_headers(Direction::Response));
            keep(&mut info.response_trailers, lent.take_trailers(Direction::Response));
            lent.take_body(Direction::Request);
            lent.take_body(Direction::Response);
        }
    }

    /// How many bytes the plugins of a stream hold of a direction.
    pub(crate) fn held(&mut self, stream: StreamId, direction: Direction) -> usize {
        let Some(state) = self.streams.get(stream) else { return 0 };
        let stopped = state.plugins.iter().filter(|plugin| plugin.stage_ref(direction).mode != Mode::Open);
        stopped
            .map(|plugin| {
                let lent = self.sandboxes.vms.get_mut(plugin.vm).zip(plugin.context);
                let lent = lent.and_then(|(sandbox, context)| sandbox.vm.stream(context));
                plugin.stage_ref(direction).unseen.len() + lent.map_or(0, |lent| lent.body_len(direction))
            })
            .sum()
    }

    fn touch(&mut self, stream: StreamId) {
        if !self.touched.contains(&stream) {
            self.touched.push(stream);
        }
    }

    fn step(&mut self, work: Work) {
        let Work { stream, direction, position, item } = work;
        let Some(state) = self.streams.get_mut(stream) else { return };
        if state.progress(direction).done {
            return state.note_dropped(direction, item);
        }
        let Some(index) = state.index(direction, position) else {
            state.count(direction, None, &item);
            return self.leave(stream, direction, item);
        };
        let Some(stage) = state.stage(direction, index) else { return };
        if stage.mode == Mode::Stopped {
            stage.keep(item);
            return self.check_limit(stream, direction, index);
        }
        state.count(direction, Some(index), &item);
        if direction == Direction::Request
            && matches!(item, Item::Headers { .. })
            && !self.ensure_context(stream, index)
        {
            return self.without_plugin(stream, direction, index, [item]);
        }
        let pass = |item| Work { stream, direction, position: position + 1, item };
        let Some(place) = self.place(stream, direction, index) else {
            // A response passes plugins that its request never reached; a request reaches every plugin.
            if direction == Direction::Request && !self.fails_open(stream, index) {
                return self.without_plugin(stream, direction, index, [item]);
            }
            return self.work.push_front(pass(item));
        };
        match self.without_callback(place, &item) {
            Some(Mode::Open) => return self.work.push_front(pass(item)),
            Some(_) => return self.hold(place, item),
            None => {}
        }
        match item {
            Item::Headers { headers, end } => self.headers_at(place, headers, end),
            Item::Data { body, end } => self.data_at(place, body, end),
            Item::Trailers(trailers) => self.trailers_at(place, trailers),
        }
    }

    /// The mode of a plugin that has no callback for an item: what is open lets it pass, what is held goes on holding.
    /// An absent callback decides nothing, least of all that a pause ends.
    ///
    /// differs: in Envoy an item without a callback ends the pause of the plugin.
    fn without_callback(&mut self, place: Place, item: &Item) -> Option<Mode> {
        let Place { stream, direction, index, vm, context } = place;
        let mode = self.streams.get(stream)?.plugins.get(index)?.stage_ref(direction).mode;
        let vm = &mut self.sandboxes.vms.get_mut(vm)?.vm;
        let absent = match mode {
            Mode::Open => vm.is_deaf_to(direction, item.part()),
            Mode::Held | Mode::Stopped => vm.failure().is_none() && !vm.may_hear(context, direction, item.part()),
        };
        absent.then_some(mode)
    }

    /// Adds an item to what a plugin holds.
    fn hold(&mut self, place: Place, item: Item) {
        let Place { stream, direction, index, .. } = place;
        let lent = self.sandboxes.vms.get_mut(place.vm).and_then(|sandbox| sandbox.vm.stream(place.context));
        let Some(lent) = lent else { return self.without_plugin(stream, direction, index, [item]) };
        match item {
            Item::Headers { headers, .. } => lent.lend_headers(direction, headers, Access::Write),
            Item::Data { body, end } => {
                lent.lend_body(direction, body);
                self.with_stage(place, |stage| stage.ended |= end);
            }
            Item::Trailers(trailers) => lent.lend_trailers(direction, Some(trailers), Access::Write),
        }
        self.check_limit(stream, direction, index);
    }

    fn headers_at(&mut self, place: Place, headers: Headers, end: bool) {
        let Place { stream, direction, index, context, .. } = place;
        let Some(sandbox) = self.sandboxes.vms.get_mut(place.vm) else {
            return self.without_plugin(stream, direction, index, [Item::Headers { headers, end }]);
        };
        let Some(lent) = sandbox.vm.stream(context) else {
            return self.without_plugin(stream, direction, index, [Item::Headers { headers, end }]);
        };
        lent.lend_headers(direction, headers, Access::Write);
        let status = sandbox.vm.on_headers(context, direction, end);
        self.after_call(place.vm, status.is_err());
        let (mode, overflow) = match status {
            Ok(_) if self.is_answered(place) => (Mode::Stopped, Overflow::Wait),
            Ok(HeadersStatus::Continue) | Err(VmFailed) => (Mode::Open, Overflow::Wait),
            Ok(HeadersStatus::StopIteration) => (Mode::Held, Overflow::Wait),
            Ok(HeadersStatus::StopAllAndBuffer) => (Mode::Stopped, Overflow::Fail),
            Ok(HeadersStatus::StopAllAndWatermark) => (Mode::Stopped, Overflow::Wait),
        };
        self.with_stage(place, |stage| {
            (stage.mode, stage.overflow, stage.held_headers) = (mode, overflow, Some(end));
        });
        self.proceed(place, status.err());
    }

    fn data_at(&mut self, place: Place, body: Body, end: bool) {
        let Place { stream, direction, index, context, .. } = place;
        let Some(sandbox) = self.sandboxes.vms.get_mut(place.vm) else {
            return self.without_plugin(stream, direction, index, [Item::Data { body, end }]);
        };
        let Some(lent) = sandbox.vm.stream(context) else {
            return self.without_plugin(stream, direction, index, [Item::Data { body, end }]);
        };
        lent.lend_body(direction, body);
        if end {
            // Trailers that do not exist can be created with the last data.
            lent.lend_trailers(direction, None, Access::Write);
        }
        let status = sandbox.vm.on_body(context, direction, end);
        if status == Ok(DataStatus::StopNoBuffer)
            && let Some(lent) = sandbox.vm.stream(context)
        {
            lent.take_body(direction);
        }
        self.after_call(place.vm, status.is_err());
        let (mode, overflow) = match status {
            Ok(_) if self.is_answered(place) => (Mode::Stopped, Overflow::Wait),
            Ok(DataStatus::Continue) | Err(VmFailed) => (Mode::Open, Overflow::Wait),
            Ok(DataStatus::StopAndBuffer) => (Mode::Held, Overflow::Fail),
            Ok(DataStatus::StopAndWatermark | DataStatus::StopNoBuffer) => (Mode::Held, Overflow::Wait),
        };
        self.with_stage(place, |stage| {
            (stage.mode, stage.overflow, stage.ended) = (mode, overflow, end);
        });
        self.proceed(place, status.err());
    }

    fn trailers_at(&mut self, place: Place, trailers: Headers) {
        let Place { stream, direction, index, context, .. } = place;
        let Some(sandbox) = self.sandboxes.vms.get_mut(place.vm) else {
            return self.without_plugin(stream, direction, index, [Item::Trailers(trailers)]);
        };
        let Some(lent) = sandbox.vm.stream(context) else {
            return self.without_plugin(stream, direction, index, [Item::Trailers(trailers)]);
        };
        lent.lend_trailers(direction, Some(trailers), Access::Write);
        let status = sandbox.vm.on_trailers(context, direction);
        self.after_call(place.vm, status.is_err());
        let mode = match status {
            Ok(_) if self.is_answered(place) => Mode::Stopped,
            Ok(TrailersStatus::Continue) | Err(VmFailed) => Mode::Open,
            Ok(TrailersStatus::StopIteration) => Mode::Held,
        };
        self.with_stage(place, |stage| stage.mode = mode);
        self.proceed(place, status.err());
    }

    /// After a callback: passes on what the plugin no longer holds.
    fn proceed(&mut self, place: Place, failed: Option<VmFailed>) {
        let Place { stream, direction, index, vm, context } = place;
        let mut stage = Stage::default();
        self.with_stage(place, |state| {
            if state.mode == Mode::Open {
                stage = std::mem::take(state);
            } else {
                stage.mode = state.mode;
            }
        });
        if stage.mode != Mode::Open {
            return self.check_limit(stream, direction, index);
        }
        let Some(sandbox) = self.sandboxes.vms.get_mut(vm) else { return };
        let Some(lent) = sandbox.vm.stream(context) else { return };
        let headers = stage.held_headers.and_then(|end| lent.take_headers(direction).map(|headers| (headers, end)));
        let (body, trailers) = (lent.take_body(direction), lent.take_trailers(direction));
        let items = pass_on(headers, body, trailers, stage.ended);
        if failed.is_some() {
            return self.without_plugin(stream, direction, index, items);
        }
        self.pass(stream, direction, index, items);
    }

    /// Answers the absence of a plugin (its VM has failed, or its VM, root or context does not exist) by its failure policy:
    /// the stream goes on without it, or fails.
    fn without_plugin(
        &mut self,
        stream: StreamId,
        direction: Direction,
        index: usize,
        items: impl IntoIterator<Item = Item>,
    ) {
        if !self.fails_open(stream, index) {
            self.fail_stream(stream);
        }
        // What belongs to a stream that has failed is dropped on its way.
        self.pass(stream, direction, index, items);
    }

    /// What a stream does whose plugin's VM has failed elsewhere: only one that waits for it must act.
    pub(crate) fn release(&mut self, stream: StreamId, index: usize) {
        let Some(plugin) = self.streams.get(stream).and_then(|state| state.plugins.get(index)) else { return };
        let waits = |direction| plugin.stage_ref(direction).mode != Mode::Open;
        if !waits(Direction::Request) && !waits(Direction::Response) {
            return;
        }
        if self.fails_open(stream, index) {
            self.resume(stream, index, Direction::Request);
            self.resume(stream, index, Direction::Response);
        } else {
            self.fail_stream(stream);
        }
    }

    fn fails_open(&self, stream: StreamId, index: usize) -> bool {
        let plugin = self.streams.get(stream).and_then(|state| state.plugins.get(index));
        plugin.is_some_and(|plugin| self.policy_is_open(plugin.plugin))
    }

    pub(crate) fn policy_is_open(&self, plugin: PluginId) -> bool {
        let loaded = self.sandboxes.plugins.get(plugin.index());
        loaded.is_some_and(|loaded| loaded.plugin.failure_policy == FailurePolicy::Open)
    }

    fn pass(&mut self, stream: StreamId, direction: Direction, index: usize, items: impl IntoIterator<Item = Item>) {
        let Some(state) = self.streams.get(stream) else { return };
        let position = state.position(direction, index);
        self.send(stream, direction, position, items.into_iter().map(|item| (position + 1, item)));
    }

    /// Fails a stream that holds more than it may.
    fn check_limit(&mut self, stream: StreamId, direction: Direction, index: usize) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        let limit = state.limit;
        let fails = state.stage(direction, index).is_some_and(|stage| stage.overflow == Overflow::Fail);
        if !fails || self.held(stream, direction) <= limit {
            return;
        }
        let (status, body, details) = match direction {
            Direction::Request => (413, "Payload Too Large", "request_payload_too_large"),
            Direction::Response => (500, "Internal Server Error", "response_payload_too_large"),
        };
        self.local_reply(
            stream,
            LocalResponse { status, details: details.to_owned(), body: body.into(), ..LocalResponse::default() },
        );
    }

    /// What has passed the last plugin of a direction.
    fn leave(&mut self, stream: StreamId, direction: Direction, item: Item) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        let mut info = lock(&state.info);
        let request = direction == Direction::Request;
        let (effect, end) = match item {
            Item::Headers { headers, end } => {
                if request {
                    info.request_headers = Some(headers);
                } else {
                    info.response_code = status_of(&headers);
                    info.response_headers = Some(headers);
                }
                let local = state.local_response;
                let response = StreamEffect::ResponseHeaders { local, end };
                (if request { StreamEffect::RequestHeaders { end } } else { response }, end)
            }
            Item::Data { body, end } if request => (StreamEffect::RequestBody { body, end }, end),
            Item::Data { body, end } => {
                info.response_size += body.len() as u64;
                (StreamEffect::ResponseBody { body, end }, end)
            }
            Item::Trailers(trailers) if trailers.is_empty() => {
                let (body, end) = (Body::new(), true);
                (
                    if request {
                        StreamEffect::RequestBody { body, end }
                    } else {
                        StreamEffect::ResponseBody { body, end }
                    },
                    true,
                )
            }
            Item::Trailers(trailers) if request => {
                info.request_trailers = Some(trailers);
                (StreamEffect::RequestTrailers, true)
            }
            Item::Trailers(trailers) => {
                info.response_trailers = Some(trailers);
                (StreamEffect::ResponseTrailers, true)
            }
        };
        drop(info);
        let progress = state.progress(direction);
        progress.headers_out = true;
        progress.done |= end;
        self.emit(stream, effect);
    }

    /// Whether the plugin has answered or cut the stream in the callback that just returned.
    fn is_answered(&self, place: Place) -> bool {
        self.actions.iter().any(|(vm, action)| {
            *vm == place.vm
                && matches!(action, Action::LocalResponse { context, .. } | Action::Close { context, .. } if *context == place.context)
        })
    }

    fn place(&self, stream: StreamId, direction: Direction, index: usize) -> Option<Place> {
        let plugin = self.streams.get(stream)?.plugins.get(index)?;
        Some(Place { stream, direction, index, vm: plugin.vm?, context: plugin.context? })
    }

    fn with_stage(&mut self, place: Place, change: impl FnOnce(&mut Stage)) {
        let stage = self.streams.get_mut(place.stream).and_then(|state| state.stage(place.direction, place.index));
        if let Some(stage) = stage {
            change(stage);
        }
    }
}

/// What goes to the next plugin, in order. `ended` says that the end of the stream came as data.
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
