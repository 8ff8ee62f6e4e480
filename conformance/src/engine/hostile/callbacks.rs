//! Callbacks that call back: what a guest asks for from where nobody would.

use std::collections::HashSet;

use bytes::Bytes;
use portcullis::abi::PeerType;
use portcullis::abi::{
    HostcallId::envoy_resolve_dns, HostcallId::proxy_close_stream, HostcallId::proxy_continue_stream,
    HostcallId::proxy_dequeue_shared_queue, HostcallId::proxy_done, HostcallId::proxy_enqueue_shared_queue,
    HostcallId::proxy_grpc_send, HostcallId::proxy_grpc_stream, HostcallId::proxy_http_call,
    HostcallId::proxy_register_shared_queue, HostcallId::proxy_send_local_response,
    HostcallId::proxy_set_effective_context, HostcallId::proxy_set_tick_period_milliseconds,
};
use portcullis::model::{Action, CallId, CallResponse, Direction, Limits};
use portcullis::resources::{GrpcEvent, GrpcId, LookupId};
use portcullis::vm::{CallOutcome, VmFailed};

use crate::engine::case::Case;
use crate::engine::running::{Running, Setup};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "every_callback_asks_for_everything",
        guest: r#"
            (data (i32.const 1024) "authSM")
            (data (i32.const 1100) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00")
            (func $all
                (drop (call $proxy_http_call
                    (i32.const 1024) (i32.const 4) (i32.const 1100) (i32.const 61) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2000)))
                (drop (call $proxy_grpc_stream
                    (i32.const 1024) (i32.const 4) (i32.const 1028) (i32.const 1) (i32.const 1029) (i32.const 1)
                    (i32.const 0) (i32.const 0) (i32.const 2004)))
                (drop (call $proxy_grpc_send (i32.load (i32.const 2004)) (i32.const 0) (i32.const 9) (i32.const 0)))
                (drop (call $envoy_resolve_dns (i32.const 1024) (i32.const 4) (i32.const 2008)))
                (drop (call $proxy_register_shared_queue (i32.const 1024) (i32.const 4) (i32.const 2012)))
                (drop (call $proxy_enqueue_shared_queue (i32.load (i32.const 2012)) (i32.const 0) (i32.const 4)))
                (drop (call $proxy_set_tick_period_milliseconds (i32.const 1)))
                (drop (call $proxy_send_local_response (i32.const 200) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
                (drop (call $proxy_continue_stream (i32.const 0)))
                (drop (call $proxy_continue_stream (i32.const 1)))
                (drop (call $proxy_continue_stream (i32.const 2)))
                (drop (call $proxy_continue_stream (i32.const 3)))
                (drop (call $proxy_close_stream (i32.const 0)))
                (drop (call $proxy_close_stream (i32.const 3)))
                (drop (call $proxy_done)))
            ;; In its own context, in the two first and one that will be, and in that of the VM.
            (func $everything
                (call $all)
                (drop (call $proxy_set_effective_context (i32.const 1)))
                (call $all)
                (drop (call $proxy_set_effective_context (i32.const 2)))
                (call $all)
                (drop (call $proxy_set_effective_context (i32.const 9)))
                (call $all)
                (drop (call $proxy_set_effective_context (i32.const 0)))
                (call $report (i32.const 1)))
            (func (export "proxy_on_context_create") (param i32 i32) (call $everything))
            (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (call $everything) (i32.const 1))
            (func (export "proxy_on_configure") (param i32 i32) (result i32) (call $everything) (i32.const 1))
            (func (export "proxy_on_tick") (param i32) (call $everything))
            (func (export "proxy_on_queue_ready") (param i32 i32) (call $everything))
            (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32) (call $everything))
            (func (export "proxy_on_grpc_receive_initial_metadata") (param i32 i32 i32) (call $everything))
            (func (export "proxy_on_grpc_receive") (param i32 i32 i32) (call $everything))
            (func (export "proxy_on_grpc_receive_trailing_metadata") (param i32 i32 i32) (call $everything))
            (func (export "proxy_on_grpc_close") (param i32 i32 i32) (call $everything))
            (func (export "proxy_on_foreign_function") (param i32 i32 i32) (call $everything))
            (func (export "envoy_on_resolve_dns") (param i32 i32 i32) (call $everything))
            (func (export "proxy_on_new_connection") (param i32) (result i32) (call $everything) (i32.const 0))
            (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32) (call $everything) (i32.const 0))
            (func (export "proxy_on_upstream_data") (param i32 i32 i32) (result i32) (call $everything) (i32.const 0))
            (func (export "proxy_on_downstream_connection_close") (param i32 i32) (call $everything))
            (func (export "proxy_on_upstream_connection_close") (param i32 i32) (call $everything))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $everything) (i32.const 0))
            (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (call $everything) (i32.const 0))
            (func (export "proxy_on_request_trailers") (param i32 i32) (result i32) (call $everything) (i32.const 0))
            (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (call $everything) (i32.const 0))
            (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) (call $everything) (i32.const 0))
            (func (export "proxy_on_response_trailers") (param i32 i32) (result i32) (call $everything) (i32.const 0))
            (func (export "proxy_on_done") (param i32) (result i32) (call $everything) (i32.const 0))
            (func (export "proxy_on_log") (param i32) (call $everything))
            (func (export "proxy_on_delete") (param i32) (call $everything))
        "#,
        hostcalls: &[
            proxy_http_call,
            proxy_grpc_stream,
            proxy_grpc_send,
            envoy_resolve_dns,
            proxy_register_shared_queue,
            proxy_enqueue_shared_queue,
            proxy_set_tick_period_milliseconds,
            proxy_send_local_response,
            proxy_continue_stream,
            proxy_close_stream,
            proxy_done,
            proxy_set_effective_context,
        ],
        spec: "portcullis#re-entrancy",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let calls = live(&mut guest).unwrap();
            assert_eq!(guest.vm.failure(), None);
            // Each callback ran to its end: 3 of the start, and those of its life.
            assert_eq!(guest.seen().len(), 3 + calls);
            let actions = guest.actions();
            let ids: Vec<_> = actions
                .iter()
                .filter_map(|action| match action {
                    Action::HttpCall { call, .. } => Some(("http", call.0)),
                    Action::GrpcStart { id, .. } => Some(("grpc", id.0)),
                    Action::ResolveDns { id, .. } => Some(("dns", id.0)),
                    _ => None,
                })
                .collect();
            assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "no id is given twice");
            // Of each kind 4 in each callback; the root is gone in none but its last.
            assert_eq!(ids.len(), 3 * 4 * (3 + calls));
            let count = |is: fn(&Action) -> bool| actions.iter().filter(|action| is(action)).count();
            assert_eq!(count(|action| matches!(action, Action::RootDone { .. })), 1);
            // Told once until they are taken: the two streams that there were, and each of their halves.
            assert_eq!(count(|action| matches!(action, Action::SetTick { .. })), 1);
            assert_eq!(count(|action| matches!(action, Action::LocalResponse { .. })), 1);
            assert_eq!(count(|action| matches!(action, Action::Continue { .. })), 4);
            assert_eq!(count(|action| matches!(action, Action::Close { .. })), 2);
            // What its root has opened goes with it, but for what was closed.
            assert_eq!(count(|action| matches!(action, Action::GrpcCancel { .. })), 4 * (3 + calls) - 1);
            assert_eq!(guest.vm.context_count(), 0);
        },
    },
    Case {
        name: "a_queue_that_is_fed_by_who_is_told_of_it",
        guest: r#"
            (data (i32.const 1024) "q")
            (global $full (mut i32) (i32.const 0))
            ;; Two items for one that it is told of.
            (func $feed
                (drop (call $proxy_register_shared_queue (i32.const 1024) (i32.const 1) (i32.const 2000)))
                (global.set $full (i32.add (global.get $full) (i32.eq (i32.const 10)
                    (call $proxy_enqueue_shared_queue (i32.load (i32.const 2000)) (i32.const 0) (i32.const 1)))))
                (global.set $full (i32.add (global.get $full) (i32.eq (i32.const 10)
                    (call $proxy_enqueue_shared_queue (i32.load (i32.const 2000)) (i32.const 0) (i32.const 1))))))
            (func (export "proxy_on_tick") (param i32) (call $feed))
            (func (export "proxy_on_queue_ready") (param i32 i32) (call $feed))
            (func (export "proxy_on_log") (param i32) (local $items i32)
                (call $report (global.get $full))
                (loop $next
                    (if (i32.eqz (call $proxy_dequeue_shared_queue
                            (i32.load (i32.const 2000)) (i32.const 2004) (i32.const 2008)))
                        (then (local.set $items (i32.add (local.get $items) (i32.const 1))) (br $next))))
                (call $report (local.get $items)))
        "#,
        hostcalls: &[proxy_register_shared_queue, proxy_enqueue_shared_queue, proxy_dequeue_shared_queue],
        spec: "portcullis#queues",
        run: |case, engine| {
            // A queue with a name of one byte, and 10 items of one.
            let shared = Limits::NAME_COST + 1 + 10 * (Limits::ENTRY_COST + 1);
            let limits = Limits::default().with_shared(shared);
            let mut guest = case.start_with(engine, Setup { limits, ..Setup::default() });
            guest.tick().unwrap();
            assert_eq!(guest.vm.on_queue_ready(), Ok(true), "one call tells of one item");
            let told = 1 + std::iter::from_fn(|| guest.vm.on_queue_ready().unwrap().then_some(())).count();
            // 10 items were taken, one for each that was told; then the queue was full.
            assert_eq!(told, 10);
            let stream = guest.open(&[]);
            guest.vm.on_log(stream).unwrap();
            assert_eq!(guest.seen(), ["12", "10"], "11 times 2 items, less the 10 that had room");
        },
    },
    Case {
        name: "what_a_context_asks_for_as_it_is_deleted",
        guest: r#"
            (func (export "proxy_on_delete") (param $id i32)
                (call $report (call $proxy_continue_stream (i32.const 0)))
                (call $report (call $proxy_close_stream (i32.const 1)))
                (call $report (call $proxy_send_local_response (i32.const 200) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
                (call $report (call $proxy_set_tick_period_milliseconds (i32.const 5)))
                (call $report (call $proxy_set_effective_context (local.get $id)))
                (call $report (call $proxy_done)))
        "#,
        hostcalls: &[
            proxy_continue_stream,
            proxy_close_stream,
            proxy_send_local_response,
            proxy_set_tick_period_milliseconds,
            proxy_set_effective_context,
            proxy_done,
        ],
        spec: "v0.2.1#proxy_on_delete",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[]);
            guest.vm.delete(stream).unwrap();
            guest.vm.delete(stream).unwrap();
            assert_eq!(guest.seen(), ["0", "0", "0", "0", "0", "1"], "once");
            let root = guest.root;
            // An answer to a stream that is over is accepted and dropped.
            let kinds: Vec<_> = guest.actions().iter().map(|action| format!("{action:?}")).collect();
            let expected = [
                format!("Continue {{ context: {stream:?}, stream: Request }}"),
                format!("Close {{ context: {stream:?}, stream: Response }}"),
                format!("SetTick {{ root: {root:?} }}"),
            ];
            assert_eq!(kinds, expected);
            guest.vm.delete(root).unwrap();
            assert_eq!(guest.seen(), ["0", "0", "0", "0", "0", "1"]);
            assert_eq!(guest.actions(), [Action::SetTick { root }], "which its embedder finds gone");
            assert_eq!((guest.vm.tick_period(root), guest.vm.context_count()), (None, 0));
        },
    },
    Case {
        name: "contexts_whose_root_is_gone_are_told_nothing",
        guest: r#"
            (func $see (call $report (i32.const 1)))
            (func (export "proxy_on_context_create") (param i32 i32) (call $see))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $see) (i32.const 1))
            (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (call $see) (i32.const 1))
            (func (export "proxy_on_log") (param i32) (drop (call $proxy_done)) (call $see))
            (func (export "proxy_on_done") (param i32) (result i32) (call $see) (i32.const 1))
            (func (export "proxy_on_delete") (param i32) (drop (call $proxy_done)) (call $see))
        "#,
        hostcalls: &[proxy_done],
        // Without a root there is no plugin, and no rights in whose name anything could be called.
        spec: "portcullis#contexts",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[("a", "1")]);
            guest.vm.delete(guest.root).unwrap();
            assert_eq!(guest.seen(), ["1", "1", "1"]);
            assert_eq!(guest.headers(stream), Err(VmFailed), "no plugin is no consent");
            assert_eq!(guest.vm.on_body(stream, Direction::Request, true), Err(VmFailed));
            guest.vm.on_log(stream).unwrap();
            guest.vm.on_done(stream).unwrap();
            guest.vm.delete(stream).unwrap();
            assert_eq!(guest.vm.create_stream(guest.root, Default::default()), Err(VmFailed));
            assert_eq!(guest.vm.create_tcp_stream(guest.root, Default::default()), Err(VmFailed));
            assert_eq!((guest.vm.context_count(), guest.vm.failure()), (0, None));
            assert_eq!(guest.seen(), [""; 0]);
        },
    },
];

