//! Body callbacks: what each result value does to the bytes.

use crate::common::{Bench, log_filter, plugin, recorder, ticking, with_headers_stop};
use portcullis_core::abi::{BufferType, CallbackId, StreamType};
use portcullis_core::hostcall::entry;
use portcullis_core::model::Direction;
use portcullis_core::rights::Capabilities;
use portcullis_core::testing::Script;

const BODY: CallbackId = CallbackId::on_request_body;
const HEADERS: CallbackId = CallbackId::on_request_headers;

fn bodies(journal: &[String]) -> Vec<&str> {
    journal.iter().filter_map(|line| line.split_once("body ").map(|(_, what)| what)).collect()
}

#[test]
fn continue_passes_chunks_as_they_come() {
    let mut bench = Bench::new(&[plugin("a", || recorder(&[])), plugin("b", || recorder(&[]))]);
    assert_eq!(bench.request(false), ["request :method=POST"]);
    assert_eq!(bench.request_body("abc", false), ["request body abc"]);
    assert_eq!(bench.request_body("de", true), ["request body de end"]);
    assert_eq!(bodies(&bench.journal()), ["abc", "abc", "de end", "de end"]);
}

#[test]
fn an_empty_last_chunk_carries_the_end() {
    let mut bench = Bench::new(&[plugin("a", || recorder(&[]))]);
    bench.request(false);
    bench.request_body("abc", false);
    assert_eq!(bench.request_body("", true), ["request body - end"]);
    assert_eq!(bodies(&bench.journal()), ["abc", "- end"]);
}

#[test]
fn an_empty_chunk_that_is_not_the_last_is_seen_and_not_sent() {
    let mut bench = Bench::new(&[plugin("a", || recorder(&[]))]);
    bench.request(false);
    assert_eq!(bench.request_body("", false), [""; 0]);
    assert_eq!(bodies(&bench.journal()), ["-"]);
}

#[test]
fn buffering_shows_the_accumulated_body() {
    let mut bench = Bench::new(&[plugin("a", || recorder(&[(BODY, &[1, 1, 0])]))]);
    bench.request(false);
    assert_eq!(bench.request_body("abc", false), [""; 0]);
    assert_eq!(bench.request_body("defghij", false), [""; 0]);
    assert_eq!(bench.request_body("", true), ["request body abcdefghij end"]);
    assert_eq!(bodies(&bench.journal()), ["abc", "abcdefghij", "abcdefghij end"]);
}

#[test]
fn buffering_starts_anew_after_continue() {
    let mut bench = Bench::new(&[plugin("a", || recorder(&[(BODY, &[1, 0, 1, 0])]))]);
    bench.request(false);
    bench.request_body("a", false);
    assert_eq!(bench.request_body("b", false), ["request body ab"]);
    assert_eq!(bench.request_body("c", false), [""; 0]);
    assert_eq!(bench.request_body("d", true), ["request body cd end"]);
    assert_eq!(bodies(&bench.journal()), ["a", "ab", "c", "cd end"]);
}

#[test]
fn buffering_over_the_limit_is_413() {
    let mut bench = Bench::limited(&[plugin("a", || recorder(&[(BODY, &[1])]))], 5);
    bench.request(false);
    assert_eq!(bench.request_body("abcde", false), [""; 0], "at the limit, not over it");
    assert!(bench.wants(Direction::Request), "it reads on, to see whether there is more");
    let expected = [
        "request done",
        "response :status=413 content-length=17 content-type=text/plain",
        "response body Payload Too Large end",
    ];
    assert_eq!(bench.request_body("f", false), expected);
}

#[test]
fn buffering_a_response_over_the_limit_is_500() {
    let hold = || recorder(&[(CallbackId::on_response_headers, &[1]), (CallbackId::on_response_body, &[1])]);
    let mut bench = Bench::limited(&[with_headers_stop(plugin("a", hold))], 5);
    bench.request(true);
    assert_eq!(bench.response(false), [""; 0]);
    let expected = [
        "request done",
        "response :status=500 content-length=21 content-type=text/plain",
        "response body Internal Server Error end",
    ];
    assert_eq!(bench.response_body("abcdef", false), expected);
    assert_eq!(bench.response_body("ghi", true), [""; 0]);
}

#[test]
fn buffering_a_response_over_the_limit_after_its_headers_left_cuts_it() {
    let mut bench = Bench::limited(&[plugin("a", || recorder(&[(CallbackId::on_response_body, &[1])]))], 5);
    bench.request(true);
    assert_eq!(bench.response(false), ["response :status=200"]);
    assert_eq!(bench.response_body("abcdef", true), ["request done", "reset local_response_after_headers"]);
}

#[test]
fn stop_all_and_buffer_over_the_limit_is_413() {
    let mut bench = Bench::limited(&[plugin("a", || recorder(&[(HEADERS, &[3])]))], 5);
    bench.request(false);
    bench.request_body("abcde", false);
    assert!(bench.wants(Direction::Request));
    let effects = bench.request_body("f", false);
    assert_eq!(effects.get(1).map(|e| e.contains("413")), Some(true), "{effects:?}");
    let journal = bench.journal();
    assert!(!journal.iter().any(|line| line.contains("request body")), "it saw no body: {journal:?}");
}

