//! Letting a stream go on: when, from where, and what passes then.

use std::sync::{Arc, Mutex};

use crate::common::{Bench, answering, call_out, continue_both, plugin, recorder, ticking, with_headers_stop};
use portcullis_core::abi::{BufferType, CallbackId, MapType, StreamType};
use portcullis_core::testing::Script;

const HEADERS: CallbackId = CallbackId::on_request_headers;
const BODY: CallbackId = CallbackId::on_request_body;

#[test]
fn a_tick_resumes_what_headers_stopped() {
    let mut bench = Bench::new(&[plugin("a", || ticking(recorder(&[(HEADERS, &[1])]), continue_both))]);
    assert_eq!(bench.request(true), [""; 0]);
    assert_eq!(bench.tick(), ["request :method=POST end"]);
    assert_eq!(bench.tick(), [""; 0], "once");
}

#[test]
fn unseen_body_and_trailers_come_to_the_same_plugin_as_fresh_chunks() {
    let specs = [plugin("a", || ticking(recorder(&[(HEADERS, &[1])]), continue_both)), plugin("b", || recorder(&[]))];
    let mut bench = Bench::new(&specs);
    bench.request(false);
    bench.request_body("abc", false);
    bench.request_body("de", false);
    assert_eq!(bench.request_trailers(), [""; 0]);
    assert_eq!(bench.journal(), ["a: request headers 1"]);
    assert_eq!(bench.tick(), ["request :method=POST", "request body abcde", "request trailers t=1"]);
    let mut journal = bench.journal();
    journal.sort();
    let expected = [
        "a: request body abcde",
        "a: request trailers 1",
        "b: request body abcde",
        "b: request headers 1",
        "b: request trailers 1",
    ];
    assert_eq!(journal, expected);
}

#[test]
fn body_that_comes_after_the_release_passes_behind_it() {
    let specs = [plugin("a", || ticking(recorder(&[(HEADERS, &[4])]), continue_both)), plugin("b", || recorder(&[]))];
    let mut bench = Bench::new(&specs);
    bench.request(false);
    bench.request_body("abc", false);
    assert_eq!(bench.tick(), ["request :method=POST", "request body abc"]);
    assert_eq!(bench.request_body("de", true), ["request body de end"]);
}

#[test]
fn the_unseen_body_may_be_held_again() {
    let mut bench = Bench::new(&[plugin("a", || ticking(recorder(&[(HEADERS, &[1]), (BODY, &[1])]), continue_both))]);
    bench.request(false);
    bench.request_body("abc", false);
    assert_eq!(bench.tick(), ["request :method=POST"]);
    assert_eq!(bench.request_body("de", true), [""; 0]);
    assert_eq!(bench.journal().last().map(String::as_str), Some("a: request body abcde end"));
    assert_eq!(bench.tick(), ["request body abcde end"]);
}

#[test]
fn an_end_that_was_not_seen_comes_alone() {
    let mut bench = Bench::new(&[plugin("a", || ticking(recorder(&[(HEADERS, &[1])]), continue_both))]);
    bench.request(false);
    bench.request_body("", true);
    assert_eq!(bench.tick(), ["request :method=POST", "request body - end"]);
    assert_eq!(bench.journal(), ["a: request headers 1", "a: request body - end"]);
}

#[test]
fn the_answer_of_a_callout_resumes() {
    let script = || {
        answering(recorder(&[]), |caller| {
            assert_eq!(caller.header(MapType::HttpCallResponseHeaders, ":status"), Ok("200".to_owned()));
            assert_eq!(caller.header(MapType::RequestHeaders, ":method"), Ok("POST".to_owned()));
            assert_eq!(caller.add_header(MapType::RequestHeaders, "x-user", "me"), 0);
            caller.continue_stream(StreamType::Request);
            assert_eq!(caller.header(MapType::RequestHeaders, ":method"), Err(2), "out of sight");
            assert_eq!(caller.add_header(MapType::RequestHeaders, "x", "y"), 2);
        })
        .on(HEADERS, |caller, _| i32::from(call_out(caller) > 0))
    };
    let mut bench = Bench::new(&[plugin("a", script)]);
    assert_eq!(bench.request(false), [""; 0]);
    assert_eq!(bench.worker_effects(), ["callout to auth"]);
    assert_eq!(bench.answer_callout(), ["request :method=POST x-user=me"]);
    assert_eq!(bench.worker_effects(), ["wake"]);
    assert_eq!(bench.request_body("abc", true), ["request body abc end"]);
}

#[test]
fn continue_without_a_pause_is_nothing() {
    let script = || {
        ticking(recorder(&[]), continue_both).on(HEADERS, |caller, _| {
            continue_both(caller);
            0
        })
    };
    let mut bench = Bench::new(&[plugin("a", script)]);
    assert_eq!(bench.tick(), [""; 0], "no stream at all");
    assert_eq!(bench.request(false), ["request :method=POST"]);
    assert_eq!(bench.tick(), [""; 0]);
    assert_eq!(bench.request_body("abc", true), ["request body abc end"]);
    assert_eq!(bench.response(true), ["response :status=200 end"]);
    assert_eq!(bench.tick(), [""; 0]);
}

