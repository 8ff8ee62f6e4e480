use std::sync::atomic::{AtomicBool, Ordering};

use portcullis::model::Direction::{Request, Response};
use portcullis_core::abi::{BufferType, CallbackId, MapType, StreamType};
use portcullis_core::hostcall::entry;
use portcullis_core::testing::{NullCaller, Script};

use super::{BodyStatus, HeadersStatus, Slot, TrailersStatus};
use crate::testing::{Stream, loaded};

const GET: &[(&str, &str)] = &[(":method", "GET"), (":path", "/x")];
const OK: &[(&str, &str)] = &[(":status", "200")];

/// Adds a header each way.
fn tagging() -> Script {
    Script::new()
        .on(CallbackId::on_request_headers, |caller, _| {
            caller.add_header(MapType::RequestHeaders, "x-plugin", "request");
            0
        })
        .on(CallbackId::on_response_headers, |caller, _| {
            caller.add_header(MapType::ResponseHeaders, "x-plugin", "response");
            0
        })
}

/// Holds the request's headers until a callout has failed.
fn asking() -> Script {
    holding(1)
}

/// The same, and body and trailers wait in Envoy.
fn asking_alone() -> Script {
    holding(4)
}

fn holding(status: i32) -> Script {
    static NOBODY_ASKS: AtomicBool = AtomicBool::new(false);
    holding_until(status, &NOBODY_ASKS)
}

/// Holds the request's headers until a callout has failed, and says when.
fn asking_until(is_answered: &'static AtomicBool) -> Script {
    holding_until(1, is_answered)
}

fn holding_until(status: i32, is_answered: &'static AtomicBool) -> Script {
    Script::new()
        .on(CallbackId::on_request_headers, move |caller, _| {
            assert_eq!(call_out(caller), 0);
            status
        })
        .on(CallbackId::on_http_call_response, move |caller, _| {
            // The stream is the context after the root.
            caller.set_effective(2);
            caller.add_header(MapType::RequestHeaders, "x-asked", "yes");
            caller.continue_stream(StreamType::Request);
            is_answered.store(true, Ordering::Release);
            0
        })
}

fn call_out(caller: &mut NullCaller<'_>) -> i32 {
    let entries = [(":method", "GET"), (":path", "/"), (":authority", "a")];
    let ((upstream, upstream_len), (pairs, pairs_len)) = (caller.put(b"auth"), caller.put_pairs(&entries));
    entry::proxy_http_call(caller, upstream, upstream_len, pairs, pairs_len, 0, 0, 0, 0, 0, 16).unwrap()
}

/// Holds bodies until their end, and puts text before them.
fn rewriting() -> Script {
    let rewrite = |of: BufferType| {
        move |caller: &mut NullCaller<'_>, args: &[i32]| {
            if args.get(2) == Some(&0) {
                return 1;
            }
            let body = caller.buffer(of).unwrap_or_default();
            assert_eq!(caller.set_buffer(of, &[b"<", &body[..], b">"].concat()), 0);
            0
        }
    };
    Script::new()
        .on(CallbackId::on_request_body, rewrite(BufferType::HttpRequestBody))
        .on(CallbackId::on_response_body, rewrite(BufferType::HttpResponseBody))
}

#[test]
fn headers_are_changed_in_place() {
    let slot = Slot::new(&loaded(tagging));
    let mut stream = Stream::default();
    assert_eq!(stream.headers(&slot, Request, GET, true), HeadersStatus::Continue);
    assert_eq!(stream.headers(&slot, Response, OK, false), HeadersStatus::Continue);
    assert_eq!(stream.body(&slot, Response, "abc", true), Some(BodyStatus::Continue));
    assert_eq!(
        stream.seen,
        [
            "request headers :method=GET :path=/x x-plugin=request end",
            "response headers :status=200 x-plugin=response",
            "response body abc end",
        ]
    );
}

