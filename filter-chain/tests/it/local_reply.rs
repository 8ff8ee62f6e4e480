//! Answers that plugins make themselves.

use crate::common::{Bench, answering, call_out, plugin, recorder, respond, ticking};
use portcullis_chain::{StreamEffect, local_response};
use portcullis_core::abi::{CallbackId, StreamType};
use portcullis_core::hostcall::entry;
use portcullis_core::model::Direction;
use portcullis_core::testing::{NullCaller, Script};

const DENIED: [&str; 3] =
    ["request done", "response :status=403 content-length=2 content-type=text/plain", "response body no end"];

/// A guest that answers from a callback, which returns 0 all the same.
fn denying(id: CallbackId) -> impl Fn() -> Script + Send + Sync {
    move || {
        recorder(&[]).on(id, |caller, _| {
            assert_eq!(caller.local_response(403, "no"), 0);
            0
        })
    }
}

#[test]
fn from_request_headers() {
    let mut bench = Bench::new(&[
        plugin("a", || recorder(&[])),
        plugin("b", denying(CallbackId::on_request_headers)),
        plugin("c", || recorder(&[])),
    ]);
    assert_eq!(bench.request(false), DENIED);
    let expected = [
        "a: request headers 1",
        "b: response headers 3",
        "a: response headers 3",
        "b: response body no end",
        "a: response body no end",
    ];
    assert_eq!(bench.journal(), expected, "in reverse, with the sender, without those that the request never reached");
    assert_eq!(bench.request_body("late", true), [""; 0]);
    assert_eq!(bench.journal(), [""; 0]);
    let log = bench.finish();
    assert_eq!(log.get(..3), Some(&["a: log", "b: log", "c: log"].map(String::from)[..]));
    assert_eq!(log.len(), 9);
}

#[test]
fn from_request_body_and_trailers() {
    let mut bench = Bench::new(&[plugin("a", denying(CallbackId::on_request_body))]);
    assert_eq!(bench.request(false), ["request :method=POST"]);
    assert_eq!(bench.request_body("abc", false), DENIED, "the request's headers have left, the response's have not");
    let mut bench = Bench::new(&[plugin("a", denying(CallbackId::on_request_trailers))]);
    bench.request(false);
    bench.request_body("abc", false);
    assert_eq!(bench.request_trailers(), DENIED);
}

#[test]
fn from_response_headers_it_takes_the_place_of_the_response() {
    let specs = [plugin("a", || recorder(&[])), plugin("b", denying(CallbackId::on_response_headers))];
    let mut bench = Bench::new(&specs);
    bench.request(true);
    bench.journal();
    assert_eq!(bench.response(false), DENIED);
    assert_eq!(bench.journal(), [""; 0], "no plugin sees it");
    assert_eq!(bench.response_body("abc", true), [""; 0]);
    assert_eq!(bench.journal(), [""; 0]);
}

#[test]
fn from_response_body_once_headers_left_it_cuts_the_stream() {
    let mut bench = Bench::new(&[plugin("a", denying(CallbackId::on_response_body))]);
    bench.request(true);
    bench.response(false);
    assert_eq!(bench.response_body("abc", false), ["request done", "reset local_response_after_headers"]);
    assert_eq!(bench.response_body("def", true), [""; 0]);
}

#[test]
fn from_response_body_while_headers_are_held_it_is_sent() {
    let hold = || recorder(&[(CallbackId::on_response_headers, &[1])]);
    let mut first = plugin("a", hold);
    first.plugin.allow_on_headers_stop_iteration = true;
    let mut bench = Bench::new(&[first, plugin("b", denying(CallbackId::on_response_body))]);
    bench.request(true);
    assert_eq!(bench.response(false), [""; 0]);
    assert_eq!(bench.response_body("abc", false), DENIED);
}

