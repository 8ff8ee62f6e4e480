//! Streams, as guests continue, close and answer them.

use bytes::Bytes;
use portcullis::abi::{DataStatus, HeadersStatus, StreamType, TrailersStatus};
use portcullis::abi::{
    HostcallId::proxy_clear_route_cache, HostcallId::proxy_close_stream, HostcallId::proxy_continue_request,
    HostcallId::proxy_continue_response, HostcallId::proxy_continue_stream, HostcallId::proxy_get_header_map_pairs,
    HostcallId::proxy_get_header_map_value, HostcallId::proxy_send_local_response,
};
use portcullis::model::{Action, Direction, LocalResponse, Plugin};

use crate::engine::case::Case;
use crate::engine::running::Setup;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "results_of_filters_are_read_as_the_reference_host_does",
        guest: r#"
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local.get 1))
            (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (local.get 1))
            (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) (i32.const -1))
            (func (export "proxy_on_request_trailers") (param i32 i32) (result i32) (i32.const 1))
            (func (export "proxy_on_response_trailers") (param i32 i32) (result i32) (i32.const -7))
        "#,
        hostcalls: &[],
        spec: "host#FilterHeadersStatus",
        run: |case, engine| {
            use DataStatus::{StopAndBuffer, StopAndWatermark, StopNoBuffer};
            use HeadersStatus::{Continue, StopAllAndBuffer, StopAllAndWatermark, StopIteration};
            let mut guest = case.start(engine);
            let expected =
                [Continue, StopAllAndWatermark, Continue, StopAllAndBuffer, StopAllAndWatermark, StopAllAndWatermark];
            for (count, status) in expected.into_iter().enumerate() {
                let stream = guest.open(&vec![("a", "1"); count]);
                assert_eq!(guest.headers(stream), Ok(status), "{count}");
            }
            let stream = guest.open(&[]);
            let expected = [DataStatus::Continue, StopAndBuffer, StopAndWatermark, StopNoBuffer, StopNoBuffer];
            for status in expected {
                assert_eq!(guest.vm.on_body(stream, Direction::Request, false), Ok(status));
                guest.lend_body(stream, Direction::Request, "x");
            }
            assert_eq!(guest.vm.on_body(stream, Direction::Response, true), Ok(StopNoBuffer));
            assert_eq!(guest.vm.on_trailers(stream, Direction::Request), Ok(TrailersStatus::StopIteration));
            assert_eq!(guest.vm.on_trailers(stream, Direction::Response), Ok(TrailersStatus::StopIteration));
            let mut plugin = Plugin::new("test");
            plugin.allow_on_headers_stop_iteration = true;
            let mut guest = case.start_with(engine, Setup { plugin, ..Setup::default() });
            let stream = guest.open(&[("a", "1")]);
            assert_eq!(guest.headers(stream), Ok(StopIteration));
        },
    },
    Case {
        name: "a_local_response_is_taken_whole_and_the_first_wins",
        guest: r#"
            (data (i32.const 1024) "why notbody")
            (data (i32.const 1040) "\01\00\00\00\01\00\00\00\01\00\00\00k\00v\00")
            (func $send (param $code i32) (param $grpc i32)
                (call $report (call $proxy_send_local_response
                    (local.get $code) (i32.const 1024) (i32.const 7) (i32.const 1031) (i32.const 4)
                    (i32.const 1040) (i32.const 16) (local.get $grpc))))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $send (i32.const 403) (i32.const -1))
                (call $send (i32.const 500) (i32.const 3))
                ;; What was handed over may be used again.
                (memory.fill (i32.const 1024) (i32.const 0) (i32.const 64))
                (i32.const 0))
            (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
                (call $report (call $proxy_send_local_response
                    (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 16)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_send_local_response],
        spec: "v0.2.1#proxy_send_local_response",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[]);
            assert!(guest.headers(stream).is_ok());
            assert_eq!(guest.seen(), ["0", "0"]);
            let response = LocalResponse::new(403)
                .with_details("why_not")
                .with_headers([("k", "v")].into_iter().collect())
                .with_body(Bytes::from_static(b"body"))
                .with_grpc_status(None);
            assert_eq!(guest.actions(), [Action::LocalResponse { context: stream, response }]);
            assert!(guest.vm.on_headers(stream, Direction::Response, true).is_ok());
            let response = LocalResponse::new(200).with_grpc_status(Some(16));
            assert_eq!(guest.actions(), [Action::LocalResponse { context: stream, response }]);
        },
    },
    Case {
        name: "a_local_response_from_a_root_is_accepted_and_dropped",
        guest: r#"
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_send_local_response
                    (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const -1))))
        "#,
        hostcalls: &[proxy_send_local_response],
        spec: "host#send_local_response",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!((guest.seen(), guest.actions()), (vec!["0".to_owned()], vec![]));
        },
    },
    Case {
        name: "continuing_hides_what_was_held",
        guest: r#"
            (data (i32.const 1024) "a")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $report (call $proxy_continue_stream (i32.const 0)))
                (call $report (call $proxy_continue_stream (i32.const 0)))
                (call $answer (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 4)))
                (call $answer (call $proxy_get_header_map_pairs (i32.const 0) (i32.const 0) (i32.const 4)))
                (i32.const 1))
        "#,
        hostcalls: &[proxy_continue_stream, proxy_get_header_map_value, proxy_get_header_map_pairs],
        spec: "host#continueStream",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[("a", "1")]);
            assert_eq!(guest.headers(stream), Ok(HeadersStatus::StopAllAndWatermark));
            assert_eq!(guest.seen(), ["0", "0", "2", "-1", "0", "0"]);
            assert_eq!(guest.actions(), [Action::Continue { context: stream, stream: StreamType::Request }]);
        },
    },
    Case {
        name: "stream_types",
        guest: r#"
            (func $try (param i32)
                (call $report (call $proxy_continue_stream (local.get 0)))
                (call $report (call $proxy_close_stream (local.get 0))))
            (func (export "proxy_on_tick") (param i32)
                (call $try (i32.const 0)) (call $try (i32.const 1)) (call $try (i32.const 2))
                (call $try (i32.const 3)) (call $try (i32.const 4)) (call $try (i32.const -1)))
        "#,
        hostcalls: &[proxy_continue_stream, proxy_close_stream],
        spec: "v0.2.1#proxy_stream_type_t",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!(guest.seen(), ["0", "0", "0", "0", "0", "0", "12", "0", "2", "2", "2", "2"]);
            assert_eq!(guest.actions(), []);
        },
    },
    Case {
        name: "closing_cuts_the_stream",
        guest: r#"
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $report (call $proxy_close_stream (i32.const 1)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_close_stream],
        spec: "v0.2.1#proxy_close_stream",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[]);
            assert!(guest.headers(stream).is_ok());
            assert_eq!(guest.seen(), ["0"]);
            assert_eq!(guest.actions(), [Action::Close { context: stream, stream: StreamType::Response }]);
        },
    },
    Case {
        name: "what_0_1_0_has_instead",
        guest: r#"
            (func (export "proxy_abi_version_0_1_0"))
            (func (export "proxy_on_request_headers") (param i32 i32) (result i32)
                (call $report (call $proxy_clear_route_cache))
                (call $report (call $proxy_continue_request))
                (call $report (call $proxy_continue_response))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_clear_route_cache, proxy_continue_request, proxy_continue_response],
        spec: "v0.1.0#proxy_continue_request",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[]);
            assert!(guest.headers(stream).is_ok());
            assert_eq!(guest.seen(), ["0", "0", "0"]);
            assert_eq!(
                guest.actions(),
                [
                    Action::ClearRouteCache { context: stream },
                    Action::Continue { context: stream, stream: StreamType::Request },
                    Action::Continue { context: stream, stream: StreamType::Response },
                ]
            );
        },
    },
];
