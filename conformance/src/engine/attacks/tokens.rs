//! Numbers that a plugin has guessed.

use portcullis::abi::{
    HostcallId::proxy_add_header_map_value, HostcallId::proxy_define_metric, HostcallId::proxy_enqueue_shared_queue,
    HostcallId::proxy_grpc_cancel, HostcallId::proxy_grpc_stream, HostcallId::proxy_increment_metric,
    HostcallId::proxy_register_shared_queue, HostcallId::proxy_set_effective_context,
};
use portcullis::engine::AnyEngine;
use portcullis::model::{CallId, Direction, Plugin, StreamInfo};
use portcullis::resources::Shared;
use portcullis::vm::CallOutcome;

use crate::engine::case::Case;
use crate::engine::running::{Running, Setup};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "the_context_of_another_plugin_or_of_its_stream",
        guest: r#"
            (data (i32.const 1024) "x")
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_set_effective_context (i32.const 2)))
                (call $report (call $proxy_set_effective_context (i32.const 3)))
                (call $report (call $proxy_add_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 1024) (i32.const 1))))
        "#,
        hostcalls: &[proxy_set_effective_context, proxy_add_header_map_value],
        spec: "portcullis#proxy_set_effective_context",
        run: |case, engine| {
            for (any_effective_context, seen) in [(false, ["2", "2", "2"]), (true, ["0", "0", "0"])] {
                let mut guest = case.start_with(engine, Setup { any_effective_context, ..Setup::default() });
                let other = guest.vm.add_plugin(Plugin::new("victim").into()).unwrap();
                let stream = guest.vm.create_stream(other, StreamInfo::default().into_shared()).unwrap();
                guest.lend(stream, Direction::Request, &[("a", "1")]);
                guest.tick().unwrap();
                assert_eq!(guest.seen(), seen);
                let headers = guest.vm.stream(stream).unwrap().take_headers(Direction::Request).unwrap();
                assert_eq!(headers.get(b"x").is_some(), any_effective_context);
            }
        },
    },
    Case {
        name: "the_number_of_another_sandboxs_queue",
        guest: r#"
            (data (i32.const 1024) "q")
            (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
                (drop (call $proxy_register_shared_queue (i32.const 1024) (i32.const 1) (i32.const 1100)))
                (i32.const 1))
            (func (export "proxy_on_tick") (param i32) (local $id i32) (local $hits i32)
                ;; All that can be guessed in a tick.
                (loop $next
                    (local.set $id (i32.add (local.get $id) (i32.const 1)))
                    (local.set $hits (i32.add (local.get $hits) (i32.eqz
                        (call $proxy_enqueue_shared_queue (local.get $id) (i32.const 1024) (i32.const 1)))))
                    (br_if $next (i32.lt_u (local.get $id) (i32.const 100))))
                (call $report (local.get $hits)))
        "#,
        hostcalls: &[proxy_register_shared_queue, proxy_enqueue_shared_queue],
        spec: "portcullis#queues",
        run: |case, engine| {
            let shared = Shared::default();
            let start = |vm_id: &str| {
                let setup = Setup { shared: shared.clone(), vm_id: vm_id.to_owned(), ..Setup::default() };
                case.start_with(engine, setup)
            };
            let (_victim, mut attacker) = (start("victim"), start("attacker"));
            attacker.tick().unwrap();
            assert_eq!(attacker.seen(), ["1"], "its own");
            let mut friend = start("victim");
            friend.tick().unwrap();
            assert_eq!(friend.seen(), ["1"], "the control: the victim's own id is its queue");
        },
    },
    Case {
        name: "the_number_of_another_plugins_metric_or_callout",
        guest: r#"
            (data (i32.const 1024) "cauthSM")
            (func (export "proxy_on_configure") (param i32 i32) (result i32)
                (drop (call $proxy_define_metric (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 1100)))
                (drop (call $proxy_grpc_stream
                    (i32.const 1025) (i32.const 4) (i32.const 1029) (i32.const 1) (i32.const 1030) (i32.const 1)
                    (i32.const 0) (i32.const 0) (i32.const 1104)))
                (i32.const 1))
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_increment_metric (i32.const 4) (i64.const 1)))
                (call $report (call $proxy_grpc_cancel (i32.const 6))))
        "#,
        hostcalls: &[proxy_define_metric, proxy_grpc_stream, proxy_increment_metric, proxy_grpc_cancel],
        spec: "portcullis#tokens",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let attacker = guest.vm.add_plugin(Plugin::new("attacker").into()).unwrap();
            guest.vm.on_tick(attacker).unwrap();
            assert_eq!(guest.seen(), ["1", "1"], "its own are 8 and 10");
            guest.tick().unwrap();
            assert_eq!(guest.seen(), ["0", "0"], "the control: the owner");
        },
    },
    Case {
        name: "an_answer_to_a_callout_that_was_made_with_more_rights",
        guest: r#"
            (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32) (call $report (local.get 1)))
        "#,
        hostcalls: &[],
        spec: "portcullis#tokens",
        run: |case, engine| {
            // What was in flight for the plugin with its old rights ends in its old VM; the new one, whose rights are
            // fewer, has a VM of its own, in which the number means nothing.
            let mut reconfigured = case.start(engine);
            answered(&mut reconfigured);
            assert_eq!(reconfigured.seen(), [""; 0]);
            let mut control = calling(engine);
            answered(&mut control);
            assert_eq!(control.seen(), ["4"], "the control: who made it");
        },
    },
];

/// Tells of the end of the first callout.
fn answered(guest: &mut Running) {
    guest.vm.on_http_call_response(CallId(4), CallOutcome::Reset(String::new())).unwrap();
}

/// Returns a guest that has made a callout.
fn calling(engine: &dyn AnyEngine) -> Running {
    const CALLER: Case = Case {
        name: "caller",
        guest: r#"
            (data (i32.const 1024) "auth\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00")
            (func (export "proxy_on_tick") (param i32) (drop (call $proxy_http_call
                (i32.const 1024) (i32.const 4) (i32.const 1028) (i32.const 61) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2004))))
            (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32) (call $report (local.get 1)))
        "#,
        hostcalls: &[portcullis::abi::HostcallId::proxy_http_call],
        spec: "portcullis#tokens",
        run: |_, _| {},
    };
    let mut guest = CALLER.start(engine);
    guest.tick().unwrap();
    guest
}
