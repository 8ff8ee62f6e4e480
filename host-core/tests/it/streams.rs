//! Continuing, closing and answering streams; effective contexts.

use crate::common::{Setup, Started, body, during, get, http_call, ok, pairs};
use portcullis_core::abi::{AbiVersion, BufferType, CallbackId, MapType, StreamType};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Access, Action, Direction, Headers, LocalResponse};
use portcullis_core::testing::NullCaller;
use portcullis_core::vm::CallOutcome;

fn answer(caller: &mut NullCaller<'_>, code: i32, details: &str, headers: &[u8], grpc_status: i32) -> i32 {
    let (d, dl) = caller.put(details.as_bytes());
    let (b, bl) = caller.put(b"body");
    let (h, hl) = caller.put(headers);
    entry::proxy_send_local_response(caller, code, d, dl, b, bl, h, hl, grpc_status).unwrap()
}

fn answers(started: &mut Started) -> Vec<LocalResponse> {
    let actions = started.actions().into_iter();
    actions.filter_map(|a| if let Action::LocalResponse { response, .. } = a { Some(response) } else { None }).collect()
}

#[test]
fn to_continue_hides_that_half_and_asks_once() {
    let mut started = Setup::new()
        .on(CallbackId::on_request_headers, |caller, _| {
            assert_eq!(caller.continue_stream(StreamType::Request), 0);
            assert_eq!(caller.header(MapType::RequestHeaders, ":path"), Err(2));
            assert_eq!(caller.add_header(MapType::RequestHeaders, "a", "b"), 2);
            assert_eq!(caller.bytes(|c, p, l| entry::proxy_get_header_map_pairs(c, 0, p, l)), Ok(vec![]));
            assert_eq!(caller.buffer(BufferType::HttpRequestBody), Ok(vec![]));
            assert_eq!(caller.set_buffer(BufferType::HttpRequestBody, b"x"), 2);
            assert_eq!(
                caller.header(MapType::ResponseHeaders, ":status").as_deref(),
                Ok("200"),
                "the other half stays"
            );
            caller.continue_stream(StreamType::Request)
        })
        .start();
    let stream = started.stream();
    let lent = started.vm.stream(stream).unwrap();
    lent.lend_headers(Direction::Request, get("/"), Access::Write);
    lent.lend_body(Direction::Request, body());
    lent.lend_headers(Direction::Response, ok(), Access::Write);
    started.vm.on_headers(stream, Direction::Request, false).unwrap();
    assert_eq!(started.actions(), [Action::Continue { context: stream, stream: StreamType::Request }]);
    started.vm.on_headers(stream, Direction::Request, false).unwrap();
    assert_eq!(started.actions().len(), 1, "a later callback may ask again");
}

#[test]
fn to_continue_what_is_not_there_is_no_error() {
    let mut started = during(CallbackId::on_tick, |caller| {
        for stream in [StreamType::Request, StreamType::Response, StreamType::Downstream] {
            assert_eq!(caller.continue_stream(stream), 0);
        }
        assert_eq!(caller.continue_stream(StreamType::Upstream), 12);
        assert_eq!(entry::proxy_continue_stream(caller, 4).unwrap(), 2);
        assert_eq!(entry::proxy_continue_stream(caller, -1).unwrap(), 2);
    });
    assert_eq!(started.actions(), []);
}

#[test]
fn a_response_that_is_not_paused_can_be_continued_and_is_seen_when_it_comes() {
    let mut started = Setup::new()
        .on(CallbackId::on_request_headers, |caller, _| caller.continue_stream(StreamType::Response))
        .on(CallbackId::on_response_headers, |caller, _| {
            assert_eq!(caller.header(MapType::ResponseHeaders, ":status").as_deref(), Ok("200"));
            0
        })
        .start();
    let stream = started.stream();
    started.vm.on_headers(stream, Direction::Request, true).unwrap();
    started.vm.stream(stream).unwrap().lend_headers(Direction::Response, ok(), Access::Write);
    started.vm.on_headers(stream, Direction::Response, true).unwrap();
    assert_eq!(started.called(CallbackId::on_response_headers), 1);
}