/// Runs a root, an HTTP stream and a TCP stream to their ends, with an answer to each kind of callout; returns the number of callbacks.
fn live(guest: &mut Running) -> Result<usize, VmFailed> {
    let root = guest.root;
    let http = guest.open(&[("a", "1")]);
    let tcp = guest.connect();
    for direction in [Direction::Request, Direction::Response] {
        guest.lend(http, direction, &[("a", "1")]);
        guest.vm.on_headers(http, direction, false)?;
        guest.lend_body(http, direction, "body");
        guest.vm.on_body(http, direction, false)?;
        guest.vm.on_trailers(http, direction)?;
        guest.lend_body(tcp, direction, "data");
        guest.vm.on_data(tcp, direction, false)?;
    }
    guest.vm.on_new_connection(tcp)?;
    guest.vm.on_connection_close(tcp, Direction::Request, PeerType::Remote)?;
    guest.vm.on_connection_close(tcp, Direction::Response, PeerType::Local)?;
    guest.vm.on_foreign_function(http, 1, Bytes::new())?;
    guest.tick()?;
    assert_eq!(guest.vm.on_queue_ready(), Ok(true));
    guest.vm.on_http_call_response(CallId(4), CallOutcome::Response(CallResponse::default()))?;
    guest.vm.on_http_call_response(CallId(8), CallOutcome::Reset("broken".to_owned()))?;
    guest.vm.on_resolve_dns(LookupId(1), &[])?;
    for event in [
        GrpcEvent::InitialMetadata([("a", "1")].into_iter().collect()),
        GrpcEvent::Message(Bytes::new()),
        GrpcEvent::TrailingMetadata([("a", "1")].into_iter().collect()),
        GrpcEvent::Close { status: 0, message: String::new() },
    ] {
        guest.vm.on_grpc(GrpcId(6), event)?;
    }
    for stream in [http, tcp] {
        guest.vm.on_log(stream)?;
        guest.vm.on_done(stream)?;
        guest.vm.delete(stream)?;
    }
    assert_eq!(guest.vm.end_root(root), Ok(false));
    guest.tick()?;
    guest.vm.delete(root)?;
    Ok(2 + 2 * 4 + 4 + 2 + 3 + 4 + 2 * 3 + 3)
}