#[test]
fn from_a_tick_or_a_callout_while_the_stream_is_paused() {
    let hold: &[(CallbackId, &[i32])] = &[(CallbackId::on_request_headers, &[1])];
    let deny = |caller: &mut NullCaller<'_>| assert_eq!(caller.local_response(403, "no"), 0);
    let mut bench = Bench::new(&[plugin("a", move || ticking(recorder(hold), deny))]);
    bench.request(false);
    bench.request_body("abc", false);
    assert_eq!(bench.tick(), DENIED);
    assert_eq!(bench.worker_effects(), ["wake"]);
    assert_eq!(bench.request_body("def", true), [""; 0]);

    let script =
        move || answering(recorder(&[]), deny).on(CallbackId::on_request_headers, |caller, _| call_out(caller));
    let mut bench = Bench::new(&[plugin("a", script)]);
    bench.request(false);
    bench.worker_effects();
    assert_eq!(bench.answer_callout(), DENIED);
}

#[test]
fn the_first_of_a_callback_wins_and_a_later_callback_replaces_it() {
    let script = || {
        recorder(&[])
            .on(CallbackId::on_request_headers, |caller, _| {
                caller.local_response(403, "no");
                caller.local_response(500, "other");
                0
            })
            .on(CallbackId::on_response_headers, |caller, _| {
                caller.log("response");
                caller.local_response(418, "tea");
                0
            })
    };
    let mut bench = Bench::new(&[plugin("a", || recorder(&[])), plugin("b", script)]);
    let effects = bench.request(true);
    let expected =
        ["request done", "response :status=418 content-length=3 content-type=text/plain", "response body tea end"];
    assert_eq!(effects, expected, "no second request done");
    assert_eq!(bench.journal(), ["a: request headers 1 end", "b: response"], "it passes no plugin again");
}

#[test]
fn a_plugin_may_hold_a_local_reply() {
    let hold = || {
        ticking(recorder(&[(CallbackId::on_response_headers, &[1])]), |caller| {
            caller.continue_stream(StreamType::Response);
        })
    };
    let mut bench = Bench::new(&[plugin("a", hold), plugin("b", denying(CallbackId::on_request_headers))]);
    assert_eq!(bench.request(true), ["request done"]);
    assert_eq!(bench.response(false), [""; 0], "an upstream's late answer is ignored");
    assert_eq!(bench.tick(), DENIED[1..]);
}

#[test]
fn it_has_the_plugins_headers() {
    let script = || {
        Script::new().on(CallbackId::on_request_headers, |caller, _| {
            let headers = [("X-Why", "a"), ("content-type", "text/html"), (":status", "200"), ("content-length", "99")];
            respond(caller, 404, "gone", &headers, -1)
        })
    };
    let mut bench = Bench::new(&[plugin("a", script)]);
    let expected = "response :status=404 x-why=a content-type=text/html content-length=4";
    assert_eq!(bench.request(true).get(1).map(String::as_str), Some(expected));
    assert_eq!(bench.details().as_deref(), Some("because"));
}

#[test]
fn without_a_body_no_length_of_one_is_claimed() {
    let script = || {
        Script::new()
            .on(CallbackId::on_request_headers, |caller, _| respond(caller, 302, "", &[("content-length", "99")], -1))
    };
    let mut bench = Bench::new(&[plugin("a", script)]);
    assert_eq!(bench.request(true), ["request done", "response :status=302 end"]);
    let grpc = bench.open();
    let effects = bench.headers(Direction::Request, &[("content-type", "application/grpc")], true);
    assert_eq!(effects.get(1).map(|e| e.contains("content-length")), Some(false), "{effects:?} {grpc:?}");
}

#[test]
fn to_head_it_has_no_body() {
    let mut bench = Bench::new(&[plugin("a", denying(CallbackId::on_request_headers))]);
    let effects = bench.headers(Direction::Request, &[(":method", "HEAD")], true);
    assert_eq!(effects, ["request done", "response :status=403 content-length=2 content-type=text/plain end"]);
}

