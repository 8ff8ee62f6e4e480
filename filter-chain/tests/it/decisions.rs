//! A plugin's pause survives all that comes later, until the plugin continues its stream.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::common::{Bench, call_out, continue_both, plugin, recorder, set_tick, with_headers_stop};
use portcullis_core::abi::CallbackId;
use portcullis_core::model::Direction;
use portcullis_core::testing::Script;

/// A callback that pauses, its result, and whether 1 from headers holds the headers alone.
struct Pause {
    callback: CallbackId,
    result: i32,
    allow_stop: bool,
}

/// An event that follows a pause.
#[derive(Clone, Copy, Debug)]
enum Event {
    Data,
    End,
    Trailers,
    /// A tick of the plugin, which makes a callout.
    Tick,
    /// The answer to a callout, in which the plugin continues another stream.
    AnswerForAnother,
}

const HEADERS: [CallbackId; 2] = [CallbackId::on_request_headers, CallbackId::on_response_headers];
const BODY: [CallbackId; 2] = [CallbackId::on_request_body, CallbackId::on_response_body];
const TRAILERS: [CallbackId; 2] = [CallbackId::on_request_trailers, CallbackId::on_response_trailers];

/// The results that pause, in headers, body and trailers. 3 of a body drops what the plugin has seen.
const RESULTS: [([CallbackId; 2], &[i32], bool); 4] = [
    (HEADERS, &[1, 3, 4, 5, -1], false),
    (HEADERS, &[1, 3, 4], true),
    (BODY, &[1, 2], false),
    (TRAILERS, &[1, 2], false),
];

const AFTERWARDS: [&[Event]; 3] = [
    &[Event::Data, Event::Tick, Event::AnswerForAnother, Event::Data, Event::End],
    &[Event::Tick, Event::Data, Event::Trailers, Event::Tick, Event::AnswerForAnother],
    &[Event::End, Event::Tick, Event::AnswerForAnother],
];

/// A guest that has no other callback for streams than the one that pauses. Its first stream continues in a tick once
/// `go` says so.
fn guest(callback: CallbackId, result: i32, go: &Arc<AtomicBool>) -> Script {
    let (streams, go) = (Arc::new(Mutex::new(Vec::new())), Arc::clone(go));
    let (created, known) = (Arc::clone(&streams), Arc::clone(&streams));
    Script::new()
        .on(CallbackId::on_configure, |caller, _| set_tick(caller, 1000))
        .on(CallbackId::on_context_create, move |_, args| {
            created.lock().unwrap().extend(args.first().filter(|_| args.get(1) != Some(&0)));
            0
        })
        .on(callback, move |_, _| result)
        .on(CallbackId::on_tick, move |caller, _| {
            if go.load(Ordering::Relaxed) {
                caller.set_effective(known.lock().unwrap()[0]);
                continue_both(caller);
            } else {
                call_out(caller);
            }
            0
        })
        .on(CallbackId::on_http_call_response, move |caller, _| {
            caller.set_effective(streams.lock().unwrap()[1]);
            continue_both(caller);
            0
        })
}

fn survives(direction: Direction, pause: &Pause, events: &[Event]) {
    let go = Arc::new(AtomicBool::new(false));
    let (id, result, flag) = (pause.callback, pause.result, Arc::clone(&go));
    let spec = plugin("a", move || guest(id, result, &flag));
    let spec = if pause.allow_stop { with_headers_stop(spec) } else { spec };
    let mut bench = Bench::new(&[spec, plugin("b", || recorder(&[]))]);
    let way = if direction == Direction::Request { "request" } else { "response" };
    let mut expected = Vec::new();
    let mut body = String::new();
    let head = if direction == Direction::Request {
        bench.request(false)
    } else {
        bench.request(true);
        bench.response(false)
    };
    if HEADERS.contains(&pause.callback) {
        assert_eq!(head, [""; 0]);
        expected.push(if way == "request" { "request :method=POST" } else { "response :status=200" }.to_owned());
    } else if BODY.contains(&pause.callback) {
        body.push_str("xyz");
        assert_eq!(bench.body(direction, "xyz", false), [""; 0]);
    }
    let context = format!("{id} {result} {} {events:?}", pause.allow_stop);
    let other = bench.open();
    bench.request(true);
    let other = bench.turn_to(other);
    let mut ended = "";
    for event in events {
        let effects = match event {
            Event::Data => {
                body.push_str("abc");
                bench.body(direction, "abc", false)
            }
            Event::End => {
                ended = " end";
                bench.body(direction, "", true)
            }
            Event::Trailers => {
                ended = "trailers";
                bench.trailers(direction)
            }
            Event::Tick => bench.tick(),
            Event::AnswerForAnother => {
                bench.worker_effects();
                bench.answer_callout()
            }
        };
        assert_eq!(effects, [""; 0], "{context}: {event:?}");
    }
    match ended {
        "trailers" => {
            expected.extend((!body.is_empty()).then(|| format!("{way} body {body}")));
            expected.push(format!("{way} trailers t=1"));
        }
        end => expected.push(format!("{way} body {}{end}", if body.is_empty() { "-" } else { &body })),
    }
    go.store(true, Ordering::Relaxed);
    assert_eq!(bench.tick(), expected, "{context}");
    bench.turn_to(other);
    bench.finish();
}

#[test]
fn a_pause_survives_whatever_comes_later() {
    for (callbacks, results, allow_stop) in RESULTS {
        for (callback, direction) in callbacks.into_iter().zip([Direction::Request, Direction::Response]) {
            for result in results {
                let pause = Pause { callback, result: *result, allow_stop };
                for events in AFTERWARDS {
                    // Trailers are what pauses here; nothing of the stream comes behind them.
                    if TRAILERS.contains(&callback) {
                        survives(direction, &pause, &[Event::Trailers, Event::Tick, Event::AnswerForAnother]);
                    } else {
                        survives(direction, &pause, events);
                    }
                }
            }
        }
    }
}