#[test]
fn watermark_stops_reading_at_the_limit() {
    for results in [&[(HEADERS, &[4][..])][..], &[(BODY, &[2])]] {
        let results = results.to_vec();
        let script =
            move || ticking(recorder(&results), |caller| assert_eq!(caller.continue_stream(StreamType::Request), 0));
        let mut bench = Bench::limited(&[plugin("a", script)], 5);
        bench.request(false);
        assert!(bench.wants(Direction::Request));
        bench.request_body("abc", false);
        assert!(bench.wants(Direction::Request));
        assert_eq!(bench.request_body("defg", false), [""; 0], "no more than a chunk over");
        assert!(!bench.wants(Direction::Request));
        assert!(bench.wants(Direction::Response), "the other direction does not care");
        bench.worker_effects();
        bench.pass_second();
        bench.worker.tick();
        assert_eq!(bench.worker_effects(), ["wake"]);
    }
}

#[test]
fn watermark_releases_what_it_held() {
    let script =
        || ticking(recorder(&[(BODY, &[2])]), |caller| assert_eq!(caller.continue_stream(StreamType::Request), 0));
    let mut bench = Bench::limited(&[plugin("a", script)], 5);
    bench.request(false);
    bench.request_body("abc", false);
    bench.request_body("def", true);
    assert!(!bench.wants(Direction::Request));
    assert_eq!(bench.tick(), ["request body abcdef end"]);
    assert!(bench.wants(Direction::Request));
}

/// The plugin behind buffers without end in sight; the one before must still not hold without end.
#[test]
fn back_pressure_of_a_plugin_before_one_that_buffers() {
    let first = plugin("a", || recorder(&[(BODY, &[0, 2])]));
    let mut bench = Bench::limited(&[first, plugin("b", || recorder(&[(BODY, &[1])]))], 5);
    bench.request(false);
    bench.request_body("abc", false);
    assert!(bench.wants(Direction::Request));
    bench.request_body("defgh", false);
    assert!(!bench.wants(Direction::Request), "what comes waits at the first plugin, which wants back-pressure");
}

#[test]
fn no_buffer_drops_the_chunk() {
    let mut bench = Bench::limited(&[plugin("a", || recorder(&[(BODY, &[3, 3, 0])]))], 5);
    bench.request(false);
    assert_eq!(bench.request_body("abcdefgh", false), [""; 0]);
    assert!(bench.wants(Direction::Request), "nothing is held");
    assert_eq!(bench.request_body("ijk", false), [""; 0]);
    assert_eq!(bench.request_body("l", true), ["request body l end"]);
    assert_eq!(bodies(&bench.journal()), ["abcdefgh", "ijk", "l end"]);
}

#[test]
fn values_beyond_the_enum_are_no_buffer() {
    for value in [4, 5, 100, -1, i32::MIN] {
        let mut bench = Bench::new(&[plugin("a", move || recorder(&[(BODY, &[value, 0])]))]);
        bench.request(false);
        assert_eq!(bench.request_body("a", false), [""; 0]);
        assert_eq!(bench.request_body("b", true), ["request body b end"]);
    }
}

#[test]
fn headers_are_held_while_the_body_is_inspected() {
    let script = || {
        recorder(&[(HEADERS, &[1])]).on(BODY, |caller, args| {
            log_filter(caller, BODY, "request body", args);
            assert_eq!(caller.header(portcullis_core::abi::MapType::RequestHeaders, ":method"), Ok("POST".to_owned()));
            assert_eq!(
                caller.add_header(portcullis_core::abi::MapType::RequestHeaders, "x-size", &args[1].to_string()),
                0
            );
            i32::from(args[2] == 0)
        })
    };
    let mut bench = Bench::new(&[with_headers_stop(plugin("a", script)), plugin("b", || recorder(&[]))]);
    assert_eq!(bench.request(false), [""; 0]);
    assert_eq!(bench.request_body("abc", false), [""; 0]);
    let expected = ["request :method=POST x-size=3 x-size=5", "request body abcde end"];
    assert_eq!(bench.request_body("de", true), expected);
}

#[test]
fn the_headers_are_out_of_reach_once_they_were_passed_on() {
    let script = || {
        Script::new().on(BODY, |caller, _| {
            assert_eq!(caller.header(portcullis_core::abi::MapType::RequestHeaders, ":method"), Err(2));
            0
        })
    };
    let mut bench = Bench::new(&[plugin("a", script)]);
    bench.request(false);
    assert_eq!(bench.request_body("abc", true), ["request body abc end"]);
    assert_eq!(bench.host.lines().len(), 0);
}

