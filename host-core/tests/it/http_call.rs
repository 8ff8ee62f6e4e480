//! HTTP callouts.

use std::time::Duration;

use crate::common::{Setup, Started, call_response, during, get, http_call, pairs};
use portcullis_core::abi::{BufferType, CallbackId, MapType};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Action, CallId, Direction, Headers, HttpCall, Limits};
use portcullis_core::testing::NullCaller;
use portcullis_core::vm::CallOutcome;

/// Every tick makes a callout; each answer goes to the closure.
fn calling(answered: impl FnMut(&mut NullCaller<'_>, &[i32]) -> i32 + Send + 'static) -> Started {
    Setup::new()
        .on(CallbackId::on_tick, |caller, _| i32::from(http_call(caller, "up", &get("/"), b"").is_err()))
        .on(CallbackId::on_http_call_response, answered)
        .start()
}

fn status(caller: &mut NullCaller<'_>) -> (u32, String) {
    let message = caller.bytes(|caller, p, l| entry::proxy_get_status(caller, 16, p, l)).unwrap();
    (caller.word(16), String::from_utf8(message).unwrap())
}

fn without(names: &[&str]) -> Headers {
    let mut headers = get("/");
    assert!(names.iter().all(|name| headers.remove(name.as_bytes())));
    headers
}

#[test]
fn a_callout_is_an_action_of_the_root_with_all_that_the_guest_gave() {
    let mut started = during(CallbackId::on_request_headers, |caller| {
        let (up, up_len) = caller.put(b"up");
        let (headers, headers_len) = caller.put(&pairs(&get("/a")));
        let (body, body_len) = caller.put(b"body");
        let (trailers, trailers_len) = caller.put(&pairs(&crate::common::trailers()));
        let call = |caller: &mut NullCaller<'_>, timeout| {
            let (h, hl, b, bl, t, tl) = (headers, headers_len, body, body_len, trailers, trailers_len);
            entry::proxy_http_call(caller, up, up_len, h, hl, b, bl, t, tl, timeout, 16).unwrap()
        };
        assert_eq!((call(caller, 1500), caller.word(16)), (0, 4));
        assert_eq!((call(caller, 0), caller.word(16)), (0, 8), "ids are multiples of 4");
    });
    let request = HttpCall::new("up", get("/a"))
        .with_body("body")
        .with_trailers(crate::common::trailers())
        .with_timeout(Duration::from_millis(1500));
    let endless = request.clone().with_timeout(None);
    let root = started.root;
    let expected = [
        Action::HttpCall { root, call: CallId(4), request },
        Action::HttpCall { root, call: CallId(8), request: endless },
    ];
    assert_eq!(started.actions(), expected);
}

#[test]
fn what_cannot_be_sent_is_a_bad_argument_and_the_id_is_0() {
    let mut started = during(CallbackId::on_tick, |caller| {
        let bad = [
            ("elsewhere", get("/")),
            ("", get("/")),
            ("up", Headers::new()),
            ("up", without(&[":path"])),
            ("up", without(&[":method"])),
            ("up", without(&[":authority"])),
        ];
        for (upstream, headers) in bad {
            http_call(caller, "up", &get("/"), b"").unwrap();
            assert_ne!(caller.word(16), 0);
            assert_eq!(http_call(caller, upstream, &headers, b""), Err(2), "{upstream} {headers:?}");
            assert_eq!(caller.word(16), 0);
        }
        let (up, up_len) = caller.put(b"up");
        let (h, hl) = caller.put(&pairs(&get("/")));
        assert_eq!(entry::proxy_http_call(caller, up, up_len, h, hl, 0, 0, 0, 0, -1, 16).unwrap(), 2, "timeout");
        assert_eq!(entry::proxy_http_call(caller, up, up_len, h, hl - 1, 0, 0, 0, 0, 0, 16).unwrap(), 2, "malformed");
        assert_eq!(entry::proxy_http_call(caller, up, up_len, h, hl, 0, 0, h, 7, 0, 16).unwrap(), 2, "malformed");
        assert_eq!(entry::proxy_http_call(caller, up, up_len, h, hl, 0, 0, 0, 0, 0, -1).unwrap(), 6, "out-pointer");
    });
    assert_eq!(started.actions().len(), 6, "nothing else was started");
}

#[test]
fn host_stands_for_authority() {
    during(CallbackId::on_tick, |caller| {
        let mut headers = without(&[":authority"]);
        headers.add(b"host", b"a.test");
        assert_eq!(http_call(caller, "up", &headers, b""), Ok(4));
    });
}

