//! One stream.
//!
//! Hooks of a filter run within others, where Envoy is told to go on or is given an answer. So a filter is shared, not borrowed for change:
//! its parts are borrowed for a moment each, and never while Envoy, a plugin or the driver is called.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::task::Waker;

use portcullis::abi::LogLevel;
use portcullis::chain::{StreamEffect, StreamId};
use portcullis::model::{Body, Direction, Headers, SharedStreamInfo, StreamInfo};
use portcullis::vm::Part;
use portcullis::{Chain, Worker};

use super::answer::{self, Answer};
use super::length::tells_of_another;
use super::status::{BodyStatus, HeadersStatus, TrailersStatus};
use super::way::{Left, Way};
use crate::attributes::CONNECTION_ID;
use crate::call::{Call, WOKEN};
use crate::envoy::{self, Bytes, Http, Map, NotWritten, StreamAttributes};
use crate::process::{Loaded, Shard};

/// How much a direction may hold where Envoy has no limit.
const LIMIT: usize = 1 << 20;

/// A stream in a filter.
#[derive(Debug)]
pub(crate) struct Filter {
    shard: Shard,
    chain: Chain,
    loaded: Arc<Loaded>,
    stream: Cell<Option<StreamId>>,
    info: SharedStreamInfo,
    attributes: Arc<dyn StreamAttributes>,
    request: Cell<Way>,
    response: Cell<Way>,
    /// Parts that have left the chain and are not given to Envoy: those of one direction may come in a hook of the other.
    left: RefCell<[Left; 2]>,
    answer: RefCell<Answer>,
    /// The stream was answered or cut here: nothing else of it matters.
    is_concluded: Cell<bool>,
    waker: RefCell<Option<Arc<Call>>>,
    /// The revision of properties that Envoy knows.
    published: Cell<u64>,
}

/// Effects of one step.
#[derive(Debug, Default)]
struct Step {
    clears_route: bool,
    reset: Option<&'static str>,
}

impl Filter {
    /// Begins a stream; `None` if the plugin runs nowhere.
    pub(super) fn new(loaded: &Arc<Loaded>, envoy: &mut dyn Http) -> Option<Self> {
        let (shard, chain) = loaded.on(envoy.worker())?;
        let attributes = envoy.attributes();
        let pulled: Arc<dyn portcullis::model::Attributes> = Arc::<dyn StreamAttributes>::clone(&attributes);
        let info = StreamInfo {
            connection_id: envoy.number(CONNECTION_ID).unwrap_or_default(),
            start_time: loaded.process().host().clock.wall(),
            attributes: Some(pulled),
            ..StreamInfo::default()
        };
        Some(Self {
            shard: shard.clone(),
            chain: chain.clone(),
            loaded: Arc::clone(loaded),
            stream: Cell::new(None),
            info: info.into_shared(),
            attributes,
            request: Cell::default(),
            response: Cell::default(),
            left: RefCell::default(),
            answer: RefCell::default(),
            is_concluded: Cell::new(false),
            waker: RefCell::default(),
            published: Cell::new(0),
        })
    }

    pub(crate) fn headers(&self, envoy: &mut dyn Http, direction: Direction, end: bool) -> HeadersStatus {
        // The answer that this filter has made passes it by.
        if self.is_concluded.get() {
            return match direction {
                Direction::Request => HeadersStatus::StopIteration,
                Direction::Response => HeadersStatus::Continue,
            };
        }
        let map = Map::headers(direction);
        let headers = envoy.entries(map).map(|entries| envoy::copy(&entries)).unwrap_or_default();
        self.change(direction, |way| {
            way.ended = end;
            way.length.begin(&headers);
        });
        let limit = match envoy.buffer_limit() {
            0 => LIMIT,
            limit => usize::try_from(limit).unwrap_or(LIMIT),
        };
        let step = self.step(limit, |worker, stream| worker.headers(stream, direction, headers, end));
        if self.conclude(envoy, &step) {
            return HeadersStatus::StopIteration;
        }
        let left = self.take(direction);
        let goes_on = self.give(envoy, direction, left);
        if goes_on {
            return HeadersStatus::Continue;
        }
        if self.is_concluded.get() {
            return HeadersStatus::StopIteration;
        }
        self.pause(envoy, direction);
        let hears =
            self.stream.get().is_none_or(|stream| self.shard.with(|worker| worker.hears_body(stream, direction)));
        if hears || end { HeadersStatus::StopIteration } else { HeadersStatus::StopAllIterationAndWatermark }
    }

