//! The table of states in `src/stream/http/flow.rs`, as a model that knows nothing of the implementation: whatever happens at one plugin's gate,
//! both see the same calls, and let the same things out.

use std::sync::{Arc, Mutex};

use crate::common::{Bench, plugin, ticking, with_headers_stop};
use bytes::Bytes;
use portcullis_chain::StreamEffect;
use portcullis_core::abi::{CallbackId, StreamType};
use portcullis_core::model::Direction;
use portcullis_core::testing::Script;
use proptest::prelude::*;

/// How much a direction may hold.
const LIMIT: usize = 6;

/// The plugin's answer to whatever comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// 0 of any callback.
    Continue,
    /// The way to hold that each callback has, of three: those of headers, of data, and of trailers.
    Hold(u8),
    /// A local response.
    Reply,
}

#[derive(Clone, Debug)]
enum Event {
    Data(usize, bool),
    Trailers,
    /// The plugin continues the stream, from elsewhere.
    Resume,
}

#[derive(Clone, Debug)]
struct Case {
    direction: Direction,
    headers_end: bool,
    first: Answer,
    events: Vec<(Event, Answer)>,
    has_body_callback: bool,
    has_trailers_callback: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Held,
    Stopped,
}

/// The table. What goes out and what the plugin sees are words.
#[derive(Default)]
struct Model {
    state: State,
    fails_when_full: bool,
    /// The lent parts: the headers' end, bytes, whether these are the last, and trailers.
    headers: Option<bool>,
    seen: usize,
    seen_end: bool,
    seen_trailers: bool,
    unseen: usize,
    unseen_end: bool,
    unseen_trailers: bool,
    out: Vec<String>,
    calls: Vec<String>,
    is_over: bool,
    answer: Option<Answer>,
    lacks_body: bool,
    lacks_trailers: bool,
}

impl Model {
    fn headers(&mut self, end: bool) {
        self.calls.push("headers".to_owned());
        self.headers = Some(end);
        match self.answer.unwrap() {
            Answer::Continue => self.pass(),
            Answer::Hold(0) => self.stop(State::Held, false),
            Answer::Hold(1) => self.stop(State::Stopped, true),
            Answer::Hold(_) => self.stop(State::Stopped, false),
            Answer::Reply => self.is_over = true,
        }
    }

    fn data(&mut self, bytes: usize, end: bool) {
        match self.state {
            State::Stopped => {
                self.unseen += bytes;
                self.unseen_end |= end;
                return self.check_limit();
            }
            State::Open if self.lacks_body => return self.let_out(bytes, end),
            _ => {}
        }
        self.seen += bytes;
        self.seen_end |= end;
        if self.lacks_body {
            return self.check_limit();
        }
        self.calls.push(format!("data {}{}", self.seen, if end { " end" } else { "" }));
        match self.answer.unwrap() {
            Answer::Continue => self.pass(),
            Answer::Hold(0) => self.stop(State::Held, true),
            Answer::Hold(1) => self.stop(State::Held, false),
            Answer::Hold(_) => {
                self.seen = 0;
                self.stop(State::Held, false);
            }
            Answer::Reply => self.is_over = true,
        }
    }

    fn trailers(&mut self) {
        match self.state {
            State::Stopped => {
                self.unseen_trailers = true;
                return self.check_limit();
            }
            State::Open if self.lacks_trailers => return self.out.push("trailers".to_owned()),
            _ => self.seen_trailers = true,
        }
        if self.lacks_trailers {
            return self.check_limit();
        }
        self.calls.push("trailers".to_owned());
        match self.answer.unwrap() {
            Answer::Continue => self.pass(),
            Answer::Hold(_) => self.stop(State::Held, self.fails_when_full),
            Answer::Reply => self.is_over = true,
        }
    }

