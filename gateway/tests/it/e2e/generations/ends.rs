//! Plugins that go.

use super::{saying_and, says};
use crate::e2e::harness::{Setup, get, logs, plugin, run, until, within};
use crate::e2e::lifecycle::waiting;

/// Callbacks of a plugin whose root says that it is asked to end; `ended`: it has ended then.
pub(super) fn ending(ended: bool) -> String {
    format!(
        r#"(func (export "proxy_on_done") (param $id i32) (result i32)
            (if (i32.eq (local.get $id) (i32.const 1)) (then (call $say $"asked to end") (return (i32.const {}))))
            (i32.const 1))
        (func (export "proxy_on_delete") (param $id i32)
            (if (i32.eq (local.get $id) (i32.const 1)) (then (call $say $"deleted"))))"#,
        i32::from(ended)
    )
}

#[test]
fn a_plugin_that_goes_is_asked_to_end_behind_its_last_stream() {
    run(async {
        let (upstream, go) = waiting("/slow");
        let with = |name: &str| Setup::to(&upstream).plugin(name, &saying_and(&ending(true)), "");
        let gate = with("ends-first").start();
        let mut client = gate.h1().await;
        let meanwhile = async {
            until(|| upstream.requests() == 1).await;
            gate.reload(&with("ends-second")).await.unwrap();
            assert_eq!(logs::count("ends-first", "deleted"), 0, "it has a stream");
            go.notify_one();
        };
        let (answer, ()) = tokio::join!(client.ask(get("/slow")), meanwhile);
        assert_eq!(answer.status, 200);
        logs::wait("ends-first", "deleted").await;
        assert_eq!(logs::count("ends-first", "asked to end"), 1);
        let vms = |name: &str| format!("portcullis_vms{{plugin=\"{name}\",state=\"running\"}}");
        within(async { while gate.metric(&vms("ends-first")).await != 0.0 {} }).await;
        assert_eq!(gate.metric(&vms("ends-second")).await, 1.0);
    });
}

#[test]
fn a_plugin_that_never_ends_is_stopped() {
    run(async {
        let text = |name: &str| {
            let setup = Setup::echo().plugin(name, &saying_and(&ending(false)), "");
            setup.text().replace("shutdown_timeout: 5s", "shutdown_timeout: 100ms")
        };
        let gate = crate::e2e::harness::Gate::start(&text("stays"));
        gate.reload_text(&text("follows")).await.unwrap();
        logs::wait("stays", "asked to end").await;
        logs::wait("stays", "deleted").await;
        until(|| logs::of("").iter().any(|line| line.contains("plugins that a reload has taken away did not end")))
            .await;
    });
}

#[test]
fn one_that_joins_the_vm_of_others_and_traps_takes_none_along() {
    run(async {
        // It traps if it has a configuration, and counts in one VM for all.
        let code = crate::e2e::harness::wat::plugin_of(
            r#"(data (i32.const 60) "0")
            (func (export "proxy_on_configure") (param i32) (param $n i32) (result i32)
                (if (local.get $n) (then (unreachable)))
                (i32.const 1))
            (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
                (i32.store8 (i32.const 60) (i32.add (i32.load8_u (i32.const 60)) (i32.const 1)))
                (call $header (i32.const 2) $"x-count" (i32.const 60) (i32.const 1))
                (i32.const 0))"#,
        );
        let setup = Setup::echo().plugin("joined", &code, "");
        let gate = setup.start();
        let mut client = gate.h1().await;
        assert_eq!(client.ask(get("/")).await.header("x-count"), "1");
        let error = gate.reload(&setup.clone().plugin("joining", &code, "configuration: trap")).await.unwrap_err();
        assert!(error.contains("plugins[1]") && error.contains("unreachable"), "{error}");
        assert_eq!(client.ask(get("/")).await.header("x-count"), "2", "the same VM, which has not failed");
        let joined = gate.reload(&setup.plugin("joining", &code, "")).await.unwrap();
        assert_eq!((joined.generation, joined.started, joined.stayed), (2, 1, 1));
        assert_eq!(client.ask(get("/")).await.header("x-count"), "3,4", "both in the VM that was there");
    });
}

#[test]
fn a_plugin_that_has_failed_does_not_keep_others_from_changing() {
    run(async {
        let trapping = plugin(&[("request_headers", "(unreachable)")]);
        let with = |what| {
            let setup = Setup::echo().plugin("broken", &trapping, "failure_policy: FAIL_OPEN");
            says(setup, "beside-broken", what)
        };
        let gate = Setup::start(&with("one"));
        let mut client = gate.h1().await;
        client.ask(get("/")).await;
        logs::wait("broken", "unreachable").await;
        let reloaded = gate.reload(&with("two")).await.unwrap();
        assert_eq!((reloaded.started, reloaded.stayed, reloaded.ended), (1, 1, 1));
        assert_eq!(client.ask(get("/")).await.header("x-says"), "two");
    });
}

#[test]
fn plugins_of_services_come_and_go() {
    run(async {
        let service = |name: &str| {
            let code = plugin(&[
                ("configure", r#"(drop (call $tick (i32.const 5))) (i32.const 1)"#),
                ("tick", r#"(call $say $"tick")"#),
            ]);
            let entry = Setup::plugin_entry(name, &code, "");
            format!("{}services:\n  - {entry}\n", says(Setup::echo(), "served", "one").text())
        };
        let gate = crate::e2e::harness::Gate::start(&service("service-old"));
        logs::wait("service-old", "tick").await;
        let reloaded = gate.reload_text(&service("service-new")).await.unwrap();
        assert_eq!((reloaded.started, reloaded.stayed, reloaded.ended), (1, 1, 1));
        logs::wait("service-new", "tick").await;
        // What was due when it was unloaded may come still.
        let ticks = logs::count("service-old", "tick");
        let seen = logs::count("service-new", "tick");
        until(|| logs::count("service-new", "tick") > seen + 3).await;
        assert!(logs::count("service-old", "tick") <= ticks + 1);
    });
}
