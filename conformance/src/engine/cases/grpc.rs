//! gRPC callouts.

use std::time::Duration;

use bytes::Bytes;
use portcullis::abi::{
    HostcallId::proxy_get_buffer_bytes, HostcallId::proxy_get_header_map_value, HostcallId::proxy_get_status,
    HostcallId::proxy_grpc_call, HostcallId::proxy_grpc_cancel, HostcallId::proxy_grpc_close,
    HostcallId::proxy_grpc_send, HostcallId::proxy_grpc_stream, HostcallId::proxy_set_buffer_bytes,
};
use portcullis::model::{Action, Limits};
use portcullis::resources::{GrpcEvent, GrpcId, GrpcRequest};

use crate::engine::case::Case;
use crate::engine::running::{Running, Setup};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "twelve_arguments_arrive_in_their_places",
        guest: r#"
            (data (i32.const 1024) "authServiceMethodmessage")
            (data (i32.const 1056) "\01\00\00\00\01\00\00\00\01\00\00\00k\00v\00")
            (func $call (param $upstream_len i32) (param $metadata_len i32) (param $timeout i32) (param $out i32)
                (call $report (call $proxy_grpc_call
                    (i32.const 1024) (local.get $upstream_len) (i32.const 1028) (i32.const 7)
                    (i32.const 1035) (i32.const 6) (i32.const 1056) (local.get $metadata_len)
                    (i32.const 1041) (i32.const 7) (local.get $timeout) (local.get $out)))
                (call $report (i32.load (i32.const 1200))))
            (func (export "proxy_on_tick") (param i32)
                (i32.store (i32.const 1200) (i32.const -1))
                (call $call (i32.const 4) (i32.const 16) (i32.const 1500) (i32.const 1200))
                (call $call (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 1200))
                ;; Neither an upstream nor a message, broken metadata, nowhere for the id.
                (call $call (i32.const 3) (i32.const 16) (i32.const 0) (i32.const 1200))
                (call $call (i32.const 4) (i32.const 15) (i32.const 0) (i32.const 1200))
                (call $call (i32.const 4) (i32.const 16) (i32.const 0) (i32.const 65533))
                (call $report (call $proxy_grpc_call
                    (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const -8) (i32.const 16) (i32.const 0) (i32.const 1200))))
        "#,
        hostcalls: &[proxy_grpc_call],
        spec: "v0.2.1#proxy_grpc_call",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!(guest.seen(), ["0", "5", "0", "9", "4", "9", "10", "9", "6", "9", "6"]);
            let metadata = [("k", "v")].into_iter().collect();
            let request = call("message").with_metadata(metadata).with_timeout(Duration::from_millis(1500));
            assert_eq!(started(&mut guest), [(GrpcId(5), request), (GrpcId(9), call("message"))]);
        },
    },
    Case {
        name: "an_upstream_may_be_named_by_a_message",
        // { envoy_grpc { cluster_name: "auth" authority: "a" } timeout { seconds: 2 } initial_metadata { key: "k" value: "v" } },
        // and the same for a cluster that nobody knows.
        guest: r#"
            (data (i32.const 1024) "\0a\09\0a\04auth\12\01a\1a\02\08\02\2a\06\0a\01k\12\01v")
            (data (i32.const 1060) "\0a\06\0a\04none")
            (func $stream (param i32 i32) (call $report (call $proxy_grpc_stream
                (local.get 0) (local.get 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0) (i32.const 1200))))
            (func (export "proxy_on_tick") (param i32)
                (call $stream (i32.const 1024) (i32.const 23))
                (call $stream (i32.const 1060) (i32.const 8))
                (call $stream (i32.const 1060) (i32.const 7)))
        "#,
        hostcalls: &[proxy_grpc_stream],
        spec: "host#Envoy GrpcService",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!(guest.seen(), ["0", "10", "4"]);
            let request = GrpcRequest::new("auth", "", "")
                .with_authority("a".to_owned())
                .with_metadata([("k", "v")].into_iter().collect())
                .with_timeout(Duration::from_secs(2));
            assert_eq!(started(&mut guest), [(GrpcId(6), request)]);
        },
    },
    Case {
        name: "service_and_method_stay_within_their_segments",
        guest: r#"
            (data (i32.const 1024) "authM m/n?#\ff\7f")
            (func $open (param $service i32) (param $service_len i32) (param $method i32) (param $method_len i32)
                (call $report (call $proxy_grpc_stream
                    (i32.const 1024) (i32.const 4) (local.get $service) (local.get $service_len)
                    (local.get $method) (local.get $method_len) (i32.const 0) (i32.const 0) (i32.const 1200))))
            (func (export "proxy_on_tick") (param i32)
                (local $at i32)
                (local.set $at (i32.const 1028))
                (loop $next
                    (call $open (local.get $at) (i32.const 1) (i32.const 1028) (i32.const 1))
                    (call $open (i32.const 1028) (i32.const 1) (local.get $at) (i32.const 1))
                    (br_if $next (i32.lt_u
                        (local.tee $at (i32.add (local.get $at) (i32.const 1)))
                        (i32.const 1037)))))
        "#,
        hostcalls: &[proxy_grpc_stream],
        spec: "host#gRPC paths",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.tick(), Ok(()));
            let status = |byte: u8| if byte.is_ascii_alphabetic() { "0" } else { "10" };
            let expected: Vec<_> = b"M m/n?#\xff\x7f".iter().flat_map(|byte| [status(*byte); 2]).collect();
            assert_eq!(guest.seen(), expected);
        },
    },
    Case {
        name: "what_is_given_up_counts_until_the_host_has_taken_note",
        guest: r#"
            (data (i32.const 1024) "auth")
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_grpc_stream
                    (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 1200)))
                (call $report (call $proxy_grpc_cancel (i32.load (i32.const 1200))))
                (call $report (call $proxy_grpc_stream
                    (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 1200))))
        "#,
        hostcalls: &[proxy_grpc_stream, proxy_grpc_cancel],
        spec: "host#limits",
        run: |case, engine| {
            let limits = Limits::default().with_callouts(1);
            let mut guest = case.start_with(engine, Setup { limits, ..Setup::default() });
            for _ in 0..2 {
                assert_eq!(guest.tick(), Ok(()));
                assert_eq!(guest.seen(), ["0", "0", "10"]);
                assert_eq!(guest.actions().len(), 2);
            }
        },
    },
    Case {
        name: "messages_count_until_they_are_sent",
        guest: r#"
            (data (i32.const 1024) "auth")
            (func (export "proxy_on_configure") (param i32 i32) (result i32)
                (drop (call $proxy_grpc_stream
                    (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 1200)))
                (i32.const 1))
            (func (export "proxy_on_tick") (param i32)
                (local $sent i32)
                (loop $next
                    (if (i32.eqz (call $proxy_grpc_send
                        (i32.load (i32.const 1200)) (i32.const 0) (i32.const 0) (i32.const 0)))
                        (then
                            (local.set $sent (i32.add (local.get $sent) (i32.const 1)))
                            (br $next))))
                (call $report (local.get $sent))
                (call $report (call $proxy_grpc_send
                    (i32.load (i32.const 1200)) (i32.const 0) (i32.const 0) (i32.const 0)))
                (call $report (call $proxy_grpc_call
                    (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1204))))
        "#,
        hostcalls: &[proxy_grpc_stream, proxy_grpc_send, proxy_grpc_call],
        spec: "host#limits",
        run: |case, engine| {
            let limits = Limits::default().with_buffer(64 << 10);
            let mut guest = case.start_with(engine, Setup { limits, ..Setup::default() });
            assert_eq!(guest.tick(), Ok(()));
            let seen = guest.seen();
            let sent: usize = seen.first().and_then(|sent| sent.parse().ok()).unwrap_or_default();
            assert!((100..1000).contains(&sent), "{sent}: an empty message has its cost, and not too much");
            assert_eq!(seen.get(1..), Some(&["2".to_owned(), "10".to_owned()][..]));
            let held = guest.actions();
            assert_eq!((guest.tick(), guest.seen()), (Ok(()), ["0", "2", "10"].map(str::to_owned).to_vec()));
            drop(held);
            assert_eq!((guest.tick(), guest.seen()), (Ok(()), seen));
        },
    },
    Case {
        name: "a_stream_is_sent_to_until_it_is_half_closed",
        guest: r#"
            (data (i32.const 1024) "authmessage")
            (func $send (param $id i32) (param $len i32) (param $end i32)
                (call $report (call $proxy_grpc_send
                    (local.get $id) (i32.const 1028) (local.get $len) (local.get $end))))
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_grpc_stream
                    (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 1200)))
                (call $report (call $proxy_grpc_stream
                    (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 1204)))
                (call $send (i32.load (i32.const 1200)) (i32.const 7) (i32.const 0))
                (call $send (i32.load (i32.const 1200)) (i32.const 0) (i32.const 2))
                (call $send (i32.load (i32.const 1200)) (i32.const 1) (i32.const 0))
                (call $report (call $proxy_grpc_close (i32.load (i32.const 1204))))
                (call $report (call $proxy_grpc_close (i32.load (i32.const 1204))))
                (call $send (i32.load (i32.const 1204)) (i32.const 1) (i32.const 0))
                ;; Of a call, of nothing, of a stream that there is not; a bad pointer.
                (call $send (i32.const 5) (i32.const 1) (i32.const 0))
                (call $send (i32.const 0) (i32.const 1) (i32.const 0))
                (call $send (i32.const 14) (i32.const 1) (i32.const 0))
                (call $send (i32.load (i32.const 1200)) (i32.const 65535) (i32.const 0)))
        "#,
        hostcalls: &[proxy_grpc_stream, proxy_grpc_send, proxy_grpc_close],
        spec: "v0.2.1#proxy_grpc_send",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!(guest.seen(), ["0", "0", "0", "0", "2", "0", "0", "2", "2", "2", "1", "6"]);
            let sent = guest.actions().split_off(2);
            let message = |text: &'static str, end| Action::GrpcSend { id: GrpcId(6), message: text.into(), end };
            assert_eq!(sent, [message("message", false), message("", true), Action::GrpcClose { id: GrpcId(10) }]);
        },
    },
    Case {
        name: "what_is_given_up_is_told_nothing",
        guest: r#"
            (data (i32.const 1024) "auth")
            (func $open
                (drop (call $proxy_grpc_call
                    (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1200)))
                (drop (call $proxy_grpc_stream
                    (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 1204))))
            (func (export "proxy_on_grpc_receive") (param i32 i32 i32) unreachable)
            (func (export "proxy_on_grpc_close") (param i32 i32 i32) unreachable)
            (func $cancel (param i32) (call $report (call $proxy_grpc_cancel (local.get 0))))
            (func (export "proxy_on_tick") (param i32)
                (call $open)
                (call $cancel (i32.load (i32.const 1200)))
                (call $cancel (i32.load (i32.const 1200)))
                (call $cancel (i32.load (i32.const 1204)))
                (call $cancel (i32.const 4))
                (call $report (call $proxy_grpc_close (i32.const 7)))
                (call $open)
                (call $report (call $proxy_grpc_close (i32.load (i32.const 1200))))
                (call $report (call $proxy_grpc_close (i32.load (i32.const 1200)))))
        "#,
        hostcalls: &[proxy_grpc_call, proxy_grpc_stream, proxy_grpc_cancel, proxy_grpc_close],
        spec: "v0.2.1#proxy_grpc_cancel",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!(guest.seen(), ["0", "1", "0", "2", "2", "0", "1"]);
            let cancelled = |actions: Vec<Action>| -> Vec<u32> {
                let id = |action| if let Action::GrpcCancel { id } = action { Some(id.0) } else { None };
                actions.into_iter().filter_map(id).collect()
            };
            assert_eq!(cancelled(guest.actions()), [5, 6, 9]);
            for id in [5, 6, 9, 10_001] {
                assert_eq!(guest.vm.on_grpc(GrpcId(id), close(0, "")), Ok(()));
            }
            let root = guest.root;
            assert_eq!(guest.vm.delete(root), Ok(()));
            assert_eq!(cancelled(guest.actions()), [10], "a root that goes gives up what it has");
        },
    },
    Case {
        name: "a_stream_is_told_everything_in_order",
        guest: RECEIVER,
        hostcalls: &[
            proxy_grpc_stream,
            proxy_get_header_map_value,
            proxy_get_buffer_bytes,
            proxy_set_buffer_bytes,
            proxy_get_status,
        ],
        spec: "v0.2.1#proxy_on_grpc_receive",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.tick(), Ok(()));
            let id = GrpcId(6);
            let (root, nothing) = (guest.root.to_string(), ["2", "-1", "2", "-1", "0", "0"]);
            assert_eq!(guest.seen(), nothing, "before anything has come");
            let metadata = || [("k", "v"), ("l", "w")].into_iter().collect();
            let told = |name: &str, number: &str, seen: [&str; 6]| {
                [name, &root, "6", number].into_iter().chain(seen).map(str::to_owned).collect::<Vec<_>>()
            };
            for (event, name, number, seen) in [
                (GrpcEvent::InitialMetadata(metadata()), "100", "2", &["0", "1", "v", "2", "-1", "0", "0"][..]),
                (GrpcEvent::Message("hello".into()), "101", "5", &["2", "-1", "2", "-1", "0", "5", "hello"]),
                (GrpcEvent::Message(Bytes::new()), "101", "0", &["2", "-1", "2", "-1", "0", "0"]),
                (GrpcEvent::TrailingMetadata(metadata()), "102", "2", &["2", "-1", "0", "1", "v", "0", "0"]),
            ] {
                assert_eq!(guest.vm.on_grpc(id, event), Ok(()));
                let expected: Vec<_> = [name, &root, "6", number].into_iter().chain(seen.iter().copied()).collect();
                assert_eq!(guest.seen(), expected);
            }
            assert_eq!(guest.vm.on_grpc(id, close(5, "gone")), Ok(()));
            let mut expected = told("103", "5", nothing);
            expected.extend(["0", "4", "gone", "5"].map(str::to_owned));
            assert_eq!(guest.seen(), expected);
            // The code stays, the message does not; and nothing comes any more.
            assert_eq!(guest.vm.on_grpc(id, close(6, "again")), Ok(()));
            assert_eq!(guest.seen(), [""; 0]);
        },
    },
    Case {
        name: "a_call_is_over_with_its_first_event",
        guest: r#"
            (data (i32.const 1024) "auth")
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_grpc_call
                    (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1200))))
            (func (export "proxy_on_grpc_receive") (param i32 i32 i32) (call $report (local.get 1)))
            (func (export "proxy_on_grpc_close") (param i32 i32 i32) (call $report (local.get 2)))
        "#,
        hostcalls: &[proxy_grpc_call],
        spec: "v0.2.1#proxy_on_grpc_close",
        run: |case, engine| {
            let limits = Limits::default().with_callouts(2);
            let mut guest = case.start_with(engine, Setup { limits, ..Setup::default() });
            for _ in 0..3 {
                assert_eq!(guest.tick(), Ok(()));
            }
            assert_eq!(guest.seen(), ["0", "0", "10"], "there may be two");
            for (id, event, seen) in [
                (5, GrpcEvent::Message("".into()), &["5"][..]),
                (5, close(1, ""), &[]),
                (9, close(14, ""), &["14"]),
                (9, GrpcEvent::Message("".into()), &[]),
            ] {
                assert_eq!(guest.vm.on_grpc(GrpcId(id), event), Ok(()));
                assert_eq!(guest.seen(), seen);
            }
            assert_eq!((guest.tick(), guest.seen()), (Ok(()), vec!["0".to_owned()]));
        },
    },
];

