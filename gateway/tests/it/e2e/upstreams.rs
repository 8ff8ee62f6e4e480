//! Messages to the operator about upstreams that fail, and about those that are not there.

use crate::e2e::harness::{Setup, Upstream, get, guest, logs, plugin, run};
use crate::e2e::timeouts::closed_port;

#[test]
fn a_dead_upstream_is_told_once_in_a_while_and_counted_always() {
    run(async {
        let dead = closed_port();
        let setup = Setup::echo().cluster("dead_counted", &format!("endpoints: [{dead}]"));
        let gate = setup.route("match: {prefix: /}, cluster: dead_counted").start();
        let mut client = gate.h1().await;
        for _ in 0..5 {
            assert_eq!(client.ask(get("/")).await.status, 503);
        }
        let told = format!("upstream failed: cannot connect to upstream {dead}: Connection refused");
        logs::wait("", &told).await;
        assert_eq!(logs::count("", &told), 1);
        let metric = r#"portcullis_upstream_failures_total{cluster="dead_counted",reason="connect_failure"}"#;
        assert_eq!(gate.metric(metric).await, 5.0);
    });
}

#[test]
fn a_dead_service_of_a_plugin_is_told_too() {
    run(async {
        let dead = closed_port();
        let setup = Setup::echo().plugin("auth_dead", &guest("auth_callout"), "");
        let gate = setup.cluster("auth", &format!("endpoints: [{dead}]")).start();
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 503);
        logs::wait("", &format!("cannot connect to upstream {dead}: Connection refused")).await;
    });
}

#[test]
fn an_upstream_that_does_not_answer_is_told() {
    run(async {
        let upstream = Upstream::new(|_| std::future::pending());
        let gate = Setup::to(&upstream).backend("request_timeout: 61ms").start();
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 504);
        logs::wait("", "upstream failed: no whole response within 61ms").await;
    });
}

#[test]
fn a_cluster_that_is_not_there_is_told_once_with_those_that_are() {
    run(async {
        let nothing = "(i32.const 0) (i32.const 0)";
        let call = format!(
            r#"(drop (call $call $"nowhere" {nothing} {nothing} {nothing} (i32.const 100) (i32.const 16))) (i32.const 0)"#
        );
        let code = plugin(&[("request_headers", &call)]);
        let gate = Setup::echo().plugin("asks_nowhere", &code, "").cluster("other", "echo: {}").start();
        let mut client = gate.h1().await;
        for _ in 0..3 {
            assert_eq!(client.ask(get("/")).await.status, 200);
        }
        let told = "a callout goes to the cluster \"nowhere\", which is not there (there are backend, other)";
        // The line names the plugin that asks.
        logs::wait("asks_nowhere", told).await;
        assert_eq!(logs::count("asks_nowhere", told), 1);
    });
}