    fn resume(&mut self) {
        if self.state == State::Open {
            return;
        }
        let (unseen, unseen_end) = (std::mem::take(&mut self.unseen), std::mem::take(&mut self.unseen_end));
        let unseen_trailers = std::mem::take(&mut self.unseen_trailers);
        self.pass();
        if unseen > 0 || unseen_end {
            self.data(unseen, unseen_end);
        }
        if unseen_trailers && !self.is_over {
            self.trailers();
        }
    }

    fn stop(&mut self, state: State, fails_when_full: bool) {
        (self.state, self.fails_when_full) = (state, fails_when_full);
        self.check_limit();
    }

    fn check_limit(&mut self) {
        if self.fails_when_full && self.seen + self.unseen > LIMIT {
            self.is_over = true;
        }
    }

    /// Lets out what the plugin has seen.
    fn pass(&mut self) {
        (self.state, self.fails_when_full) = (State::Open, false);
        if let Some(end) = self.headers.take() {
            self.out.push(if end { "headers end" } else { "headers" }.to_owned());
        }
        let (bytes, end) = (std::mem::take(&mut self.seen), std::mem::take(&mut self.seen_end));
        let trailers = std::mem::take(&mut self.seen_trailers);
        if bytes > 0 || end {
            self.let_out(bytes, end && !trailers);
        }
        if trailers {
            self.out.push("trailers".to_owned());
        }
    }

    fn let_out(&mut self, bytes: usize, end: bool) {
        self.out.push(format!("data {bytes}{}", if end { " end" } else { "" }));
    }
}

/// A plugin that answers as the cell says, and notes what it sees.
fn script(case: &Case, answer: &Arc<Mutex<Answer>>, calls: &Arc<Mutex<Vec<String>>>) -> Script {
    let (half, [headers, body, trailers]) = match case.direction {
        Direction::Request => (
            StreamType::Request,
            [CallbackId::on_request_headers, CallbackId::on_request_body, CallbackId::on_request_trailers],
        ),
        Direction::Response => (
            StreamType::Response,
            [CallbackId::on_response_headers, CallbackId::on_response_body, CallbackId::on_response_trailers],
        ),
    };
    let mut script = ticking(Script::new(), move |caller| {
        caller.continue_stream(half);
    });
    // What each callback returns to hold: 1 of headers holds them alone, and 3 and 4 everything.
    for (callback, has, holds) in [
        (headers, true, [1, 3, 4]),
        (body, case.has_body_callback, [1, 2, 3]),
        (trailers, case.has_trailers_callback, [1, 1, 1]),
    ] {
        let (answer, calls) = (Arc::clone(answer), Arc::clone(calls));
        let note = move |args: &[i32]| match callback {
            _ if callback == headers => "headers".to_owned(),
            _ if callback == trailers => "trailers".to_owned(),
            _ => format!("data {}{}", args[1], if args[2] == 1 { " end" } else { "" }),
        };
        if has {
            script = script.on(callback, move |caller, args| {
                calls.lock().unwrap().push(note(args));
                match *answer.lock().unwrap() {
                    Answer::Continue => 0,
                    Answer::Hold(way) => holds[usize::from(way)],
                    Answer::Reply => {
                        assert_eq!(caller.local_response(403, ""), 0);
                        0
                    }
                }
            });
        }
    }
    script
}

