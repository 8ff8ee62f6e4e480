//! Ids that nobody has been given: from the future, from the past, of others, and no ids at all.

use portcullis::abi::{
    HostcallId::envoy_resolve_dns, HostcallId::proxy_define_metric, HostcallId::proxy_dequeue_shared_queue,
    HostcallId::proxy_enqueue_shared_queue, HostcallId::proxy_get_metric, HostcallId::proxy_grpc_call,
    HostcallId::proxy_grpc_cancel, HostcallId::proxy_grpc_close, HostcallId::proxy_grpc_send,
    HostcallId::proxy_grpc_stream, HostcallId::proxy_http_call, HostcallId::proxy_increment_metric,
    HostcallId::proxy_record_metric, HostcallId::proxy_register_shared_queue, HostcallId::proxy_set_effective_context,
};
use portcullis::engine::AnyEngine;
use portcullis::model::{CallId, CallResponse, Plugin};
use portcullis::resources::{GrpcEvent, GrpcId, LookupId, Shared};
use portcullis::vm::CallOutcome;

use crate::engine::case::Case;
use crate::engine::running::{Running, Setup};

/// A guest that reports what `$try` of each of many ids answers, as one number of hexadecimal digits, the first id's first:
/// the id that it has been given, which stands at 2000, and the next two; 0, -1, and the largest and the smallest number.
macro_rules! guest {
    ($code:literal) => {
        concat!(
            r#"
            (global $all (mut i32) (i32.const 0))
            (func $one (param i32)
                (global.set $all (i32.or
                    (i32.shl (global.get $all) (i32.const 4)) (call $try (local.get 0)))))
            (func $each (param $step i32)
                (global.set $all (i32.const 0))
                (call $one (i32.load (i32.const 2000)))
                (call $one (i32.add (i32.load (i32.const 2000)) (local.get $step)))
                (call $one (i32.add (i32.load (i32.const 2000)) (i32.mul (i32.const 2) (local.get $step))))
                (call $one (i32.const 0))
                (call $one (i32.const -1))
                (call $one (i32.const 0x7fffffff))
                (call $one (i32.const 0x80000000))
                (call $report (global.get $all)))
            "#,
            $code
        )
    };
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "contexts",
        guest: guest!(
            "(func $try (param i32) (result i32) (call $proxy_set_effective_context (local.get 0)))
            (func (export \"proxy_on_tick\") (param i32)
                (i32.store (i32.const 2000) (local.get 0))
                (call $each (i32.const 1)))"
        ),
        hostcalls: &[proxy_set_effective_context],
        spec: "v0.2.1#proxy_set_effective_context",
        // 0 is no context, and undoes the choice.
        run: |case, engine| assert_eq!(ticks(case, engine), [0x0220222]),
    },
    Case {
        name: "metrics",
        guest: guest!(
            r#"
            (data (i32.const 1024) "m")
            (global $which (mut i32) (i32.const 0))
            (func $try (param i32) (result i32)
                (if (i32.eqz (global.get $which))
                    (then (return (call $proxy_increment_metric (local.get 0) (i64.const 1)))))
                (if (i32.eq (global.get $which) (i32.const 1))
                    (then (return (call $proxy_record_metric (local.get 0) (i64.const 1)))))
                (call $proxy_get_metric (local.get 0) (i32.const 2008)))
            (func (export "proxy_on_tick") (param i32)
                (drop (call $proxy_define_metric (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 2000)))
                (call $each (i32.const 4))
                (global.set $which (i32.const 1))
                (call $each (i32.const 4))
                (global.set $which (i32.const 2))
                (call $each (i32.const 4)))
            "#
        ),
        hostcalls: &[proxy_define_metric, proxy_increment_metric, proxy_record_metric, proxy_get_metric],
        spec: "v0.2.1#Metrics",
        // -1 and the largest number have the low bits of no type.
        run: |case, engine| assert_eq!(ticks(case, engine), [0x0111221, 0x0111111, 0x0111221]),
    },
    Case {
        name: "queues",
        guest: guest!(
            r#"
            (data (i32.const 1024) "q")
            (global $takes (mut i32) (i32.const 0))
            (func $try (param i32) (result i32)
                (if (global.get $takes)
                    (then (return
                        (call $proxy_dequeue_shared_queue (local.get 0) (i32.const 2008) (i32.const 2012)))))
                (call $proxy_enqueue_shared_queue (local.get 0) (i32.const 1024) (i32.const 1)))
            (func (export "proxy_on_tick") (param i32)
                (drop (call $proxy_register_shared_queue (i32.const 1024) (i32.const 1) (i32.const 2000)))
                (global.set $takes (i32.const 0))
                (call $each (i32.const 1))
                (global.set $takes (i32.const 1))
                (call $each (i32.const 1)))
            "#
        ),
        hostcalls: &[proxy_register_shared_queue, proxy_enqueue_shared_queue, proxy_dequeue_shared_queue],
        spec: "v0.2.1#Shared Queues",
        run: |case, engine| {
            let shared = Shared::default();
            // The next id will be another VM's, and the one before is.
            let start = |vm_id: &str| {
                let setup = Setup { shared: shared.clone(), vm_id: vm_id.to_owned(), ..Setup::default() };
                case.start_with(engine, setup)
            };
            let mut guests = ["before", "own", "after"].map(start);
            for guest in &mut guests {
                guest.tick().unwrap();
                assert_eq!(numbers(guest), [0x0111111, 0x0111111]);
            }
            let [_, own, _] = &mut guests;
            own.tick().unwrap();
            assert_eq!(numbers(own), [0x0111111, 0x0111111], "the others' are there, but not for this one");
        },
    },
    Case {
        name: "grpc_calls_and_streams",
        guest: guest!(
            r#"
            (data (i32.const 1024) "authSM")
            (global $which (mut i32) (i32.const 0))
            (func $try (param i32) (result i32)
                (if (i32.eqz (global.get $which))
                    (then (return
                        (call $proxy_grpc_send (local.get 0) (i32.const 0) (i32.const 0) (i32.const 0)))))
                (if (i32.eq (global.get $which) (i32.const 1))
                    (then (return (call $proxy_grpc_close (local.get 0)))))
                (call $proxy_grpc_cancel (local.get 0)))
            (func $thrice
                (global.set $which (i32.const 0))
                (call $each (i32.const 4))
                (global.set $which (i32.const 1))
                (call $each (i32.const 4))
                (global.set $which (i32.const 2))
                (call $each (i32.const 4)))
            (func (export "proxy_on_tick") (param i32)
                (drop (call $proxy_grpc_stream
                    (i32.const 1024) (i32.const 4) (i32.const 1028) (i32.const 1) (i32.const 1029) (i32.const 1)
                    (i32.const 0) (i32.const 0) (i32.const 2000)))
                (call $thrice)
                (drop (call $proxy_grpc_call
                    (i32.const 1024) (i32.const 4) (i32.const 1028) (i32.const 1) (i32.const 1029) (i32.const 1)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2000)))
                (call $thrice))
            "#
        ),
        hostcalls: &[proxy_grpc_stream, proxy_grpc_call, proxy_grpc_send, proxy_grpc_close, proxy_grpc_cancel],
        spec: "v0.2.1#gRPC calls",
        run: |case, engine| {
            let stream = [0x0112222, 0x0112222, 0x0112222];
            // A call takes no messages, and is over when it is closed.
            let call = [0x2222222, 0x0112222, 0x1112222];
            assert_eq!(ticks(case, engine), [stream, call].concat());
        },
    },
    Case {
        name: "answers_to_what_was_not_asked_and_answers_that_come_twice",
        guest: r#"
            (data (i32.const 1024) "authSM")
            (data (i32.const 1100) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00")
            (func (export "proxy_on_tick") (param i32)
                (drop (call $proxy_http_call
                    (i32.const 1024) (i32.const 4) (i32.const 1100) (i32.const 61) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2000)))
                (call $report (i32.load (i32.const 2000)))
                (drop (call $proxy_grpc_call
                    (i32.const 1024) (i32.const 4) (i32.const 1028) (i32.const 1) (i32.const 1029) (i32.const 1)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2000)))
                (call $report (i32.load (i32.const 2000)))
                (drop (call $proxy_grpc_stream
                    (i32.const 1024) (i32.const 4) (i32.const 1028) (i32.const 1) (i32.const 1029) (i32.const 1)
                    (i32.const 0) (i32.const 0) (i32.const 2000)))
                (call $report (i32.load (i32.const 2000)))
                (drop (call $envoy_resolve_dns (i32.const 1024) (i32.const 4) (i32.const 2000)))
                (call $report (i32.load (i32.const 2000))))
            (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32) (call $report (local.get 1)))
            (func (export "proxy_on_grpc_receive") (param i32 i32 i32) (call $report (local.get 1)))
            (func (export "proxy_on_grpc_close") (param i32 i32 i32) (call $report (local.get 1)))
            (func (export "envoy_on_resolve_dns") (param i32 i32 i32) (call $report (local.get 1)))
        "#,
        hostcalls: &[proxy_http_call, proxy_grpc_call, proxy_grpc_stream, envoy_resolve_dns],
        spec: "portcullis#callouts",
        run: |case, engine| {
            const OTHERS: [u32; 8] = [0, 7, 8, 12, 9, 10, u32::MAX, 1 << 31];
            let mut guest = case.start(engine);
            let other = guest.vm.add_plugin(Plugin::new("other").into()).unwrap();
            guest.tick().unwrap();
            assert_eq!(guest.seen(), ["4", "5", "6", "1"]);
            for id in OTHERS {
                answer(&mut guest, id);
            }
            assert_eq!(guest.seen(), [""; 0], "from the future, or from nowhere");
            for id in [4, 5, 6, 1] {
                answer(&mut guest, id);
            }
            assert_eq!(guest.seen(), ["4", "5", "6", "6", "1"], "a stream is told of a message and its close");
            for id in [4, 5, 6, 1] {
                answer(&mut guest, id);
            }
            assert_eq!(guest.seen(), [""; 0], "twice");
            // What another plugin asks for has other ids, and comes to nobody when it is gone.
            guest.vm.on_tick(other).unwrap();
            assert_eq!(guest.seen(), ["8", "9", "10", "2"]);
            guest.vm.delete(other).unwrap();
            for id in OTHERS.into_iter().chain([2]) {
                answer(&mut guest, id);
            }
            assert_eq!((guest.seen(), guest.vm.failure()), (Vec::new(), None));
        },
    },
];

/// Answers of every kind to whatever has this id.
fn answer(guest: &mut Running, id: u32) {
    let response = CallOutcome::Response(CallResponse::default());
    guest.vm.on_http_call_response(CallId(id), response).unwrap();
    guest.vm.on_grpc(GrpcId(id), GrpcEvent::Message(Default::default())).unwrap();
    guest.vm.on_grpc(GrpcId(id), GrpcEvent::Close { status: 0, message: String::new() }).unwrap();
    guest.vm.on_resolve_dns(LookupId(id), &[]).unwrap();
}

/// Returns the numbers that a guest reports in one tick.
fn ticks(case: &Case, engine: &dyn AnyEngine) -> Vec<u32> {
    let mut guest = case.start(engine);
    guest.tick().unwrap();
    numbers(&guest)
}

fn numbers(guest: &Running) -> Vec<u32> {
    guest.seen().iter().map(|number| number.parse::<i32>().unwrap().cast_unsigned()).collect()
}