#[test]
fn a_header_that_would_be_another_message_ends_the_stream() {
    let slot = Slot::new(&loaded(|| {
        Script::new().on(CallbackId::on_request_headers, |caller, _| {
            assert_eq!(caller.add_header(MapType::RequestHeaders, "x-bad", "a\r\nx-other: b"), 0);
            0
        })
    }));
    let mut stream = Stream::default();
    assert_eq!(stream.headers(&slot, Request, GET, false), HeadersStatus::StopIteration);
    assert_eq!(stream.body(&slot, Request, "abc", true), Some(BodyStatus::StopIterationNoBuffer));
    assert_eq!(stream.seen, ["answer 500  \"\" portcullis_unsendable_header"]);
}

#[test]
fn a_stream_that_waits_is_continued_by_the_answer() {
    let slot = Slot::new(&loaded(asking));
    let mut stream = Stream::default();
    assert_eq!(stream.headers(&slot, Request, GET, true), HeadersStatus::StopIteration);
    assert!(stream.seen.is_empty());
    stream.until(&slot, 1);
    assert_eq!(stream.seen, ["request headers :method=GET :path=/x x-asked=yes end"]);
}

/// A hook of one direction takes effects of the other, which came from elsewhere.
#[test]
fn what_leaves_in_a_hook_of_the_other_direction_is_not_lost() {
    static IS_ANSWERED: AtomicBool = AtomicBool::new(false);
    let slot = Slot::new(&loaded(|| asking_until(&IS_ANSWERED)));
    let mut stream = Stream::default();
    stream.headers(&slot, Request, GET, true);
    stream.ignore_calls_until(&IS_ANSWERED);
    assert_eq!(stream.headers(&slot, Response, OK, true), HeadersStatus::Continue);
    stream.until(&slot, 2);
    assert_eq!(
        stream.seen,
        ["response headers :status=200 end", "request headers :method=GET :path=/x x-asked=yes end"]
    );
}

#[test]
fn a_body_that_nobody_wants_meanwhile_stays_in_envoy() {
    // The answer can be there before the hook returns: then the head waits alone, for the event that continues it.
    let waits = |_| {
        let (slot, mut stream) = (Slot::new(&loaded(asking_alone)), Stream::default());
        let status = stream.headers(&slot, Request, GET, false);
        (status == HeadersStatus::StopAllIterationAndWatermark).then_some((slot, stream))
    };
    let Some((slot, mut stream)) = (0..100).find_map(waits) else { panic!("the answer comes first, each time") };
    assert_eq!(stream.body(&slot, Request, "abc", true), None);
    stream.until(&slot, 2);
    assert_eq!(stream.seen, ["request headers :method=GET :path=/x x-asked=yes", "request body abc end"]);
}

#[test]
fn a_held_body_weighs_in_envoys_buffer_and_leaves_it_rewritten() {
    for direction in [Request, Response] {
        let slot = Slot::new(&loaded(rewriting));
        let mut stream = Stream::default();
        if direction == Response {
            stream.headers(&slot, Request, GET, true);
            stream.seen.clear();
        }
        let side = format!("{direction:?}").to_lowercase();
        let (headers, shown) = if direction == Request { (GET, ":method=GET :path=/x") } else { (OK, ":status=200") };
        assert_eq!(stream.headers(&slot, direction, headers, false), HeadersStatus::Continue);
        assert_eq!(stream.body(&slot, direction, "ab", false), Some(BodyStatus::StopIterationAndWatermark));
        assert_eq!(stream.body(&slot, direction, "cd", false), Some(BodyStatus::StopIterationAndWatermark));
        assert_eq!(stream.buffered(direction), "abcd", "the chain holds them, and Envoy counts them");
        assert_eq!(stream.body(&slot, direction, "ef", true), Some(BodyStatus::Continue));
        assert_eq!(stream.seen, [format!("{side} headers {shown}"), format!("{side} body <abcdef> end")]);
    }
}

