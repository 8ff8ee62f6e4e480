//! An Envoy for tests: it does with a message what Envoy's filter manager does with one filter, and notes what the filters behind see.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis::abi::LogLevel;
use portcullis::model::{Attributes, Direction, Headers};
use portcullis::{Module, PluginSpec};
use portcullis_core::abi::AbiVersion;
use portcullis_core::model::Plugin;
use portcullis_core::testing::{NullEngine, Script};

use crate::envoy::{Bytes, Http, Log, Map, NotStarted, Requests, Scheduler, StreamAttributes};
use crate::http::{BodyStatus, HeadersStatus, Slot, TrailersStatus};
use crate::http::{ForeignRoute, Routed};
use crate::process::{Loaded, Process};

/// Lines that were logged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Log for Lines {
    fn is_enabled(&self, level: LogLevel) -> bool {
        level >= LogLevel::Info
    }

    fn write(&self, level: LogLevel, line: &[u8]) {
        self.0.lock().unwrap().push(format!("{level:?} {}", String::from_utf8_lossy(line)));
    }
}

/// Starts a plugin that is a script, in one worker.
pub(crate) fn loaded(script: fn() -> Script) -> Arc<Loaded> {
    let process = Arc::new(Process::new(1, Arc::new(Lines::default())).unwrap());
    Arc::new(Loaded::start(&process, &[spec(script)]).unwrap())
}

pub(crate) fn spec(script: fn() -> Script) -> PluginSpec {
    let compiled = NullEngine::new(script).module().unwrap();
    let module = Module::from_compiled("script", AbiVersion::V0_2_1, Some(script().exports()), compiled);
    let plugin = Plugin::new("script").with_allow_on_headers_stop_iteration(true);
    PluginSpec::new(plugin, Arc::new(module))
}

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// A stream. What the filters behind have seen stands in `seen`, one event a line.
#[derive(Debug)]
pub(crate) struct Stream {
    maps: [Option<Entries>; 4],
    bodies: [Vec<u8>; 4],
    pub(crate) seen: Vec<String>,
    pub(crate) filter_state: Vec<(String, String)>,
    /// Directions that the filter has let go on since it was asked.
    going: Vec<Direction>,
    ways: [Way; 2],
    calls: (Sender<()>, Receiver<()>),
    pub(crate) limit: u64,
    /// The route has what another library has made.
    pub(crate) has_foreign_route: bool,
    /// The piece that the filter is given is what Envoy keeps.
    is_buffered: bool,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            maps: Default::default(),
            bodies: Default::default(),
            seen: Vec::new(),
            filter_state: Vec::new(),
            going: Vec::new(),
            ways: Default::default(),
            calls: channel(),
            limit: 0,
            has_foreign_route: false,
            is_buffered: false,
        }
    }
}

/// A direction in the filter manager.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    headers_out: bool,
    stopped: bool,
    stopped_all: bool,
    /// The message's end was given by headers, body or trailers.
    ended: bool,
    trailers: bool,
}

impl Stream {
    /// Gives headers to the filter, and to the filters behind as it says.
    pub(crate) fn headers(
        &mut self,
        slot: &Slot,
        direction: Direction,
        headers: &[(&str, &str)],
        end: bool,
    ) -> HeadersStatus {
        self.maps[Map::headers(direction) as usize] = Some(owned(headers));
        self.ways[direction as usize].ended = end;
        let status = slot.headers(self, direction, end);
        match status {
            HeadersStatus::Continue => self.pass(direction),
            HeadersStatus::StopIteration => self.ways[direction as usize].stopped = true,
            HeadersStatus::StopAllIterationAndWatermark => {
                (self.ways[direction as usize].stopped, self.ways[direction as usize].stopped_all) = (true, true);
            }
        }
        status
    }

    /// Gives a piece of a body.
    pub(crate) fn body(&mut self, slot: &Slot, direction: Direction, data: &str, end: bool) -> Option<BodyStatus> {
        self.ways[direction as usize].ended = end;
        if self.ways[direction as usize].stopped_all {
            self.bodies[Bytes::buffered(direction) as usize].extend_from_slice(data.as_bytes());
            return None;
        }
        self.bodies[Bytes::received(direction) as usize] = data.as_bytes().to_vec();
        let status = slot.filter().unwrap().body(self, direction, end);
        let piece = std::mem::take(&mut self.bodies[Bytes::received(direction) as usize]);
        match status {
            BodyStatus::Continue => {
                self.bodies[Bytes::buffered(direction) as usize].extend_from_slice(&piece);
                self.pass(direction);
            }
            BodyStatus::StopIterationAndWatermark => {
                self.bodies[Bytes::buffered(direction) as usize].extend_from_slice(&piece);
                self.ways[direction as usize].stopped = true;
            }
            BodyStatus::StopIterationNoBuffer => self.ways[direction as usize].stopped = true,
        }
        Some(status)
    }