    pub(crate) fn body(&self, envoy: &mut dyn Http, direction: Direction, end: bool) -> BodyStatus {
        if self.is_concluded.get() {
            return match direction {
                Direction::Request => BodyStatus::StopIterationNoBuffer,
                Direction::Response => BodyStatus::Continue,
            };
        }
        self.change(direction, |way| way.ended = end);
        let received = Bytes::received(direction);
        let is_buffered = envoy.received_is_buffered(direction);
        if is_buffered {
            // What was left to weigh comes again, before what another filter has kept.
            self.drop_ballast(envoy, direction, received);
        }
        if self.passes_by(direction, Part::Body) {
            let length = envoy.body_len(received);
            self.change(direction, |way| way.length.receive(length));
            self.info.with(|info| match direction {
                Direction::Request => info.request_size += length as u64,
                Direction::Response => info.response_size += length as u64,
            });
            return match self.hold_to_length(envoy, direction, length, end) {
                true => BodyStatus::Continue,
                false => BodyStatus::StopIterationNoBuffer,
            };
        }
        let piece = envoy.body(received);
        let (first, length) = (piece.as_ptr(), piece.len());
        self.change(direction, |way| way.length.receive(length));
        let step = self.step(LIMIT, |worker, stream| worker.body(stream, direction, Body::from(piece), end));
        if self.conclude(envoy, &step) {
            return BodyStatus::StopIterationNoBuffer;
        }
        let left = self.take(direction);
        if !self.give_headers(envoy, direction, &left) {
            return BodyStatus::StopIterationNoBuffer;
        }
        let way = self.way(direction);
        if left.body.is_empty() && !left.end && self.holds(direction, length) {
            self.pause(envoy, direction);
            if !is_buffered && envoy.body_len(Bytes::buffered(direction)) != way.ballast {
                return BodyStatus::StopIterationNoBuffer;
            }
            // The chain has the bytes; these only weigh.
            self.change(direction, |way| way.ballast += length);
            return BodyStatus::StopIterationAndWatermark;
        }
        self.drop_ballast(envoy, direction, Bytes::buffered(direction));
        let body = left.body.to_bytes();
        // Bytes that come out as they went in are Envoy's still.
        if body.len() != length || (length > 0 && body.as_ptr() != first) {
            envoy.drain(received, length);
            if !body.is_empty() {
                envoy.append(received, &body);
            }
        }
        if way.may_go_on() && self.held(direction) == 0 {
            self.change(direction, |way| way.is_stopped = false);
            return BodyStatus::Continue;
        }
        self.pause(envoy, direction);
        BodyStatus::StopIterationAndWatermark
    }

    pub(crate) fn trailers(&self, envoy: &mut dyn Http, direction: Direction) -> TrailersStatus {
        if self.is_concluded.get() {
            return match direction {
                Direction::Request => TrailersStatus::StopIteration,
                Direction::Response => TrailersStatus::Continue,
            };
        }
        self.change(direction, |way| way.ended = true);
        if self.passes_by(direction, Part::Trailers) {
            return match self.hold_to_length(envoy, direction, 0, true) {
                true => TrailersStatus::Continue,
                false => TrailersStatus::StopIteration,
            };
        }
        let entries = envoy.entries(Map::trailers(direction));
        let trailers = entries.map(|entries| envoy::copy(&entries)).unwrap_or_default();
        let step = self.step(LIMIT, |worker, stream| worker.trailers(stream, direction, trailers));
        if self.conclude(envoy, &step) {
            return TrailersStatus::StopIteration;
        }
        let left = self.take(direction);
        if self.give(envoy, direction, left) {
            return TrailersStatus::Continue;
        }
        if !self.is_concluded.get() {
            self.pause(envoy, direction);
        }
        TrailersStatus::StopIteration
    }

