//! HTTP callouts.

use std::time::Duration;

use bytes::Bytes;
use portcullis::abi::{
    HostcallId::proxy_get_buffer_bytes, HostcallId::proxy_get_buffer_status, HostcallId::proxy_get_header_map_value,
    HostcallId::proxy_get_status, HostcallId::proxy_http_call,
};
use portcullis::model::{Action, CallId, CallResponse, HttpCall};
use portcullis::vm::CallOutcome;

use crate::engine::case::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "ten_arguments_arrive_in_their_places",
        guest: r#"
            (data (i32.const 1024) "authbody")
            (data (i32.const 1040) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00")
            (data (i32.const 1120) "\01\00\00\00\01\00\00\00\01\00\00\00t\00u\00")
            (func $call (param $upstream_len i32) (param $headers_len i32) (param $timeout i32) (param $out i32)
                (call $report (call $proxy_http_call
                    (i32.const 1024) (local.get $upstream_len) (i32.const 1040) (local.get $headers_len)
                    (i32.const 1028) (i32.const 4) (i32.const 1120) (i32.const 16)
                    (local.get $timeout) (local.get $out)))
                (call $report (i32.load (i32.const 1200))))
            (func (export "proxy_on_tick") (param i32)
                (i32.store (i32.const 1200) (i32.const -1))
                (call $call (i32.const 4) (i32.const 61) (i32.const 1500) (i32.const 1200))
                (call $call (i32.const 4) (i32.const 61) (i32.const 0) (i32.const 1200))
                ;; An upstream that does not exist, headers that lack something, a negative timeout,
                ;; nowhere for the id.
                (call $call (i32.const 3) (i32.const 61) (i32.const 0) (i32.const 1200))
                (call $call (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 1200))
                (call $call (i32.const 4) (i32.const 61) (i32.const -1) (i32.const 1200))
                (call $call (i32.const 4) (i32.const 61) (i32.const 0) (i32.const 65533)))
        "#,
        hostcalls: &[proxy_http_call],
        spec: "v0.2.1#proxy_http_call",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!(guest.seen(), ["0", "4", "0", "8", "2", "0", "2", "0", "2", "0", "6", "0"]);
            let headers = [(":method", "GET"), (":path", "/"), (":authority", "a")].into_iter().collect();
            let request = HttpCall::new("auth", headers)
                .with_body(Bytes::from_static(b"body"))
                .with_trailers([("t", "u")].into_iter().collect())
                .with_timeout(Duration::from_millis(1500));
            let root = guest.root;
            let first = Action::HttpCall { root, call: CallId(4), request: request.clone() };
            let second = request.with_timeout(None);
            assert_eq!(guest.actions(), [first, Action::HttpCall { root, call: CallId(8), request: second }]);
        },
    },
    Case {
        name: "an_answer_is_readable_while_its_callback_runs",
        guest: r#"
            (data (i32.const 1024) "auth:statust")
            (data (i32.const 1040) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00")
            (func $read
                (call $answer (call $proxy_get_header_map_value
                    (i32.const 6) (i32.const 1028) (i32.const 7) (i32.const 0) (i32.const 4)))
                (call $answer (call $proxy_get_header_map_value
                    (i32.const 7) (i32.const 1035) (i32.const 1) (i32.const 0) (i32.const 4)))
                (call $answer (call $proxy_get_buffer_bytes
                    (i32.const 4) (i32.const 0) (i32.const 100) (i32.const 0) (i32.const 4))))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $report (call $proxy_http_call
                    (i32.const 1024) (i32.const 4) (i32.const 1040) (i32.const 61)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1200)))
                (i32.const 1))
            (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
                (call $report (local.get 0)) (call $report (local.get 1)) (call $report (local.get 2))
                (call $report (local.get 3)) (call $report (local.get 4))
                (call $read))
            (func (export "proxy_on_tick") (param i32) (call $read))
        "#,
        hostcalls: &[proxy_http_call, proxy_get_header_map_value, proxy_get_buffer_bytes],
        spec: "v0.2.1#proxy_on_http_call_response",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[]);
            assert!(guest.headers(stream).is_ok());
            let response = CallResponse::default()
                .with_headers([(":status", "204"), ("a", "1")].into_iter().collect())
                .with_body(Bytes::from_static(b"yes"))
                .with_trailers([("t", "end")].into_iter().collect());
            let outcome = CallOutcome::Response(response);
            assert_eq!(guest.vm.on_http_call_response(CallId(4), outcome.clone()), Ok(()));
            let read = ["0", "3", "204", "0", "3", "end", "0", "3", "yes"];
            assert_eq!(guest.seen(), [&["0", "1", "4", "2", "3", "1"][..], &read].concat());
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!(guest.seen(), ["2", "-1", "2", "-1", "1", "-1"]);
            // The id is spent.
            assert_eq!(guest.vm.on_http_call_response(CallId(4), outcome), Ok(()));
            assert_eq!(guest.seen(), [""; 0]);
        },
    },
    Case {
        name: "a_reset_comes_without_headers_and_with_a_status",
        guest: r#"
            (data (i32.const 1024) "auth")
            (data (i32.const 1040) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00")
            (func $status
                (call $answer (call $proxy_get_status (i32.const 1204) (i32.const 0) (i32.const 4)))
                (call $report (i32.load (i32.const 1204))))
            (func (export "proxy_on_tick") (param i32)
                (call $status)
                (drop (call $proxy_http_call
                    (i32.const 1024) (i32.const 4) (i32.const 1040) (i32.const 61)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1200))))
            (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
                (call $report (local.get 2)) (call $report (local.get 3)) (call $report (local.get 4))
                (call $status)
                (call $report (call $proxy_get_buffer_bytes
                    (i32.const 4) (i32.const 0) (i32.const 9) (i32.const 1200) (i32.const 1204)))
                (call $report (call $proxy_get_buffer_status (i32.const 4) (i32.const 1200) (i32.const 1204))))
        "#,
        hostcalls: &[proxy_http_call, proxy_get_status, proxy_get_buffer_bytes, proxy_get_buffer_status],
        spec: "host#onHttpCallFailure",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!(guest.seen(), ["0", "0", "0"]);
            assert_eq!(guest.vm.on_http_call_response(CallId(4), CallOutcome::Reset("reset".to_owned())), Ok(()));
            assert_eq!(guest.seen(), ["0", "0", "0", "0", "5", "reset", "11", "1", "1"], "there is no body");
            // The message is gone, the code stays.
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!(guest.seen(), ["0", "0", "11"]);
        },
    },
];