#[test]
fn the_hostcalls_of_abi_0_1_0_continue_either_half() {
    let mut started = Setup::abi(AbiVersion::V0_1_0).during(CallbackId::on_request_headers_0_1_0, |caller| {
        assert_eq!(entry::proxy_continue_response(caller).unwrap(), 0);
        assert_eq!(entry::proxy_continue_request(caller).unwrap(), 0);
        assert_eq!(entry::proxy_clear_route_cache(caller).unwrap(), 0);
        assert_eq!(entry::proxy_clear_route_cache(caller).unwrap(), 0);
    });
    let actions = started.actions();
    assert!(matches!(
        actions[..],
        [
            Action::Continue { stream: StreamType::Response, .. },
            Action::Continue { stream: StreamType::Request, .. },
            Action::ClearRouteCache { .. }
        ]
    ));
}

#[test]
fn a_stream_is_closed_once_and_one_that_is_not_there_not_at_all() {
    let mut started = during(CallbackId::on_request_headers, |caller| {
        for stream in [2, 3, 1, 0] {
            assert_eq!(entry::proxy_close_stream(caller, stream).unwrap(), 0);
        }
        assert_eq!(entry::proxy_close_stream(caller, 4).unwrap(), 2);
    });
    assert!(matches!(started.actions()[..], [Action::Close { stream: StreamType::Response, .. }]));
    let mut started =
        during(CallbackId::on_tick, |caller| assert_eq!(entry::proxy_close_stream(caller, 0).unwrap(), 0));
    assert_eq!(started.actions(), []);
}

#[test]
fn the_first_answer_wins_and_has_what_the_guest_gave() {
    let headers: Headers = [("X-A", "1")].into_iter().collect();
    let bytes = pairs(&headers);
    let mut started = during(CallbackId::on_request_headers, move |caller| {
        assert_eq!(answer(caller, 403, "not\tto day", &bytes, 7), 0);
        assert_eq!(answer(caller, 500, "", b"", -1), 0);
    });
    let expected = LocalResponse::new(403)
        .with_details("not_to_day")
        .with_headers(headers)
        .with_body("body")
        .with_grpc_status(Some(7));
    assert_eq!(answers(&mut started), [expected]);
}

#[test]
fn only_0_to_16_is_a_grpc_status() {
    for (given, expected) in [(-1, None), (0, Some(0)), (16, Some(16)), (17, None), (i32::MAX, None)] {
        let mut started = during(CallbackId::on_response_headers, move |caller| {
            assert_eq!(answer(caller, 200, "", b"", given), 0);
        });
        assert_eq!(answers(&mut started)[0].grpc_status, expected);
    }
}

/// The stream is answered all the same: a plugin that refuses a request must not let it pass by a wrong number.
#[test]
fn a_status_of_no_response_is_500() {
    for code in [0, 99, 100, 101, 103, 199, 600, 999, 1000, -1, 65_736] {
        let mut started = during(CallbackId::on_request_headers, move |caller| {
            assert_eq!(answer(caller, code, "why", b"", -1), 0, "{code}");
        });
        let answers = answers(&mut started);
        assert_eq!((answers[0].status, answers[0].details.as_str()), (500, "why"), "{code}");
    }
}

/// A guest may do so in every stream, and its host must not write as many lines.
#[test]
fn what_is_said_of_a_wrong_status_is_bounded_and_counted() {
    let mut started =
        Setup::new().on(CallbackId::on_request_headers, |caller, _| answer(caller, 999, "", b"", -1)).start();
    let ask = |started: &mut Started| {
        let stream = started.stream();
        started.vm.stream(stream).unwrap().lend_headers(Direction::Request, get("/"), Access::Write);
        started.vm.on_headers(stream, Direction::Request, true).unwrap();
    };
    (0..20).for_each(|_| ask(&mut started));
    assert_eq!(started.host.lines().len(), 5);
    started.host.set_time(60_000_000_000);
    ask(&mut started);
    let line = started.host.messages().pop().unwrap();
    assert!(
        line.contains("status 999: 500 is sent") && line.ends_with("(15 such lines before it were not logged)"),
        "{line}"
    );
}