fn run(case: &Case) {
    let (answer, calls) = (Arc::new(Mutex::new(case.first)), Arc::new(Mutex::new(Vec::new())));
    let (scripted, answers, noted) = (case.clone(), Arc::clone(&answer), Arc::clone(&calls));
    let spec = with_headers_stop(plugin("a", move || script(&scripted, &answers, &noted)));
    let mut bench = Bench::limited(&[spec], LIMIT);
    let mut model =
        Model { lacks_body: !case.has_body_callback, lacks_trailers: !case.has_trailers_callback, ..Model::default() };
    if case.direction == Direction::Response {
        // A response passes plugins that its request never reached.
        bench.worker.headers(bench.stream, Direction::Request, [(":method", "GET")].into_iter().collect(), true);
        while bench.worker.stream_effect(bench.stream).is_some() {}
    }
    let head = [(":method", "GET"), (":status", "200")].into_iter().collect();
    model.answer = Some(case.first);
    model.headers(case.headers_end);
    bench.worker.headers(bench.stream, case.direction, head, case.headers_end);
    let mut out = Vec::new();
    let mut is_over = look(&mut bench, case.direction, &mut out);
    let mut has_ended = case.headers_end;
    for (event, next) in &case.events {
        assert_eq!((&out, is_over), (&model.out, model.is_over));
        assert_eq!(*calls.lock().unwrap(), model.calls);
        if is_over {
            return;
        }
        *answer.lock().unwrap() = *next;
        model.answer = Some(*next);
        match event {
            Event::Resume => {
                model.resume();
                bench.pass_second();
                bench.worker.tick();
            }
            // Nothing follows an end.
            _ if has_ended => continue,
            Event::Data(bytes, end) => {
                has_ended = *end;
                model.data(*bytes, *end);
                bench.worker.body(bench.stream, case.direction, Bytes::from(vec![b'x'; *bytes]).into(), *end);
            }
            Event::Trailers => {
                has_ended = true;
                model.trailers();
                bench.worker.trailers(bench.stream, case.direction, [("t", "1")].into_iter().collect());
            }
        }
        is_over = look(&mut bench, case.direction, &mut out);
    }
    assert_eq!((&out, is_over), (&model.out, model.is_over));
    assert_eq!(*calls.lock().unwrap(), model.calls);
}

/// Puts what has come out into words; says whether the stream has been answered or cut.
fn look(bench: &mut Bench, direction: Direction, out: &mut Vec<String>) -> bool {
    let mut is_over = false;
    let ended = |text: String, end: bool| if end { text + " end" } else { text };
    while let Some(effect) = bench.worker.stream_effect(bench.stream) {
        let request = direction == Direction::Request;
        match effect {
            StreamEffect::ResponseHeaders { local: true, .. } | StreamEffect::Reset { .. } => is_over = true,
            StreamEffect::RequestDone if request => is_over = true,
            _ if is_over => {}
            StreamEffect::RequestHeaders { end } if request => out.push(ended("headers".to_owned(), end)),
            StreamEffect::ResponseHeaders { end, .. } if !request => out.push(ended("headers".to_owned(), end)),
            StreamEffect::RequestBody { body, end } if request => out.push(ended(format!("data {}", body.len()), end)),
            StreamEffect::ResponseBody { body, end } if !request => {
                out.push(ended(format!("data {}", body.len()), end));
            }
            StreamEffect::RequestTrailers if request => out.push("trailers".to_owned()),
            StreamEffect::ResponseTrailers if !request => out.push("trailers".to_owned()),
            other => assert!(bench.info.with(|info| info.response_code).is_some(), "{other:?}"),
        }
    }
    is_over
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![4 => Just(Answer::Continue), 8 => (0u8..3).prop_map(Answer::Hold), 1 => Just(Answer::Reply)]
}

fn case() -> impl Strategy<Value = Case> {
    let event = prop_oneof![
        5 => (0usize..4, proptest::bool::weighted(0.2)).prop_map(|(bytes, end)| Event::Data(bytes, end)),
        1 => Just(Event::Trailers),
        3 => Just(Event::Resume),
    ];
    let direction = prop_oneof![Just(Direction::Request), Just(Direction::Response)];
    let events = proptest::collection::vec((event, answer()), 0..10);
    let has = proptest::bool::weighted(0.8);
    (direction, proptest::bool::weighted(0.1), answer(), events, has, has).prop_map(
        |(direction, headers_end, first, events, has_body_callback, has_trailers_callback)| Case {
            direction,
            headers_end,
            first,
            events,
            has_body_callback,
            has_trailers_callback,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_gate_does_what_the_table_says(case in case()) {
        run(&case);
    }
}