    /// Keeps a piece for a filter before.
    pub(crate) fn keep(&mut self, direction: Direction, data: &str) {
        self.bodies[Bytes::buffered(direction) as usize].extend_from_slice(data.as_bytes());
    }

    /// Gives what Envoy keeps, as after a filter before has let it go.
    pub(crate) fn kept_body(&mut self, slot: &Slot, direction: Direction, end: bool) -> BodyStatus {
        (self.ways[direction as usize].ended, self.is_buffered) = (end, true);
        let status = slot.filter().unwrap().body(self, direction, end);
        self.is_buffered = false;
        match status {
            BodyStatus::Continue => self.pass(direction),
            _ => self.ways[direction as usize].stopped = true,
        }
        status
    }

    /// Returns where a body is.
    fn at(&self, of: Bytes) -> usize {
        match of {
            Bytes::ReceivedRequest if self.is_buffered => Bytes::BufferedRequest as usize,
            Bytes::ReceivedResponse if self.is_buffered => Bytes::BufferedResponse as usize,
            of => of as usize,
        }
    }

    /// Gives trailers.
    pub(crate) fn trailers(&mut self, slot: &Slot, direction: Direction, trailers: &[(&str, &str)]) -> TrailersStatus {
        self.maps[Map::trailers(direction) as usize] = Some(owned(trailers));
        let status = slot.filter().unwrap().trailers(self, direction);
        (self.ways[direction as usize].ended, self.ways[direction as usize].trailers) = (true, true);
        match status {
            TrailersStatus::Continue => self.pass(direction),
            TrailersStatus::StopIteration => self.ways[direction as usize].stopped = true,
        }
        status
    }

    /// Waits until a plugin has said so, and makes none of the calls that the scheduler asks for.
    pub(crate) fn ignore_calls_until(&mut self, is_so: &AtomicBool) {
        while !is_so.load(Ordering::Acquire) {
            self.calls.1.recv_timeout(Duration::from_secs(20)).unwrap();
        }
    }

    /// Calls the filter whenever its scheduler asks, until the filters behind have seen as many events.
    pub(crate) fn until(&mut self, slot: &Slot, events: usize) {
        while self.seen.len() < events {
            let called = self.calls.1.recv_timeout(Duration::from_secs(20));
            assert!(called.is_ok(), "the filter is not called; {:?}", self.seen);
            self.scheduled(slot);
        }
    }

    /// Calls the filter, and does what it says.
    fn scheduled(&mut self, slot: &Slot) {
        slot.filter().unwrap().woken(self);
        for direction in std::mem::take(&mut self.going) {
            let way = &mut self.ways[direction as usize];
            assert!(way.stopped, "{direction:?} is not stopped");
            // What Envoy kept comes to this filter now.
            if std::mem::take(&mut way.stopped_all) {
                let (ended, trailers) = (way.ended, way.trailers);
                let kept = std::mem::take(&mut self.bodies[Bytes::buffered(direction) as usize]);
                self.ways[direction as usize].ended = ended && kept.is_empty();
                self.pass(direction);
                if !kept.is_empty() {
                    self.body(slot, direction, &String::from_utf8(kept).unwrap(), ended && !trailers);
                }
                continue;
            }
            self.pass(direction);
        }
    }

    /// Returns what Envoy keeps of a body.
    pub(crate) fn buffered(&self, direction: Direction) -> String {
        String::from_utf8(self.bodies[Bytes::buffered(direction) as usize].clone()).unwrap()
    }

    /// Lets the filters behind see what there is.
    fn pass(&mut self, direction: Direction) {
        let way = &mut self.ways[direction as usize];
        way.stopped = false;
        let side = format!("{direction:?}").to_lowercase();
        let body = String::from_utf8(std::mem::take(&mut self.bodies[Bytes::buffered(direction) as usize])).unwrap();
        let trailers = if way.trailers { &self.maps[Map::trailers(direction) as usize] } else { &None };
        let is_end = |last: bool| if last && way.ended { " end" } else { "" };
        if !std::mem::replace(&mut way.headers_out, true) {
            let headers = show(self.maps[Map::headers(direction) as usize].as_deref().unwrap_or_default());
            self.seen.push(format!("{side} headers {headers}{}", is_end(body.is_empty() && trailers.is_none())));
        }
        if !body.is_empty() {
            self.seen.push(format!("{side} body {body}{}", is_end(trailers.is_none())));
        } else if is_end(true) == " end"
            && trailers.is_none()
            && !self.seen.last().is_some_and(|line| line.ends_with(" end"))
        {
            self.seen.push(format!("{side} body end"));
        }
        if let Some(trailers) = trailers {
            self.seen.push(format!("{side} trailers {} end", show(trailers)));
        }
    }
}

