//! One plugin works on another's memory.

use portcullis::abi::{HostcallId::environ_get, HostcallId::proxy_http_call};
use portcullis::engine::AnyEngine;
use portcullis::model::{Action, Plugin};
use portcullis::rights::Capabilities;
use portcullis::sandbox::{Sharing, VmSpec, schedule};

use super::plugins::asks;
use crate::engine::case::Case;
use crate::engine::running::{Running, Setup};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "work_that_is_left_in_shared_memory_for_who_may_do_it",
        guest: r#"
            (data (i32.const 1024) "auth\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00")
            (func (export "proxy_on_tick") (param $root i32)
                ;; The first plugin leaves work; the second does what it finds.
                (if (i32.eq (local.get $root) (i32.const 1))
                    (then (i32.store (i32.const 2000) (i32.const 1)))
                    (else (if (i32.load (i32.const 2000))
                        (then (call $report (call $proxy_http_call
                            (i32.const 1024) (i32.const 4) (i32.const 1028) (i32.const 61) (i32.const 0) (i32.const 0)
                            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2004))))))))
        "#,
        hostcalls: &[proxy_http_call],
        spec: "portcullis#sharing",
        run: |case, engine| {
            let sent =
                |guest: &mut Running| guest.actions().iter().any(|action| matches!(action, Action::HttpCall { .. }));
            // Control: plugins of equal rights share a VM, and the one does the other's work.
            assert!(sent(&mut together(case, engine, Plugin::new("b"))));
            refused_or_apart(&without_callouts(), &Plugin::new("b"), &[], &[]);
            assert!(!apart(case, engine).iter_mut().any(sent), "each has a memory of its own");
        },
    },
    Case {
        name: "a_pending_request_that_is_overwritten_in_shared_memory",
        guest: r#"
            (data (i32.const 1024) "auth\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00")
            (func (export "proxy_on_tick") (param $root i32)
                (if (i32.eq (local.get $root) (i32.const 1))
                    ;; GET becomes PUT, in what the other is about to send.
                    (then (i32.store16 (i32.const 1064) (i32.const 0x5550)))
                    (else (drop (call $proxy_http_call
                        (i32.const 1024) (i32.const 4) (i32.const 1028) (i32.const 61) (i32.const 0) (i32.const 0)
                        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2004))))))
        "#,
        hostcalls: &[proxy_http_call],
        spec: "portcullis#sharing",
        run: |case, engine| {
            let method = |guest: &mut Running| {
                guest.actions().into_iter().find_map(|action| match action {
                    Action::HttpCall { request, .. } => request.headers.get_str(":method").map(str::to_owned),
                    _ => None,
                })
            };
            assert_eq!(method(&mut together(case, engine, Plugin::new("b"))), Some("PUT".to_owned()), "the control");
            refused_or_apart(&without_callouts(), &Plugin::new("b"), &[], &[]);
            let methods: Vec<_> = apart(case, engine).iter_mut().filter_map(method).collect();
            assert_eq!(methods, ["GET"]);
        },
    },
    Case {
        name: "code_that_is_put_into_anothers_function_table",
        guest: r#"
            (type $work (func))
            (table 1 funcref)
            (elem (i32.const 0) $honest)
            (elem declare func $evil)
            (func $honest (call $report (i32.const 1)))
            (func $evil (call $report (i32.const 666)))
            (func (export "proxy_on_tick") (param $root i32)
                (if (i32.eq (local.get $root) (i32.const 1))
                    (then (table.set (i32.const 0) (ref.func $evil)))
                    (else (call_indirect (type $work) (i32.const 0)))))
        "#,
        hostcalls: &[],
        spec: "portcullis#sharing",
        run: |case, engine| {
            assert_eq!(together(case, engine, Plugin::new("b")).seen(), ["666"], "the control");
            refused_or_apart(&without_callouts(), &Plugin::new("b"), &[], &[]);
            let seen: Vec<_> = apart(case, engine).iter().flat_map(Running::seen).collect();
            assert_eq!(seen, ["1"]);
        },
    },
    Case {
        name: "an_environment_that_another_plugin_alone_should_see",
        guest: r#"
            (func (export "proxy_on_tick") (param i32)
                (drop (call $environ_get (i32.const 1024) (i32.const 1100)))
                (call $dump (i32.const 1100) (i32.const 8)))
        "#,
        hostcalls: &[environ_get],
        spec: "portcullis#sharing",
        run: |case, engine| {
            let secret = [("SECRET".to_owned(), "x".to_owned())];
            refused_or_apart(&Plugin::new("a"), &Plugin::new("b"), &secret, &[]);
            let read = |environment: &[(String, String)]| {
                let environment = environment.to_vec();
                let mut guest = case.start_with(engine, Setup { environment, ..Setup::default() });
                guest.tick().unwrap();
                guest.seen().concat()
            };
            assert_eq!(read(&secret), "SECRET=x", "the control");
            assert!(!read(&[]).contains("SECRET"));
        },
    },
];

fn without_callouts() -> Plugin {
    Plugin::new("a").with_capabilities(Capabilities::ALL.without(proxy_http_call))
}

/// Starts both plugins in one VM, which the scheduler does only for equal plugins; each has ticked.
fn together(case: &Case, engine: &dyn AnyEngine, second: Plugin) -> Running {
    let mut guest = case.start_with(engine, Setup { plugin: Plugin::new("a"), ..Setup::default() });
    let second = guest.vm.add_plugin(second.into()).unwrap();
    guest.tick().unwrap();
    guest.vm.on_tick(second).unwrap();
    guest
}

/// Returns each plugin in its own VM; the second is the second root there, too.
fn apart(case: &Case, engine: &dyn AnyEngine) -> [Running; 2] {
    let mut first = case.start_with(engine, Setup { plugin: without_callouts(), ..Setup::default() });
    first.tick().unwrap();
    let mut second = case.start(engine);
    let root = second.vm.add_plugin(Plugin::new("b").into()).unwrap();
    second.vm.on_tick(root).unwrap();
    [first, second]
}

/// Checks that the scheduler does not let them share: they are refused by default, and kept apart if the operator wants it.
fn refused_or_apart(a: &Plugin, b: &Plugin, ours: &[(String, String)], theirs: &[(String, String)]) {
    let given = |environment: &[(String, String)]| VmSpec::default().with_environment(environment.to_vec());
    let (ours, theirs) = (&given(ours), &given(theirs));
    let placed = |sharing| schedule(&[asks(a, ours, sharing), asks(b, theirs, sharing)]);
    assert!(placed(Sharing::Reject).is_err());
    let placements = placed(Sharing::Isolate).unwrap();
    assert_ne!(placements[0].sandbox, placements[1].sandbox);
    let equal = schedule(&[asks(b, theirs, Sharing::Reject), asks(b, theirs, Sharing::Reject)]).unwrap();
    assert_eq!(equal[0], equal[1], "the control: equal ones share");
}