/// Opens a stream when it ticks. Reports each event by its number, its arguments, and what can be read.
const RECEIVER: &str = r#"
    (data (i32.const 1024) "authk")
    (func $read
        (call $answer (call $proxy_get_header_map_value
            (i32.const 4) (i32.const 1028) (i32.const 1) (i32.const 0) (i32.const 4)))
        (call $answer (call $proxy_get_header_map_value
            (i32.const 5) (i32.const 1028) (i32.const 1) (i32.const 0) (i32.const 4)))
        (call $answer (call $proxy_get_buffer_bytes
            (i32.const 5) (i32.const 0) (i32.const 100) (i32.const 0) (i32.const 4)))
        (if (i32.ne (call $proxy_set_buffer_bytes
            (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 1024) (i32.const 1)) (i32.const 2))
            (then unreachable)))
    (func $told (param i32 i32 i32 i32)
        (call $report (local.get 0)) (call $report (local.get 1))
        (call $report (local.get 2)) (call $report (local.get 3))
        (call $read))
    (func (export "proxy_on_tick") (param i32)
        (drop (call $proxy_grpc_stream
            (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 1200)))
        (call $read))
    (func (export "proxy_on_grpc_receive_initial_metadata") (param i32 i32 i32)
        (call $told (i32.const 100) (local.get 0) (local.get 1) (local.get 2)))
    (func (export "proxy_on_grpc_receive") (param i32 i32 i32)
        (call $told (i32.const 101) (local.get 0) (local.get 1) (local.get 2)))
    (func (export "proxy_on_grpc_receive_trailing_metadata") (param i32 i32 i32)
        (call $told (i32.const 102) (local.get 0) (local.get 1) (local.get 2)))
    (func (export "proxy_on_grpc_close") (param i32 i32 i32)
        (call $told (i32.const 103) (local.get 0) (local.get 1) (local.get 2))
        (call $answer (call $proxy_get_status (i32.const 1208) (i32.const 0) (i32.const 4)))
        (call $report (i32.load (i32.const 1208))))
"#;

/// Returns a call of `Service/Method` on `auth`.
fn call(message: &'static str) -> GrpcRequest {
    GrpcRequest::new("auth", "Service", "Method").with_message(Bytes::from_static(message.as_bytes()))
}

fn close(status: u32, message: &str) -> GrpcEvent {
    GrpcEvent::Close { status, message: message.to_owned() }
}

/// Returns the streams that the guest has opened since the last call.
fn started(guest: &mut Running) -> Vec<(GrpcId, GrpcRequest)> {
    let start = |action| if let Action::GrpcStart { id, request, .. } = action { Some((id, request)) } else { None };
    guest.actions().into_iter().filter_map(start).collect()
}