#[test]
fn bytes_that_a_filter_before_has_kept_come_once() {
    let slot = Slot::new(&loaded(rewriting));
    let mut stream = Stream::default();
    stream.headers(&slot, Request, GET, false);
    assert_eq!(stream.body(&slot, Request, "ab", false), Some(BodyStatus::StopIterationAndWatermark));
    stream.keep(Request, "cd");
    assert_eq!(stream.kept_body(&slot, Request, false), BodyStatus::StopIterationAndWatermark);
    assert_eq!(stream.buffered(Request), "cd", "the chain holds all, and these weigh");
    assert_eq!(stream.body(&slot, Request, "ef", true), Some(BodyStatus::Continue));
    assert_eq!(stream.seen, ["request headers :method=GET :path=/x", "request body <abcdef> end"]);
}

#[test]
fn bytes_that_a_filter_behind_keeps_stay() {
    let slot = Slot::new(&loaded(rewriting));
    let mut stream = Stream::default();
    stream.headers(&slot, Request, GET, false);
    stream.keep(Request, "kept ");
    assert_eq!(stream.body(&slot, Request, "ab", false), Some(BodyStatus::StopIterationNoBuffer));
    assert_eq!(stream.buffered(Request), "kept ");
    assert_eq!(stream.body(&slot, Request, "cd", true), Some(BodyStatus::Continue));
    assert_eq!(stream.seen, ["request headers :method=GET :path=/x", "request body kept <abcd> end"]);
}

/// Envoy would let go what the plugin holds with the rest (the table of `way`).
#[test]
fn a_released_head_waits_for_a_body_that_is_held() {
    static IS_ANSWERED: AtomicBool = AtomicBool::new(false);
    let slot = Slot::new(&loaded(|| {
        let mut has_asked = false;
        // It asks with the first piece, so that the answer comes after it.
        asking_until(&IS_ANSWERED).on(CallbackId::on_request_headers, |_, _| 1).on(
            CallbackId::on_request_body,
            move |caller, args| {
                if !std::mem::replace(&mut has_asked, true) {
                    assert_eq!(call_out(caller), 0);
                }
                i32::from(args.get(2) == Some(&0))
            },
        )
    }));
    let mut stream = Stream::default();
    assert_eq!(stream.headers(&slot, Request, GET, false), HeadersStatus::StopIteration);
    assert_eq!(stream.body(&slot, Request, "ab", false), Some(BodyStatus::StopIterationAndWatermark));
    // The answer lets head and piece go before Envoy gives the next piece, which the plugin holds.
    stream.ignore_calls_until(&IS_ANSWERED);
    assert_eq!(stream.body(&slot, Request, "cd", false), Some(BodyStatus::StopIterationAndWatermark));
    assert!(stream.seen.is_empty(), "{:?}", stream.seen);
    assert_eq!(stream.buffered(Request), "ab", "what was let go is Envoy's, what is held the chain's");
    assert_eq!(stream.body(&slot, Request, "ef", true), Some(BodyStatus::Continue));
    assert_eq!(stream.seen, ["request headers :method=GET :path=/x x-asked=yes", "request body abcdef end"]);
}

#[test]
fn trailers_follow_a_body_that_was_held() {
    let slot = Slot::new(&loaded(|| {
        Script::new().on(CallbackId::on_request_body, |_, _| 1).on(CallbackId::on_request_trailers, |caller, _| {
            caller.add_header(MapType::RequestTrailers, "x-plugin", "trailer");
            0
        })
    }));
    let mut stream = Stream::default();
    stream.headers(&slot, Request, GET, false);
    assert_eq!(stream.body(&slot, Request, "abc", false), Some(BodyStatus::StopIterationAndWatermark));
    assert_eq!(stream.trailers(&slot, Request, &[("t", "1")]), TrailersStatus::Continue);
    assert_eq!(
        stream.seen,
        ["request headers :method=GET :path=/x", "request body abc", "request trailers t=1 x-plugin=trailer end"]
    );
}

