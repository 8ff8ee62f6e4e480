use bytes::Bytes;
use portcullis::model::{Access, Body, CallResponse, Direction, Headers, StreamInfo};
use portcullis::vm::CallOutcome;
use proptest::prelude::*;

use super::stage::Stage;

/// Something that happens to a guest. Numbers choose among the streams and callouts that there are.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A stream begins.
    Open,
    /// Headers of a stream come, maybe its last part.
    Headers(usize, Direction, bool),
    /// A number of bytes of its body arrive, maybe its last part.
    Body(usize, Direction, u8, bool),
    /// Its trailers come.
    Trailers(usize, Direction),
    /// A stream is logged.
    Log(usize),
    /// A stream ends.
    Done(usize),
    /// A stream is deleted.
    Delete(usize),
    /// A tick.
    Tick,
    /// A callout is answered.
    Response(usize),
    /// A callout's connection breaks.
    Reset(usize),
    /// The plugin is asked to end.
    End,
}

/// Returns a short history: a stream begins, and then anything happens.
pub fn events() -> impl Strategy<Value = Vec<Event>> {
    let direction = prop_oneof![Just(Direction::Request), Just(Direction::Response)];
    let event = prop_oneof![
        1 => Just(Event::Open),
        3 => (0..3_usize, direction.clone(), any::<bool>()).prop_map(|(stream, way, end)| Event::Headers(stream, way, end)),
        3 => (0..3_usize, direction.clone(), any::<u8>(), any::<bool>())
            .prop_map(|(stream, way, len, end)| Event::Body(stream, way, len, end)),
        2 => (0..3_usize, direction).prop_map(|(stream, way)| Event::Trailers(stream, way)),
        2 => (0..3_usize).prop_map(Event::Log),
        1 => (0..3_usize).prop_map(Event::Done),
        1 => (0..3_usize).prop_map(Event::Delete),
        2 => Just(Event::Tick),
        2 => (0..3_usize).prop_map(Event::Response),
        1 => (0..3_usize).prop_map(Event::Reset),
        1 => Just(Event::End),
    ];
    prop::collection::vec(event, 1..12).prop_map(|rest| [vec![Event::Open], rest].concat())
}

impl Stage {
    pub(super) fn play(&mut self, event: Event) {
        let outcome = match event {
            Event::Open => self.open(),
            Event::Headers(stream, direction, end) => self.headers(stream, direction, end),
            Event::Body(stream, direction, len, end) => self.body(stream, direction, len, end),
            Event::Trailers(stream, direction) => self.trailers(stream, direction),
            Event::Log(stream) => {
                let Some(stream) = self.stream(stream) else { return };
                format!("{:?}", self.vm.on_log(stream))
            }
            Event::Done(stream) => {
                let Some(stream) = self.stream(stream) else { return };
                format!("{:?}", self.vm.on_done(stream))
            }
            Event::Delete(stream) => {
                let Some(stream) = self.stream(stream) else { return };
                format!("{:?}", self.vm.delete(stream))
            }
            Event::Tick => format!("{:?}", self.vm.on_tick(self.root)),
            Event::Response(call) => self.answer(call, CallOutcome::Response(response())),
            Event::Reset(call) => self.answer(call, CallOutcome::Reset("broken".to_owned())),
            Event::End => format!("{:?}", self.vm.end_root(self.root)),
        };
        self.witness.write(format!("  which is {outcome}"));
    }

    fn stream(&self, number: usize) -> Option<portcullis::model::ContextId> {
        let index = number.checked_rem(self.streams.len())?;
        self.streams.get(index).map(|(stream, _)| *stream)
    }

    fn open(&mut self) -> String {
        let info = StreamInfo { protocol: "HTTP/1.1", request_size: 7, ..StreamInfo::default() }.into_shared();
        info.with(|info| info.route_name = Some("route".to_owned()));
        let stream = self.vm.create_stream(self.root, info.clone());
        self.streams.extend(stream.ok().map(|stream| (stream, info)));
        format!("{stream:?}")
    }

    fn headers(&mut self, stream: usize, direction: Direction, end: bool) -> String {
        let Some(stream) = self.stream(stream) else { return String::new() };
        if let Some(lent) = self.vm.stream(stream) {
            lent.lend_headers(direction, headers(direction), Access::Write);
        }
        let status = self.vm.on_headers(stream, direction, end);
        let left = self.vm.stream(stream).and_then(|lent| lent.take_headers(direction));
        format!("{status:?}, leaving {left:?}")
    }

    fn body(&mut self, stream: usize, direction: Direction, len: u8, end: bool) -> String {
        let Some(stream) = self.stream(stream) else { return String::new() };
        if let Some(lent) = self.vm.stream(stream) {
            let bytes: Vec<u8> = (0..len).collect();
            lent.lend_body(direction, Body::from(Bytes::from(bytes)));
            if end {
                lent.lend_trailers(direction, None, Access::Write);
            }
        }
        let status = self.vm.on_body(stream, direction, end);
        let left = self.vm.stream(stream).and_then(|lent| lent.take_body(direction));
        let trailers = self.vm.stream(stream).and_then(|lent| lent.take_trailers(direction));
        format!("{status:?}, leaving {left:?} and {trailers:?}")
    }

    fn trailers(&mut self, stream: usize, direction: Direction) -> String {
        let Some(stream) = self.stream(stream) else { return String::new() };
        if let Some(lent) = self.vm.stream(stream) {
            let trailers = [("x-checksum", "12"), ("x-a", "2")].into_iter().collect();
            lent.lend_trailers(direction, Some(trailers), Access::Write);
        }
        let status = self.vm.on_trailers(stream, direction);
        let left = self.vm.stream(stream).and_then(|lent| lent.take_trailers(direction));
        format!("{status:?}, leaving {left:?}")
    }

    fn answer(&mut self, call: usize, outcome: CallOutcome) -> String {
        let Some(index) = call.checked_rem(self.calls.len()) else { return String::new() };
        let call = self.calls.remove(index);
        format!("{:?}", self.vm.on_http_call_response(call, outcome))
    }
}

fn headers(direction: Direction) -> Headers {
    match direction {
        Direction::Request => {
            let request = [(":method", "GET"), (":path", "/a?b"), (":authority", "example.com")];
            request.into_iter().chain([("x-a", "1"), ("x-empty", "")]).collect()
        }
        Direction::Response => [(":status", "200"), ("server", "test"), ("x-a", "1")].into_iter().collect(),
    }
}

fn response() -> CallResponse {
    CallResponse::default()
        .with_headers([(":status", "200"), ("x-a", "3")].into_iter().collect())
        .with_body(Bytes::from_static(b"answer"))
        .with_trailers([("x-end", "1")].into_iter().collect())
}