#[test]
fn continue_from_the_callback_that_pauses() {
    for results in [0, 1, 3, 4] {
        let script = move || {
            Script::new()
                .on(HEADERS, move |caller, _| {
                    caller.continue_stream(StreamType::Request);
                    results
                })
                .on(BODY, move |caller, _| {
                    assert_eq!(caller.buffer(BufferType::HttpRequestBody), Ok(b"abc".to_vec()));
                    caller.continue_stream(StreamType::Request);
                    assert_eq!(caller.buffer(BufferType::HttpRequestBody), Ok(Vec::new()), "out of sight");
                    i32::from(results > 0)
                })
        };
        let mut bench = Bench::new(&[plugin("a", script), plugin("b", || recorder(&[]))]);
        assert_eq!(bench.request(false), ["request :method=POST"], "{results}");
        assert_eq!(bench.request_body("abc", true), ["request body abc end"], "{results}");
    }
}

/// A continue belongs to the callback that asks for it, and must not release what a later one holds.
#[test]
fn a_continue_does_not_outlive_its_callback() {
    let first = || ticking(recorder(&[(HEADERS, &[1])]), continue_both);
    let second = || {
        recorder(&[(BODY, &[1])]).on(HEADERS, |caller, _| {
            caller.continue_stream(StreamType::Request);
            0
        })
    };
    let mut bench = Bench::new(&[plugin("a", first), plugin("b", second)]);
    bench.request(false);
    bench.request_body("abc", false);
    assert_eq!(bench.tick(), ["request :method=POST"], "the body is held by b");
    let effects = bench.request_trailers();
    assert_eq!(effects, ["request body abc", "request trailers t=1"]);
}

/// Two places in one chain of one plugin: the first resumes the second while more is on its way.
#[test]
fn data_on_its_way_does_not_overtake_data_that_is_released() {
    let twice = || {
        let streams = Arc::new(Mutex::new(Vec::new()));
        let (created, known) = (Arc::clone(&streams), Arc::clone(&streams));
        Script::new()
            .on(CallbackId::on_context_create, move |_, args| {
                created.lock().unwrap().push(args[0]);
                0
            })
            .on(HEADERS, move |_, args| i32::from(known.lock().unwrap().get(2) == args.first()))
            .on(CallbackId::on_request_trailers, move |caller, args| {
                if let Some(second) = streams.lock().unwrap().get(2).filter(|second| **second != args[0]) {
                    caller.set_effective(*second);
                    caller.continue_stream(StreamType::Request);
                }
                0
            })
    };
    let (first, twice) = (plugin("a", || ticking(recorder(&[(BODY, &[1])]), continue_both)), plugin("b", twice));
    let mut bench = Bench::new(&[first, twice.clone(), twice]);
    bench.request(false);
    bench.request_body("abc", false);
    let effects = bench.request_trailers();
    assert_eq!(effects, ["request :method=POST", "request body abc", "request trailers t=1"]);
}

#[test]
fn each_direction_resumes_alone() {
    let script = || {
        let results: &[(CallbackId, &[i32])] = &[(HEADERS, &[1]), (CallbackId::on_response_headers, &[1])];
        ticking(recorder(results), |caller| {
            caller.continue_stream(StreamType::Response);
        })
    };
    let mut bench = Bench::new(&[plugin("a", script)]);
    bench.request(false);
    assert_eq!(bench.response(true), [""; 0]);
    assert_eq!(bench.tick(), ["response :status=200 end"]);
    assert_eq!(bench.request_body("abc", true), [""; 0], "the request is still stopped");
}

#[test]
fn held_headers_and_body_pass_together() {
    let script = || ticking(recorder(&[(HEADERS, &[1]), (BODY, &[1])]), continue_both);
    let mut bench = Bench::new(&[with_headers_stop(plugin("a", script)), plugin("b", || recorder(&[]))]);
    bench.request(false);
    bench.request_body("abc", false);
    assert_eq!(bench.request_body("de", true), [""; 0]);
    bench.journal();
    assert_eq!(bench.tick(), ["request :method=POST", "request body abcde end"]);
    assert_eq!(bench.journal(), ["b: request headers 1", "b: request body abcde end"], "a has seen it");
}

#[test]
fn a_plugin_edits_while_its_stream_is_paused() {
    let script = || {
        ticking(recorder(&[(HEADERS, &[1]), (BODY, &[1])]), |caller| {
            assert_eq!(caller.add_header(MapType::RequestHeaders, "x", "1"), 0);
            assert_eq!(caller.set_buffer(BufferType::HttpRequestBody, b"other"), 0);
            continue_both(caller);
        })
    };
    let mut bench = Bench::new(&[with_headers_stop(plugin("a", script))]);
    bench.request(false);
    bench.request_body("abc", true);
    assert_eq!(bench.tick(), ["request :method=POST x=1", "request body other end"]);
}
