//! Effects of a failed plugin on traffic, by its failure policy.

use std::time::{Duration, Instant};

use crate::e2e::harness::{Setup, Upstream, get, guest, logs, plugin, post, run, until, within};

/// Traps on requests with `x-trap`: such a request has one header more than its pseudo-headers and what the gateway adds.
fn fragile(phase: &str, headers: u8) -> std::path::PathBuf {
    plugin(&[
        (phase, &format!("(if (i32.gt_u (local.get $n) (i32.const {headers})) (then (unreachable))) (i32.const 0)")),
        ("response_headers", r#"(call $header (i32.const 2) $"x-alive" $"1") (i32.const 0)"#),
    ])
}

fn trapping() -> http::Request<crate::e2e::harness::Sent> {
    let mut request = get("/");
    request.headers_mut().insert("x-trap", "1".parse().unwrap());
    request
}

#[test]
fn fail_open_passes_the_plugin_by() {
    run(async {
        let upstream = Upstream::echo();
        let setup = Setup::to(&upstream).plugin("open", &fragile("request_headers", 7), "failure_policy: FAIL_OPEN");
        let gate = setup.plugin("open_next", &guest("header_tour"), "").start();
        let mut client = gate.h1().await;
        assert_eq!(client.ask(get("/")).await.header("x-alive"), "1");
        for request in [trapping(), get("/")] {
            let answer = client.ask(request).await;
            assert_eq!((answer.status, answer.header("x-alive").as_str()), (200, ""));
            assert_eq!(answer.header("x-plugin"), "header_tour", "the rest of the chain runs");
        }
        logs::wait("open", "unreachable").await;
    });
}

#[test]
fn fail_open_loses_nothing_of_a_body() {
    run(async {
        let upstream = Upstream::echo();
        let wat = plugin(&[("request_body", "(if (local.get $end) (then (unreachable))) (i32.const 1)")]);
        let gate = Setup::to(&upstream).plugin("open_body", &wat, "failure_policy: FAIL_OPEN").start();
        for mut client in [gate.h1().await, gate.h2().await] {
            assert_eq!(client.ask(post("/", "all of it")).await.json()["body"], "all of it");
        }
    });
}

#[test]
fn fail_closed_is_the_default() {
    run(async {
        let gate = Setup::echo().plugin("closed", &fragile("request_headers", 7), "").start();
        let mut client = gate.h1().await;
        assert_eq!(client.ask(get("/")).await.status, 200);
        assert_eq!(client.ask(trapping()).await.status, 503);
        assert_eq!(client.ask(get("/")).await.status, 503);
    });
}

#[test]
fn a_reload_of_the_gateway_changes_how_long_a_plugin_rests() {
    run(async {
        let wat = fragile("request_headers", 7);
        let resting = |time: &str| {
            let reload = format!("reload_config: {{backoff: {{base_interval: {time}, max_interval: {time}}}}}");
            Setup::echo().plugin("rests", &wat, &format!("failure_policy: FAIL_RELOAD, {reload}"))
        };
        let gate = resting("1h").start();
        let mut client = gate.h1().await;
        assert_eq!(client.ask(trapping()).await.status, 503);
        assert_eq!(client.ask(get("/")).await.status, 503);
        let reloaded = gate.reload(&resting("10ms")).await.unwrap();
        assert_eq!((reloaded.started, reloaded.stayed), (0, 1), "its description is the same");
        within(async { while client.ask(get("/")).await.header("x-alive") != "1" {} }).await;
        assert_eq!(client.ask(trapping()).await.status, 503);
        within(async { while client.ask(get("/")).await.header("x-alive") != "1" {} }).await;
    });
}

/// How long a plugin rests before it is started again; by default a second.
const REST: Duration = Duration::from_millis(200);
const RELOAD: &str = "failure_policy: FAIL_RELOAD, reload_config: {backoff: {base_interval: 200ms}}";

#[test]
fn fail_reload_serves_again() {
    run(async {
        let gate = Setup::echo().plugin("reload", &fragile("request_headers", 7), RELOAD).start();
        let mut client = gate.h1().await;
        for round in 1..=2 {
            let failed = Instant::now();
            assert_eq!(client.ask(trapping()).await.status, 503);
            assert_eq!(client.ask(get("/")).await.status, 503, "not at once");
            loop {
                let answer = client.ask(get("/")).await;
                if answer.status == 200 {
                    assert_eq!(answer.header("x-alive"), "1", "the plugin is back, not passed by");
                    break;
                }
                assert!(failed.elapsed() < Duration::from_secs(8), "round {round}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(failed.elapsed() >= REST, "round {round}: {:?}", failed.elapsed());
        }
    });
}

#[test]
fn fail_reload_brings_ticks_back() {
    run(async {
        let wat = plugin(&[
            ("configure", "(drop (call $tick (i32.const 20))) (i32.const 1)"),
            ("tick", r#"(call $say $"tick")"#),
            ("request_headers", "(if (i32.gt_u (local.get $n) (i32.const 7)) (then (unreachable))) (i32.const 0)"),
        ]);
        let gate = Setup::echo().plugin("reload_tick", &wat, RELOAD).start();
        logs::wait("reload_tick", "tick").await;
        let mut client = gate.h1().await;
        assert_eq!(client.ask(trapping()).await.status, 503);
        let started = Instant::now();
        while client.ask(get("/")).await.status != 200 {
            assert!(started.elapsed() < Duration::from_secs(8));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let before = logs::count("reload_tick", "tick");
        until(|| logs::count("reload_tick", "tick") > before + 3).await;
    });
}

#[test]
fn plugins_in_one_vm_fail_together() {
    run(async {
        let wat = fragile("request_headers", 7);
        let own = Setup::plugin_entry("shared_b", &wat, "");
        let setup = Setup::echo().plugin("shared_a", &wat, "");
        let gate = setup.route(&format!("match: {{prefix: /b}}, cluster: backend, plugins: [{own}]")).start();
        let mut client = gate.h1().await;
        assert_eq!(client.ask(get("/b")).await.header("x-alive"), "1");
        assert_eq!(client.ask(trapping()).await.status, 503);
        assert_eq!(client.ask(get("/b")).await.status, 503, "the same module without a vm_id is one VM");
    });
}