fn owned(entries: &[(&str, &str)]) -> Entries {
    entries.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

fn show(entries: &[(Vec<u8>, Vec<u8>)]) -> String {
    let each = entries.iter().map(|(name, value)| format!("{}={}", name.escape_ascii(), value.escape_ascii()));
    each.collect::<Vec<_>>().join(" ")
}

fn show_headers(headers: &Headers) -> String {
    show(&headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect::<Vec<_>>())
}

impl Routed for Stream {
    fn route(&self) -> Result<Option<Arc<Loaded>>, ForeignRoute> {
        if self.has_foreign_route { Err(ForeignRoute) } else { Ok(None) }
    }
}

impl Http for Stream {
    fn worker(&self) -> usize {
        0
    }

    fn entries(&self, map: Map) -> Option<Vec<(&[u8], &[u8])>> {
        let entries = self.maps[map as usize].as_ref()?;
        Some(entries.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect())
    }

    fn set(&mut self, map: Map, name: &[u8], value: &[u8]) {
        self.remove(map, name);
        self.add(map, name, value);
    }

    fn add(&mut self, map: Map, name: &[u8], value: &[u8]) {
        if let Some(entries) = &mut self.maps[map as usize] {
            entries.push((name.to_vec(), value.to_vec()));
        }
    }

    fn remove(&mut self, map: Map, name: &[u8]) {
        if let Some(entries) = &mut self.maps[map as usize] {
            entries.retain(|(other, _)| other != name);
        }
    }

    fn received_is_buffered(&self, _: Direction) -> bool {
        self.is_buffered
    }

    fn body_len(&self, of: Bytes) -> usize {
        self.bodies[self.at(of)].len()
    }

    fn body(&self, of: Bytes) -> bytes::Bytes {
        self.bodies[self.at(of)].clone().into()
    }

    fn drain(&mut self, of: Bytes, length: usize) {
        let at = self.at(of);
        let body = &mut self.bodies[at];
        body.drain(..length.min(body.len()));
    }

    fn append(&mut self, of: Bytes, data: &[u8]) -> bool {
        let at = self.at(of);
        self.bodies[at].extend_from_slice(data);
        true
    }

    fn buffer_limit(&self) -> u64 {
        self.limit
    }

    fn respond(&mut self, status: u32, headers: &Headers, body: &[u8], details: &[u8]) {
        let (body, details) = (body.escape_ascii(), details.escape_ascii());
        self.seen.push(format!("answer {status} {} \"{body}\" {details}", show_headers(headers)));
    }

    fn respond_verbatim(&mut self, headers: &Headers, body: &[u8]) {
        self.seen.push(format!("answer verbatim {} \"{}\"", show_headers(headers), body.escape_ascii()));
    }

    fn go_on(&mut self, direction: Direction) {
        self.going.push(direction);
    }

    fn cut(&mut self, details: &[u8]) {
        self.seen.push(format!("cut {}", details.escape_ascii()));
    }

    fn clear_route(&mut self) {
        self.seen.push("clear route".to_owned());
    }

    fn set_filter_state(&mut self, key: &[u8], value: &[u8]) -> bool {
        self.filter_state.push((key.escape_ascii().to_string(), value.escape_ascii().to_string()));
        true
    }

    fn number(&self, attribute: u32) -> Option<u64> {
        Some(attribute.into())
    }

    fn scheduler(&mut self) -> Option<Box<dyn Scheduler>> {
        Some(Box::new(Calls(Mutex::new(self.calls.0.clone()))))
    }

    fn attributes(&mut self) -> Arc<dyn StreamAttributes> {
        Arc::new(NoAttributes)
    }
}

impl Requests for Stream {
    fn start(&mut self, _: &str, _: &Headers, _: &[u8], _: bool) -> Result<u64, NotStarted> {
        Err(NotStarted::CLUSTER)
    }

    fn send(&mut self, _: u64, _: &[u8], _: bool) -> bool {
        false
    }

    fn send_trailers(&mut self, _: u64, _: &Headers) -> bool {
        false
    }

    fn reset(&mut self, _: u64) {}
}

/// Notes what a scheduler is asked for.
#[derive(Debug)]
struct Calls(Mutex<Sender<()>>);

impl Scheduler for Calls {
    fn commit(&self, _: u64) {
        let _ = self.0.lock().unwrap().send(());
    }
}

/// Properties that are not there, but for one.
#[derive(Debug)]
pub(crate) struct NoAttributes;

impl Attributes for NoAttributes {
    fn get(&self, path: &[u8], out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(path);
        path == b"xds\0route_name"
    }
}

impl StreamAttributes for NoAttributes {
    fn keep(&self) {}

    fn close(&self) {}
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.all().join("\n"))
    }
}