    /// Carries out what has come for the stream from elsewhere.
    pub(crate) fn woken(&self, envoy: &mut dyn Http) {
        if self.is_concluded.get() || self.stream.get().is_none() {
            return;
        }
        let step = self.step(LIMIT, |_, _| ());
        if self.conclude(envoy, &step) {
            return;
        }
        for direction in [Direction::Request, Direction::Response] {
            let left = self.take(direction);
            // What Envoy has called meanwhile may have ended the stream.
            if left.is_nothing() || self.is_concluded.get() || !self.give(envoy, direction, left) {
                continue;
            }
            // Hooks of this filter run meanwhile; each finds the direction going.
            if self.stop_waiting(direction) {
                envoy.go_on(direction);
            }
        }
    }

    /// Ends the stream, however it has ended. Plugins log it now, before Envoy writes its access logs.
    pub(crate) fn complete(&self, envoy: Option<&mut dyn Http>) {
        let Some(stream) = self.stream.take() else { return };
        self.is_concluded.set(true);
        let now = self.loaded.process().host().clock.wall();
        self.info.with(|info| info.duration = Some(now.saturating_sub(info.start_time)));
        self.shard.finish(stream);
        if let Some(envoy) = envoy {
            self.publish(envoy);
        }
    }

    /// Ends the filter: nothing of Envoy's is used from now on.
    pub(crate) fn close(&self) {
        self.complete(None);
        self.attributes.close();
        if let Some(call) = self.waker.take() {
            call.close();
        }
    }

    /// Feeds the chain and takes what comes of it. Nothing is borrowed and no lock is held when it returns.
    fn step(&self, limit: usize, feed: impl FnOnce(&mut Worker, StreamId)) -> Step {
        let mut effects = Vec::new();
        let known = self.stream.get();
        let stream = self.shard.with(|worker| {
            let stream = known.unwrap_or_else(|| worker.open(&self.chain, self.info.clone(), limit));
            feed(worker, stream);
            effects.extend(std::iter::from_fn(|| worker.stream_effect(stream)));
            stream
        });
        self.stream.set(Some(stream));
        self.shard.pump();
        let mut step = Step::default();
        let mut left = self.left.borrow_mut();
        for effect in effects {
            self.note(effect, &mut step, &mut left);
        }
        step
    }

    /// Takes what has left the chain in a direction. If the other one has something, too, the filter is called for it.
    fn take(&self, direction: Direction) -> Left {
        let (left, other) = {
            let [request, response] = &mut *self.left.borrow_mut();
            let (own, other) = match direction {
                Direction::Request => (request, response),
                Direction::Response => (response, request),
            };
            (std::mem::take(own), !other.is_nothing())
        };
        self.change(direction, |way| way.note(&left));
        if other && let Some(call) = self.waker.borrow().clone() {
            call.call(WOKEN);
        }
        left
    }

    fn note(&self, effect: StreamEffect, step: &mut Step, [request, response]: &mut [Left; 2]) {
        match effect {
            StreamEffect::RequestHeaders { end } => request.push_headers(end),
            StreamEffect::RequestBody { body, end } => request.push_body(body, end),
            StreamEffect::RequestTrailers => request.push_trailers(),
            StreamEffect::ResponseHeaders { local: true, end } => self.answer.borrow_mut().begin(&self.info, end),
            StreamEffect::ResponseHeaders { local: false, end } => response.push_headers(end),
            StreamEffect::ResponseBody { body, end } => {
                let mut answer = self.answer.borrow_mut();
                if answer.is_begun() { answer.push(body, end) } else { response.push_body(body, end) }
            }
            StreamEffect::ResponseTrailers => response.push_trailers(),
            StreamEffect::RouteCleared => step.clears_route = true,
            StreamEffect::Reset { reason } => step.reset = Some(reason),
            // The answer comes, or a reset does.
            _ => {}
        }
    }