#[test]
fn callouts_in_flight_are_bounded_in_number_and_bytes_until_they_end() {
    let mut setup = Setup::new();
    setup.config.vm.limits = Limits::default().with_callouts(2).with_buffer(1000);
    let mut started = setup
        .on(CallbackId::on_tick, |caller, _| {
            assert_eq!(http_call(caller, "up", &get("/"), &[0; 1000]), Err(10));
            let calls = [(); 3].map(|()| http_call(caller, "up", &get("/"), b""));
            assert!(calls[0].is_ok() && calls[1].is_ok());
            assert_eq!((calls[2], caller.word(16)), (Err(10), 0));
            0
        })
        .start();
    for _ in 0..2 {
        started.vm.on_tick(started.root).unwrap();
        let calls: Vec<_> = started.actions().iter().filter_map(crate::common::call_id).collect();
        started.vm.on_http_call_response(calls[0], CallOutcome::Reset("r".into())).unwrap();
        started.vm.forget_call(calls[1]);
    }
}

#[test]
fn an_answer_is_readable_in_its_callback_alone_and_told_once() {
    let mut started = calling(|caller, args| {
        assert_eq!(args, [1, 4, 2, 5, 1]);
        assert_eq!(caller.header(MapType::HttpCallResponseHeaders, ":status").as_deref(), Ok("200"));
        assert_eq!(caller.header(MapType::HttpCallResponseTrailers, "t").as_deref(), Ok("1"));
        assert_eq!(caller.buffer(BufferType::HttpCallResponseBody).unwrap(), b"hello");
        assert_eq!(status(caller), (0, String::new()));
        0
    });
    let call = started.callout();
    for _ in 0..2 {
        started.vm.on_http_call_response(call, CallOutcome::Response(call_response())).unwrap();
    }
    started.vm.on_http_call_response(CallId(0), CallOutcome::Reset(String::new())).unwrap();
    assert_eq!(started.called(CallbackId::on_http_call_response), 1);
    during(CallbackId::on_tick, |caller| {
        assert_eq!(caller.header(MapType::HttpCallResponseHeaders, ":status"), Err(2));
        assert_eq!(caller.buffer(BufferType::HttpCallResponseBody), Err(1));
    });
}

#[test]
fn a_reset_has_nothing_but_a_status_whose_code_outlives_its_message() {
    let mut resets = 0;
    let mut started = calling(move |caller, args| {
        resets += 1;
        if resets == 1 {
            assert_eq!(args, [1, 4, 0, 0, 0]);
            assert_eq!(caller.header(MapType::HttpCallResponseHeaders, ":status"), Err(1));
            assert_eq!(caller.buffer(BufferType::HttpCallResponseBody), Err(1));
            assert_eq!(status(caller), (11, "reset".into()));
        } else {
            assert_eq!(status(caller), (11, String::new()), "as in deployed hosts");
        }
        0
    });
    let call = started.callout();
    started.vm.on_http_call_response(call, CallOutcome::Reset("reset".into())).unwrap();
    let call = started.callout();
    started.vm.on_http_call_response(call, CallOutcome::Response(call_response())).unwrap();
    assert_eq!(started.called(CallbackId::on_http_call_response), 2);
}

#[test]
fn before_anything_happened_the_status_is_0_and_empty() {
    during(CallbackId::on_request_headers, |caller| assert_eq!(status(caller), (0, String::new())));
}

#[test]
fn an_answer_for_a_root_that_is_gone_is_told_to_nobody() {
    let mut started = calling(|_, _| 0);
    let call = started.callout();
    started.vm.delete(started.root).unwrap();
    started.vm.on_http_call_response(call, CallOutcome::Response(call_response())).unwrap();
    assert_eq!(started.called(CallbackId::on_http_call_response), 0);
}

#[test]
fn a_stream_that_ends_does_not_end_its_callout() {
    let mut started = Setup::new()
        .on(CallbackId::on_request_headers, |caller, _| i32::from(http_call(caller, "up", &get("/"), b"").is_ok()))
        .on(CallbackId::on_http_call_response, |caller, _| {
            assert_eq!(caller.set_effective(2), 2, "the stream is gone");
            0
        })
        .start();
    let stream = started.stream();
    started.vm.on_headers(stream, Direction::Request, true).unwrap();
    let call = started.actions().iter().find_map(crate::common::call_id).unwrap();
    started.vm.delete(stream).unwrap();
    started.vm.on_http_call_response(call, CallOutcome::Response(call_response())).unwrap();
    assert_eq!(started.called(CallbackId::on_http_call_response), 1);
}
