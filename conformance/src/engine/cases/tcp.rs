//! TCP streams.

use std::sync::Arc;

use bytes::Bytes;
use portcullis::abi::{FilterStatus, PeerType, StreamType};
use portcullis::abi::{
    HostcallId::proxy_add_header_map_value, HostcallId::proxy_close_stream, HostcallId::proxy_continue_stream,
    HostcallId::proxy_get_buffer_bytes, HostcallId::proxy_get_buffer_status, HostcallId::proxy_http_call,
    HostcallId::proxy_send_local_response, HostcallId::proxy_set_buffer_bytes, HostcallId::proxy_set_effective_context,
};
use portcullis::chain::{ConnectionEffect, Effect};
use portcullis::model::{Action, Body, CallResponse, Direction, Plugin, StreamInfo};
use portcullis::vm::CallOutcome;
use portcullis::{Module, PluginSpec, Worker};

use crate::engine::case::Case;
use crate::engine::recorder::Recorder;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "data_can_be_read_and_edited_in_both_directions",
        guest: r#"
            (data (i32.const 1024) "<>")
            (func $data (param $buffer i32) (param $len i32) (param $end i32)
                (call $report (local.get $len))
                (call $report (local.get $end))
                (call $answer (call $proxy_get_buffer_bytes
                    (local.get $buffer) (i32.const 1) (i32.const 3) (i32.const 0) (i32.const 4)))
                (call $report (call $proxy_get_buffer_status (local.get $buffer) (i32.const 1200) (i32.const 1204)))
                (call $report (i32.load (i32.const 1200)))
                (call $report (call $proxy_set_buffer_bytes
                    (local.get $buffer) (i32.const 0) (i32.const 0) (i32.const 1024) (i32.const 1)))
                (call $report (call $proxy_set_buffer_bytes
                    (local.get $buffer) (i32.const -1) (i32.const 0) (i32.const 1025) (i32.const 1))))
            (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
                (call $data (i32.const 2) (local.get 1) (local.get 2)) (i32.const 0))
            (func (export "proxy_on_upstream_data") (param i32 i32 i32) (result i32)
                (call $data (i32.const 3) (local.get 1) (local.get 2)) (i32.const 0))
        "#,
        hostcalls: &[proxy_get_buffer_bytes, proxy_get_buffer_status, proxy_set_buffer_bytes],
        spec: "v0.2.1#proxy_on_downstream_data",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.connect();
            for (direction, end) in [(Direction::Request, false), (Direction::Response, true)] {
                guest.lend_body(stream, direction, "hello");
                assert_eq!(guest.vm.on_data(stream, direction, end), Ok(FilterStatus::Continue));
                let end = if end { "1" } else { "0" };
                assert_eq!(guest.seen(), ["5", end, "0", "3", "ell", "0", "5", "0", "0"]);
                let body = guest.vm.stream(stream).unwrap().take_body(direction).unwrap();
                assert_eq!(body.to_bytes(), "<hello>");
            }
        },
    },
    Case {
        name: "data_are_there_in_their_own_stream_alone",
        guest: r#"
            (func $look (param $buffer i32)
                (call $report (call $proxy_get_buffer_bytes
                    (local.get $buffer) (i32.const 0) (i32.const 9) (i32.const 1200) (i32.const 1204)))
                (call $report (i32.load (i32.const 1204)))
                (call $report (call $proxy_set_buffer_bytes
                    (local.get $buffer) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1))))
            (func (export "proxy_on_new_connection") (param i32) (result i32)
                (call $look (i32.const 2)) (call $look (i32.const 3)) (i32.const 1))
            (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
                (call $look (i32.const 0)) (call $look (i32.const 3)) (i32.const 7))
            (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
                (call $look (i32.const 2)) (i32.const 0))
        "#,
        hostcalls: &[proxy_get_buffer_bytes, proxy_set_buffer_bytes],
        spec: "host#Context::getBuffer",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.connect();
            let nothing = ["0", "0", "2"];
            assert_eq!(guest.vm.on_new_connection(stream), Ok(FilterStatus::StopIteration));
            assert_eq!(guest.seen(), [nothing, nothing].concat());
            guest.lend_body(stream, Direction::Request, "hello");
            assert_eq!(guest.vm.on_data(stream, Direction::Request, false), Ok(FilterStatus::StopIteration));
            assert_eq!(guest.seen(), [nothing, nothing].concat());
            let http = guest.open(&[]);
            guest.lend_body(http, Direction::Request, "hello");
            guest.vm.on_body(http, Direction::Request, false).unwrap();
            assert_eq!(guest.seen(), nothing);
        },
    },
    Case {
        name: "each_side_is_continued_and_closed_by_its_name",
        guest: r#"
            (func $both (param $type i32)
                (call $report (call $proxy_continue_stream (local.get $type)))
                (call $report (call $proxy_continue_stream (local.get $type)))
                (call $report (call $proxy_close_stream (local.get $type)))
                (call $report (call $proxy_close_stream (local.get $type))))
            (func $all
                (call $both (i32.const 0)) (call $both (i32.const 1)) (call $both (i32.const 2))
                (call $both (i32.const 3)) (call $both (i32.const 4)))
            (func (export "proxy_on_new_connection") (param i32) (result i32) (call $all) (i32.const 0))
            (func (export "proxy_on_tick") (param i32) (call $all))
        "#,
        hostcalls: &[proxy_continue_stream, proxy_close_stream],
        spec: "v0.2.1#proxy_close_stream",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let context = guest.connect();
            guest.vm.on_new_connection(context).unwrap();
            let (done, bad) = (["0"; 4], ["2"; 4]);
            assert_eq!(guest.seen(), [done, done, done, done, bad].concat());
            let actions = guest.actions();
            let expected = [StreamType::Downstream, StreamType::Upstream]
                .map(|stream| [Action::Continue { context, stream }, Action::Close { context, stream }]);
            assert_eq!(actions, expected.into_iter().flatten().collect::<Vec<_>>());
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!(guest.seen(), [done, done, done, ["12", "12", "0", "0"], bad].concat());
            assert_eq!(guest.actions(), []);
        },
    },
    Case {
        name: "a_connection_closes_by_whom_it_closed",
        guest: r#"
            (func (export "proxy_on_downstream_connection_close") (param i32 i32)
                (call $report (i32.const 100)) (call $report (local.get 0)) (call $report (local.get 1)))
            (func (export "proxy_on_upstream_connection_close") (param i32 i32)
                (call $report (i32.const 101)) (call $report (local.get 0)) (call $report (local.get 1)))
        "#,
        hostcalls: &[],
        spec: "v0.2.1#proxy_on_downstream_connection_close",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.connect();
            let id = stream.to_string();
            for (direction, peer, name, number) in [
                (Direction::Response, PeerType::Unknown, "101", "0"),
                (Direction::Request, PeerType::Local, "100", "1"),
                (Direction::Request, PeerType::Remote, "100", "2"),
            ] {
                guest.vm.on_connection_close(stream, direction, peer).unwrap();
                assert_eq!(guest.seen(), [name, &id, number]);
            }
            guest.vm.delete(stream).unwrap();
            guest.vm.on_connection_close(stream, Direction::Request, PeerType::Remote).unwrap();
            assert_eq!(guest.seen(), [""; 0]);
        },
    },
    Case {
        name: "what_http_has_a_tcp_stream_has_not",
        guest: r#"
            (data (i32.const 1024) "a")
            (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
                (call $report (call $proxy_send_local_response (i32.const 403) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)))
                (call $report (call $proxy_add_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 1024) (i32.const 1)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_send_local_response, proxy_add_header_map_value],
        spec: "host#Envoy TCP context",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.connect();
            guest.vm.on_data(stream, Direction::Request, false).unwrap();
            assert_eq!((guest.seen(), guest.actions()), (vec!["0".to_owned(), "2".to_owned()], vec![]));
        },
    },
    Case {
        name: "a_paused_connection_is_held_until_its_plugin_continues_it",
        guest: r#"
            (data (i32.const 1024) "auth\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00")
            (global $connection (mut i32) (i32.const 0))
            (func (export "proxy_on_new_connection") (param $id i32) (result i32)
                (global.set $connection (local.get $id))
                (call $report (call $proxy_http_call
                    (i32.const 1024) (i32.const 4) (i32.const 1028) (i32.const 61) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 1000) (i32.const 2000)))
                (i32.const 1))
            (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
                (call $report (call $proxy_set_effective_context (global.get $connection)))
                (call $report (call $proxy_continue_stream (i32.const 2))))
            (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
                (call $report (local.get 1)) (call $report (local.get 2)) (i32.const 0))
        "#,
        hostcalls: &[proxy_continue_stream, proxy_http_call, proxy_set_effective_context],
        spec: "v0.2.1#proxy_on_new_connection",
        run: |case, engine| {
            let (recorder, plugin) = (Recorder::default(), Plugin::new("test"));
            let module = Module::load(engine, wat::parse_str(case.wat()).unwrap().into()).unwrap();
            let host = recorder.clone();
            let mut worker = Worker::new(move || Box::new(host.clone()));
            let chain = worker.load(&[PluginSpec::new(plugin, Arc::new(module))]).unwrap();
            let seen = || recorder.take().into_iter().map(|line| line.text).collect::<Vec<_>>();
            let id = worker.connect(&chain, StreamInfo::default().into_shared(), 100);
            assert_eq!(seen(), ["0"]);
            let Some(Effect::Callout { id: callout, .. }) = worker.effect() else { panic!("no callout") };
            // Whatever comes meanwhile is neither seen nor sent, and nothing is dialled.
            for (data, end) in [("hel", false), ("lo", false), ("", true)] {
                worker.data(id, Direction::Request, Body::from(Bytes::from(data)), end);
                assert_eq!(seen(), [""; 0]);
                assert!(worker.connection_effect(id).is_none());
            }
            worker.callout_done(callout, CallOutcome::Response(CallResponse::default()));
            assert_eq!(seen(), ["0", "0", "5", "1"]);
            assert!(matches!(worker.connection_effect(id), Some(ConnectionEffect::Connect)));
            match worker.connection_effect(id) {
                Some(ConnectionEffect::Data { direction: Direction::Request, data, end: true }) => {
                    assert_eq!(data.to_bytes(), "hello");
                }
                other => panic!("{other:?}"),
            }
            assert!(worker.connection_effect(id).is_none());
            worker.finish_connection(id);
        },
    },
];