#[test]
fn plugins_change_the_body() {
    let edit = |start: i32, size: i32, data: &'static [u8]| {
        move || {
            Script::new().on(BODY, move |caller, _| {
                let (data, len) = caller.put(data);
                let buffer = BufferType::HttpRequestBody as i32;
                assert!(matches!(entry::proxy_set_buffer_bytes(caller, buffer, start, size, data, len), Ok(0)));
                0
            })
        }
    };
    let cases: [(i32, i32, &'static [u8], &str); 4] =
        [(0, i32::MAX, b"new", "new"), (0, 0, b"<", "<abc"), (3, 0, b">", "abc>"), (0, i32::MAX, b"", "-")];
    for (start, size, data, expected) in cases {
        let mut bench = Bench::new(&[plugin("a", edit(start, size, data)), plugin("b", || recorder(&[]))]);
        bench.request(false);
        assert_eq!(bench.request_body("abc", true), [format!("request body {expected} end")]);
        assert_eq!(bodies(&bench.journal()), [format!("{expected} end")], "the next plugin sees it");
    }
}

#[test]
fn a_plugin_may_give_an_empty_last_chunk_a_body() {
    let script = || {
        Script::new().on(BODY, |caller, args| {
            if args[2] == 1 {
                assert_eq!(caller.set_buffer(BufferType::HttpRequestBody, b"tail"), 0);
            }
            0
        })
    };
    let mut bench = Bench::new(&[plugin("a", script)]);
    bench.request(false);
    bench.request_body("abc", false);
    assert_eq!(bench.request_body("", true), ["request body tail end"]);
}

/// A guest that sees requests' headers, answers them so, and has no callback for anything else.
fn headers_alone(answer: i32) -> Script {
    Script::new().on(HEADERS, move |caller, args| {
        log_filter(caller, HEADERS, "", args);
        answer
    })
}

#[test]
fn what_a_plugin_has_no_callback_for_passes_by_it() {
    let deaf = plugin("deaf", || headers_alone(0));
    let mut bench = Bench::new(&[deaf.clone(), plugin("a", || recorder(&[])), deaf]);
    assert_eq!(bench.request(false), ["request :method=POST"]);
    assert_eq!(bench.request_body("abc", false), ["request body abc"]);
    assert_eq!(bench.request_trailers(), ["request trailers t=1"]);
    assert_eq!(bench.response(false), ["response :status=200"]);
    assert_eq!(bench.response_body("de", true), ["response body de end"]);
    assert_eq!(bodies(&bench.journal()), ["abc", "de end"]);
}

#[test]
fn a_plugin_that_holds_headers_holds_the_body_that_it_has_no_callback_for() {
    let specs = [with_headers_stop(plugin("a", || headers_alone(1))), plugin("b", || recorder(&[]))];
    let mut bench = Bench::limited(&specs, 5);
    assert_eq!(bench.request(false), [""; 0]);
    assert_eq!(bench.request_body("abc", false), [""; 0]);
    assert!(bench.wants(Direction::Request));
    assert_eq!(bench.request_body("de", false), [""; 0]);
    assert!(!bench.wants(Direction::Request), "as much is held as may be");
    assert_eq!(bench.request_body("", true), [""; 0]);
    assert_eq!(bench.journal(), ["a:  1"], "its headers");
}

/// A callback that the plugin may not receive is as absent as one that its module lacks.
#[test]
fn a_plugin_that_holds_headers_holds_the_body_whose_callback_it_is_denied() {
    let mut spec = with_headers_stop(plugin("a", || recorder(&[(HEADERS, &[1])])));
    let others = Capabilities::names().filter(|name| *name != "proxy_on_request_body");
    spec.plugin.capabilities = Capabilities::from_names(others).unwrap();
    let mut bench = Bench::new(&[spec]);
    assert_eq!(bench.request(false), [""; 0]);
    assert_eq!(bench.request_body("abc", true), [""; 0]);
    assert_eq!(bench.journal(), ["a: request headers 1"]);
}

#[test]
fn what_waits_for_a_plugin_passes_by_it_when_it_resumes() {
    let script = || {
        headers_alone(4).on(CallbackId::on_configure, |caller, _| crate::common::set_tick(caller, 1000)).on(
            CallbackId::on_tick,
            |caller, _| {
                assert_eq!(caller.set_effective(2), 0);
                caller.continue_stream(StreamType::Request);
                0
            },
        )
    };
    let mut bench = Bench::new(&[plugin("a", script)]);
    assert_eq!(bench.request(false), [""; 0]);
    assert_eq!(bench.request_body("abc", true), [""; 0]);
    assert_eq!(bench.tick(), ["request :method=POST", "request body abc end"]);
}

#[test]
fn nothing_passes_by_a_plugin_whose_vm_has_failed() {
    let script = || {
        headers_alone(0)
            .on(CallbackId::on_configure, |caller, _| crate::common::set_tick(caller, 1000))
            .try_on(CallbackId::on_tick, |_, _| Err(crate::common::trap()))
    };
    let mut bench = Bench::new(&[plugin("a", script)]);
    assert_eq!(bench.request(false), ["request :method=POST"]);
    assert_eq!(bench.tick(), [""; 0]);
    assert_eq!(bench.request_body("abc", true), ["request done", "response :status=503 end"]);
}