    /// Answers or cuts the stream if plugins have; returns whether that is so.
    fn conclude(&self, envoy: &mut dyn Http, step: &Step) -> bool {
        if step.clears_route {
            envoy.clear_route();
        }
        self.publish(envoy);
        if let Some(reason) = step.reset {
            self.is_concluded.set(true);
            envoy.cut(reason.as_bytes());
            return true;
        }
        let answer = self.answer.borrow_mut().take();
        let Some((headers, body)) = answer else { return false };
        self.is_concluded.set(true);
        let details = self.info.with(|info| info.response_details.clone()).unwrap_or_default();
        answer::send(envoy, &headers, &body, &details);
        true
    }

    /// Puts what has left the chain in the place of what Envoy keeps; returns whether Envoy may go on.
    fn give(&self, envoy: &mut dyn Http, direction: Direction, left: Left) -> bool {
        if !self.give_headers(envoy, direction, &left) {
            return false;
        }
        let body = left.body.to_bytes();
        let way = self.way(direction);
        if !body.is_empty() || left.end {
            self.drop_ballast(envoy, direction, Bytes::buffered(direction));
        }
        if !body.is_empty() {
            envoy.append(Bytes::buffered(direction), &body);
        }
        if left.trailers {
            let map = Map::trailers(direction);
            let trailers = self.info.with(|info| match direction {
                Direction::Request => info.request_trailers.clone(),
                Direction::Response => info.response_trailers.clone(),
            });
            match envoy::write_back(envoy, map, &trailers.unwrap_or_default()) {
                Ok(()) => {}
                Err(NotWritten::NoMap) => self.loaded.process().note_lost_trailers(),
                Err(NotWritten::Unsendable(name)) => {
                    self.refuse(envoy, &name, true);
                    return false;
                }
            }
        }
        way.may_go_on() && self.held(direction) == 0
    }

    /// Puts headers that have left the chain in the place of Envoy's, and holds what follows to them; returns false if the stream has ended.
    fn give_headers(&self, envoy: &mut dyn Http, direction: Direction, left: &Left) -> bool {
        if left.headers {
            self.write_headers(envoy, direction, left);
        }
        !self.is_concluded.get() && self.hold_to_length(envoy, direction, left.body.len(), left.end)
    }

    fn write_headers(&self, envoy: &mut dyn Http, direction: Direction, left: &Left) {
        // Put back at once: plugins read them there.
        let headers = self.info.with(|info| match direction {
            Direction::Request => info.request_headers.take(),
            Direction::Response => info.response_headers.take(),
        });
        let Some(mut headers) = headers else { return };
        if direction == Direction::Request || !tells_of_another(envoy, &headers) {
            let held = self.held(direction);
            self.change(direction, |way| way.length.settle(&mut headers, left.body.len(), left.end, held));
        }
        let written = envoy::write_back(envoy, Map::headers(direction), &headers);
        self.info.with(|info| match direction {
            Direction::Request => info.request_headers = Some(headers),
            Direction::Response => info.response_headers = Some(headers),
        });
        if let Err(NotWritten::Unsendable(name)) = written {
            self.refuse(envoy, &name, false);
        }
    }