#[test]
fn a_body_that_a_plugin_swallows_is_not_held() {
    let slot = Slot::new(&loaded(|| {
        Script::new().on(CallbackId::on_request_body, |caller, _| {
            assert_eq!(caller.set_buffer(BufferType::HttpRequestBody, b""), 0);
            0
        })
    }));
    let mut stream = Stream::default();
    stream.headers(&slot, Request, GET, false);
    for end in [false, false, true] {
        assert_eq!(stream.body(&slot, Request, "abc", end), Some(BodyStatus::Continue));
    }
    assert_eq!(stream.seen, ["request headers :method=GET :path=/x", "request body end"]);
}

#[test]
fn a_plugins_answer_takes_the_upstreams_place() {
    let slot = Slot::new(&loaded(|| {
        Script::new()
            .on(CallbackId::on_request_headers, |caller, _| {
                assert_eq!(caller.local_response(403, "denied"), 0);
                0
            })
            .on(CallbackId::on_response_headers, |caller, _| {
                caller.add_header(MapType::ResponseHeaders, "x-plugin", "response");
                0
            })
    }));
    let mut stream = Stream::default();
    assert_eq!(stream.headers(&slot, Request, GET, false), HeadersStatus::StopIteration);
    assert_eq!(stream.body(&slot, Request, "abc", true), Some(BodyStatus::StopIterationNoBuffer));
    assert_eq!(stream.seen, ["answer 403 content-type=text/plain x-plugin=response \"denied\" "]);
    let mut grpc = Stream::default();
    let slot = Slot::new(&loaded(|| {
        Script::new().on(CallbackId::on_request_headers, |caller, _| {
            caller.local_response(403, "denied");
            0
        })
    }));
    grpc.headers(
        &slot,
        Request,
        &[(":method", "POST"), (":path", "/a.B/C"), ("content-type", "application/grpc")],
        false,
    );
    assert_eq!(
        grpc.seen,
        ["answer verbatim :status=200 content-type=application/grpc grpc-status=7 grpc-message=denied \"\""]
    );
}

#[test]
fn a_response_that_has_begun_is_cut() {
    let slot = Slot::new(&loaded(|| {
        Script::new().on(CallbackId::on_response_body, |caller, _| {
            caller.local_response(500, "late");
            0
        })
    }));
    let mut stream = Stream::default();
    stream.headers(&slot, Request, GET, true);
    stream.headers(&slot, Response, OK, false);
    stream.body(&slot, Response, "abc", true);
    assert_eq!(stream.seen.last().map(String::as_str), Some("cut local_response_after_headers"));
}

#[test]
fn a_plugin_that_fails_answers_503_once_for_each_stream() {
    let loaded = loaded(|| {
        Script::new().try_on(CallbackId::on_request_headers, |_, _| {
            Err(portcullis_core::engine::Trap::Wasm(
                portcullis_core::engine::WasmTrap::Unreachable,
                portcullis_core::engine::CallStack::default(),
            ))
        })
    });
    for _ in 0..2 {
        let slot = Slot::new(&loaded);
        let mut stream = Stream::default();
        assert_eq!(stream.headers(&slot, Request, GET, true), HeadersStatus::StopIteration);
        assert_eq!(stream.seen, ["answer 503  \"\" wasm_fail_stream"]);
    }
}

#[test]
fn a_route_with_the_configuration_of_another_library_is_answered_503() {
    let slot = Slot::new(&loaded(tagging));
    let mut stream = Stream::default();
    stream.has_foreign_route = true;
    assert_eq!(stream.headers(&slot, Request, GET, true), HeadersStatus::StopIteration);
    assert_eq!(stream.seen, ["answer 503  \"\" portcullis_no_plugin"]);
    assert_eq!(stream.headers(&slot, Response, OK, true), HeadersStatus::Continue, "the answer passes by");
    assert_eq!(stream.seen.last().unwrap(), "response headers :status=200 end");
}