#[test]
fn to_grpc_it_is_a_grpc_status() {
    for (content_type, status, given, body, expected) in [
        ("application/grpc", 403, -1, "no 50%\n", "grpc-status=7 grpc-message=no 50%25%0A end"),
        ("application/grpc+proto", 403, 5, "no", "grpc-status=5 grpc-message=no end"),
        ("application/grpc", 503, 99, "", "grpc-status=14 end"),
        ("application/grpc", 418, -1, "", "grpc-status=2 end"),
    ] {
        let script = move || {
            Script::new().on(CallbackId::on_request_headers, move |caller, _| respond(caller, status, body, &[], given))
        };
        let mut bench = Bench::new(&[plugin("a", script)]);
        let effects = bench.headers(Direction::Request, &[("content-type", content_type)], false);
        let expected = format!("response :status=200 content-type=application/grpc {expected}");
        assert_eq!(effects, ["request done".to_owned(), expected]);
    }
}

#[test]
fn to_grpc_web_it_is_plain() {
    let mut bench = Bench::new(&[plugin("a", denying(CallbackId::on_request_headers))]);
    assert_eq!(bench.headers(Direction::Request, &[("content-type", "application/grpc-web")], false), DENIED);
}

#[test]
fn where_there_is_nothing_to_answer_it_is_nothing() {
    let deny = |caller: &mut NullCaller<'_>, _: &[i32]| caller.local_response(403, "no");
    let script = move || {
        Script::new().on(CallbackId::on_log, deny).on(CallbackId::on_configure, move |caller, args| {
            deny(caller, args);
            1
        })
    };
    let mut bench = Bench::new(&[plugin("a", script)]);
    assert_eq!(bench.request(true), ["request :method=POST end"]);
    bench.finish();
    assert_eq!(bench.effects(), [""; 0]);
}

#[test]
fn close_cuts_the_stream() {
    for (id, stream) in [(CallbackId::on_request_headers, 0), (CallbackId::on_request_headers, 1)] {
        let script =
            move || Script::new().on(id, move |caller, _| entry::proxy_close_stream(caller, stream).unwrap_or(-1));
        let mut bench = Bench::new(&[plugin("a", script)]);
        assert_eq!(bench.request(false), ["request done", "reset wasm_close_stream"]);
        assert_eq!(bench.request_body("abc", true), [""; 0]);
        assert_eq!(bench.response(true), [""; 0]);
    }
}

#[test]
fn after_the_response_it_ends_what_is_left_of_the_request() {
    let mut bench = Bench::new(&[plugin("a", denying(CallbackId::on_request_body))]);
    bench.request(false);
    assert_eq!(bench.response(true), ["response :status=200 end"]);
    assert_eq!(bench.request_body("abc", false), ["request done"]);
}

/// Whether the response of a stream is said to be local, and whether plugins have seen it.
fn is_local(bench: &mut Bench) -> bool {
    let effects = std::iter::from_fn(|| bench.worker.stream_effect(bench.stream));
    let heads = effects.filter_map(|effect| match effect {
        StreamEffect::ResponseHeaders { local, .. } => Some(local),
        _ => None,
    });
    let heads: Vec<_> = heads.collect();
    assert_eq!(heads.len(), 1);
    heads[0]
}

#[test]
fn the_head_says_whether_it_is_the_upstreams() {
    let head = || [(":status", "200")].into_iter().collect();
    let request = || [(":method", "GET")].into_iter().collect();
    let mut bench = Bench::new(&[plugin("a", || recorder(&[]))]);
    bench.worker.headers(bench.stream, Direction::Request, request(), true);
    bench.worker.headers(bench.stream, Direction::Response, head(), true);
    assert!(!is_local(&mut bench));
    bench.open();
    bench.worker.reply(bench.stream, local_response(404, "", ""));
    assert!(is_local(&mut bench), "the proxy's own");
    for callback in [CallbackId::on_request_headers, CallbackId::on_response_headers] {
        let mut bench = Bench::new(&[plugin("a", denying(callback))]);
        bench.worker.headers(bench.stream, Direction::Request, request(), true);
        if callback == CallbackId::on_response_headers {
            bench.worker.headers(bench.stream, Direction::Response, head(), true);
        }
        assert!(is_local(&mut bench), "a plugin's, in {callback:?}");
    }
}