#[test]
fn an_answer_that_is_no_response_is_refused() {
    let mut started = during(CallbackId::on_request_headers, |caller| {
        assert_eq!(answer(caller, 200, "", b"malformed", -1), 2);
        assert_eq!(entry::proxy_send_local_response(caller, 200, 0, -1, 0, 0, 0, 0, -1).unwrap(), 6);
        assert_eq!(entry::proxy_send_local_response(caller, 200, 0, 0, 0, -1, 0, 0, -1).unwrap(), 6);
        assert_eq!(entry::proxy_send_local_response(caller, 200, 0, 0, 0, 0, 0, -1, -1).unwrap(), 6);
    });
    assert_eq!(started.actions(), []);
}

#[test]
fn an_answer_that_nobody_waits_for_is_taken_and_dropped() {
    for callback in [CallbackId::on_tick, CallbackId::on_log, CallbackId::on_done, CallbackId::on_delete] {
        let mut started = during(callback, |caller| assert_eq!(answer(caller, 200, "", b"", -1), 0));
        assert_eq!(started.actions(), [], "{callback}");
    }
}

#[test]
fn a_callouts_answer_acts_on_the_paused_stream_by_its_effective_context() {
    let mut started = Setup::new()
        .on(CallbackId::on_request_headers, |caller, _| {
            http_call(caller, "up", &get("/auth"), b"").unwrap();
            1
        })
        .on(CallbackId::on_http_call_response, |caller, args| {
            assert_eq!(args, [1, 4, 2, 5, 1], "the root, the id, and what there is of each");
            assert_eq!(caller.header(MapType::RequestHeaders, ":path"), Err(2), "the root has no stream");
            assert_eq!(caller.set_effective(2), 0);
            assert_eq!(caller.header(MapType::RequestHeaders, ":path").as_deref(), Ok("/"));
            assert_eq!(caller.add_header(MapType::RequestHeaders, "x-user", "u"), 0);
            assert_eq!(caller.header(MapType::HttpCallResponseHeaders, ":status").as_deref(), Ok("200"));
            assert_eq!(caller.buffer(BufferType::HttpCallResponseBody).unwrap(), b"hello");
            assert_eq!(caller.continue_stream(StreamType::Request), 0);
            assert_eq!(caller.header(MapType::RequestHeaders, ":path"), Err(2), "it has gone on");
            assert_eq!(caller.set_effective(0), 0);
            assert_eq!(caller.continue_stream(StreamType::Request), 0, "the root again, which has nothing");
            0
        })
        .start();
    let stream = started.stream();
    started.vm.stream(stream).unwrap().lend_headers(Direction::Request, get("/"), Access::Write);
    started.vm.on_headers(stream, Direction::Request, true).unwrap();
    let call = started.actions().iter().find_map(crate::common::call_id).unwrap();
    started.vm.on_http_call_response(call, CallOutcome::Response(crate::common::call_response())).unwrap();
    assert_eq!(started.actions(), [Action::Continue { context: stream, stream: StreamType::Request }]);
    let headers = started.vm.stream(stream).unwrap().take_headers(Direction::Request).unwrap();
    assert_eq!(headers.get_str("x-user"), Some("u"));
}

#[test]
fn an_effective_context_is_one_that_lives_and_lasts_until_the_callback_returns() {
    let mut started = Setup::new()
        .on(CallbackId::on_tick, |caller, _| {
            let real = caller.acting();
            assert_eq!(caller.set_effective(2), 0);
            assert_ne!(caller.acting(), real);
            assert_eq!(caller.set_effective(99), 2);
            assert_ne!(caller.acting(), real, "a refusal changes nothing");
            assert_eq!(caller.header(MapType::RequestHeaders, ":path").as_deref(), Ok("/"));
            0
        })
        .on(CallbackId::on_done, |caller, args| {
            assert_eq!(caller.acting().to_string(), args[0].to_string(), "each callback begins in its own context");
            assert_eq!(caller.set_effective(3), 2, "deleted");
            1
        })
        .start();
    let (stream, deleted) = (started.stream(), started.stream());
    started.vm.stream(stream).unwrap().lend_headers(Direction::Request, get("/"), Access::Write);
    started.vm.delete(deleted).unwrap();
    started.vm.on_tick(started.root).unwrap();
    started.vm.on_done(stream).unwrap();
    assert!(started.vm.end_root(started.root).unwrap());
    assert_eq!(started.called(CallbackId::on_done), 2);
}