    /// Counts bytes of a body that go on. If its head has promised another length, the stream is cut; returns whether it goes on.
    fn hold_to_length(&self, envoy: &mut dyn Http, direction: Direction, bytes: usize, end: bool) -> bool {
        let mut may = true;
        self.change(direction, |way| may = way.length.leave(bytes, end));
        if may {
            return true;
        }
        self.is_concluded.set(true);
        let resized = |stream| self.shard.with(|worker| worker.resized(stream, direction));
        let plugins = self.stream.get().map(resized).unwrap_or_default().join(", ");
        let message = format!("{direction:?}").to_lowercase();
        let line = format!(
            "the plugin {plugins} made the {message}'s body longer or shorter than its content-length, which has been sent; the \
             stream is cut. A plugin that changes bodies removes content-length, or holds the head until it has the whole body"
        );
        self.loaded.process().host().say(LogLevel::Error, &line);
        envoy.cut(b"portcullis_length_mismatch");
        false
    }

    /// Ends a stream of which a plugin has left a header that cannot be sent.
    fn refuse(&self, envoy: &mut dyn Http, name: &str, has_begun: bool) {
        const DETAILS: &[u8] = b"portcullis_unsendable_header";
        self.is_concluded.set(true);
        let line = format!("a plugin made the header {name:?} invalid; the stream is ended");
        self.loaded.process().host().say(LogLevel::Error, &line);
        if has_begun {
            envoy.cut(DETAILS);
        } else {
            envoy.respond(500, &Headers::new(), b"", DETAILS);
        }
    }

    /// Removes from Envoy's buffer what was given to the chain.
    fn drop_ballast(&self, envoy: &mut dyn Http, direction: Direction, of: Bytes) {
        let length = self.way(direction).ballast;
        if length > 0 {
            envoy.drain(of, length);
            self.change(direction, |way| way.ballast = 0);
        }
    }

    /// Returns how many bytes of a body plugins hold.
    fn held(&self, direction: Direction) -> usize {
        self.stream.get().map_or(0, |stream| self.shard.with(|worker| worker.held_body(stream, direction)))
    }

    /// Shows what plugins have set as properties to the rest of Envoy.
    fn publish(&self, envoy: &mut dyn Http) {
        for (key, value) in envoy::set_by_plugins(&self.info, &self.published) {
            envoy.set_filter_state(&key, &value);
        }
    }

    /// Returns whether a part is nothing to the plugin: it has no callback for it, and holds nothing before it.
    fn passes_by(&self, direction: Direction, part: Part) -> bool {
        let way = self.way(direction);
        way.headers_left && !way.is_stopped && !self.loaded.hears(direction, part)
    }

    /// Returns whether the chain holds the piece of a body that it has not let go; plugins may also have emptied it.
    fn holds(&self, direction: Direction, length: usize) -> bool {
        let way = self.way(direction);
        if length == 0 {
            return !way.may_go_on();
        }
        self.held(direction) > 0
    }

    /// Notes that Envoy waits for this filter, and has it called when the stream has effects.
    fn pause(&self, envoy: &mut dyn Http, direction: Direction) {
        self.change(direction, |way| way.is_stopped = true);
        let Some(stream) = self.stream.get() else { return };
        self.attributes.keep();
        if self.waker.borrow().is_some() {
            return;
        }
        let Some(scheduler) = envoy.scheduler() else { return };
        let call = Arc::new(Call::new(Some(scheduler)));
        self.shard.register(stream, &Waker::from(Arc::clone(&call)));
        // An effect may have come before that.
        call.call(WOKEN);
        *self.waker.borrow_mut() = Some(call);
    }

    /// Notes that Envoy goes on; returns whether it has waited.
    fn stop_waiting(&self, direction: Direction) -> bool {
        let waited = self.way(direction).is_stopped;
        self.change(direction, |way| way.is_stopped = false);
        waited
    }

    fn way(&self, direction: Direction) -> Way {
        match direction {
            Direction::Request => self.request.get(),
            Direction::Response => self.response.get(),
        }
    }

    fn change(&self, direction: Direction, change: impl FnOnce(&mut Way)) {
        let mut way = self.way(direction);
        change(&mut way);
        match direction {
            Direction::Request => self.request.set(way),
            Direction::Response => self.response.set(way),
        }
    }
}