/// Puts text before each piece of a request's body.
fn growing() -> Script {
    Script::new().on(CallbackId::on_request_body, |caller, _| {
        let body = caller.buffer(BufferType::HttpRequestBody).unwrap_or_default();
        assert_eq!(caller.set_buffer(BufferType::HttpRequestBody, &[b"<", &body[..]].concat()), 0);
        0
    })
}

#[test]
fn a_body_that_outgrows_the_length_that_was_sent_is_cut() {
    let slot = Slot::new(&loaded(growing));
    let mut stream = Stream::default();
    let post = [(":method", "POST"), (":path", "/x"), ("content-length", "3")];
    assert_eq!(stream.headers(&slot, Request, &post, false), HeadersStatus::Continue);
    assert_eq!(stream.body(&slot, Request, "abc", true), Some(BodyStatus::StopIterationNoBuffer));
    assert_eq!(
        stream.seen,
        ["request headers :method=POST :path=/x content-length=3", "cut portcullis_length_mismatch"]
    );
}

#[test]
fn a_head_that_leaves_with_a_changed_body_has_its_length() {
    let slot = Slot::new(&loaded(|| growing().on(CallbackId::on_request_headers, |_, _| 1)));
    let mut stream = Stream::default();
    let post = [(":method", "POST"), (":path", "/x"), ("content-length", "3")];
    assert_eq!(stream.headers(&slot, Request, &post, false), HeadersStatus::StopIteration);
    assert_eq!(stream.body(&slot, Request, "abc", true), Some(BodyStatus::Continue));
    assert_eq!(stream.seen, ["request headers :method=POST :path=/x content-length=4", "request body <abc end"]);
}

#[test]
fn the_length_of_a_response_to_head_stays() {
    let slot = Slot::new(&loaded(tagging));
    let mut stream = Stream::default();
    stream.headers(&slot, Request, &[(":method", "HEAD"), (":path", "/x")], true);
    stream.headers(&slot, Response, &[(":status", "200"), ("content-length", "9")], true);
    assert_eq!(stream.seen[1], "response headers :status=200 content-length=9 x-plugin=response end");
}

#[test]
fn a_body_above_the_limit_is_refused() {
    let slot = Slot::new(&loaded(|| Script::new().on(CallbackId::on_request_body, |_, _| 1)));
    let mut stream = Stream::default();
    stream.limit = 4;
    stream.headers(&slot, Request, GET, false);
    assert_eq!(stream.body(&slot, Request, "abcd", false), Some(BodyStatus::StopIterationAndWatermark));
    assert_eq!(stream.body(&slot, Request, "e", false), Some(BodyStatus::StopIterationNoBuffer));
    assert!(stream.seen.last().is_some_and(|seen| seen.starts_with("answer 413 ")), "{:?}", stream.seen);
}

#[test]
fn parts_without_a_callback_pass_by() {
    let slot = Slot::new(&loaded(tagging));
    let mut stream = Stream::default();
    stream.headers(&slot, Request, GET, false);
    assert_eq!(stream.body(&slot, Request, "abc", false), Some(BodyStatus::Continue));
    assert_eq!(stream.trailers(&slot, Request, &[("t", "1")]), TrailersStatus::Continue);
    assert_eq!(
        stream.seen,
        ["request headers :method=GET :path=/x x-plugin=request", "request body abc", "request trailers t=1 end",]
    );
}

#[test]
fn what_plugins_set_is_filter_state() {
    let slot = Slot::new(&loaded(|| {
        Script::new().on(CallbackId::on_log, |caller, _| {
            let ((path, path_len), (value, value_len)) = (caller.put(b"mine"), caller.put(b"value"));
            entry::proxy_set_property(caller, path, path_len, value, value_len).unwrap_or(-1)
        })
    }));
    let mut stream = Stream::default();
    stream.headers(&slot, Request, GET, true);
    slot.filter().unwrap().complete(Some(&mut stream));
    assert_eq!(stream.filter_state, [("wasm.mine".to_owned(), "value".to_owned())]);
    slot.filter().unwrap().close();
}
