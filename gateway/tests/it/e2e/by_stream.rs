//! `isolation: stream`: a VM for each stream.

use std::path::Path;
use std::time::Duration;

use crate::e2e::harness::wat::plugin_of;
use tokio::task::JoinSet;

use crate::e2e::harness::{Client, Gate, Setup, Upstream, empty, get, guest, logs, plugin, post, reply, run};

/// A chain of one plugin whose VMs last for a stream.
fn gate(name: &str, code: &Path, more: &str) -> Setup {
    Setup::echo().workers(2).plugin(name, code, &format!("vm_more: 1, {more}"))
}

/// The file of a setup, with more keys in the `vm_config` of each plugin.
fn with_vm_keys(setup: &Setup, keys: &str) -> String {
    setup.text().replace("vm_config: {", &format!("vm_config: {{{keys}, ")).replace("vm_more: 1, ", "")
}

fn start(setup: &Setup) -> Gate {
    Gate::start(&with_vm_keys(setup, "isolation: stream"))
}

/// Counts its requests in memory, and says the count.
const COUNT: &str = r#"
    (i32.store8 (i32.const 900) (i32.add (i32.load8_u (i32.const 900)) (i32.const 1)))
    (i32.store8 (i32.const 901) (i32.add (i32.const 48) (i32.load8_u (i32.const 900))))
    (call $header (i32.const 2) $"x-count" (i32.const 901) (i32.const 1))
    (i32.const 0)"#;

#[test]
fn each_stream_begins_anew_where_it_was_configured() {
    run(async {
        let code = plugin(&[
            ("configure", "(i32.store8 (i32.const 900) (i32.const 4)) (call $say $\"configured\") (i32.const 1)"),
            ("response_headers", COUNT),
        ]);
        let gate = start(&gate("counts_anew", &code, ""));
        for _ in 0..3 {
            for mut client in [gate.h1().await, gate.h2().await] {
                for _ in 0..3 {
                    assert_eq!(client.ask(post("/", "data")).await.header("x-count"), "5");
                }
            }
        }
        assert_eq!(logs::count("counts_anew", "configured"), 1, "once for all workers and streams");
        let shown = gate.admin("/sandboxes").await.json();
        assert_eq!(shown["sandboxes"][0]["isolation"], "stream");
    });
}

#[test]
fn a_trap_fails_its_own_request_alone() {
    run(async {
        let code = plugin(&[
            ("request_headers", "(if (local.get $end) (then unreachable)) (i32.const 0)"),
            ("response_headers", COUNT),
        ]);
        let gate = start(&gate("traps_alone", &code, ""));
        let mut client = gate.h2().await;
        for _ in 0..5 {
            assert_eq!(client.ask(get("/")).await.status, 503);
            let answer = client.ask(post("/", "data")).await;
            assert_eq!((answer.status, answer.header("x-count").as_str()), (200, "1"));
        }
        assert_eq!(logs::count("traps_alone", "unreachable"), 5);
    });
}

#[test]
fn a_callout_comes_back_to_its_stream() {
    run(async {
        let service = Upstream::new(|request| async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let good = request.headers().get("authorization").is_some_and(|value| value == "good");
            reply(if good { 200 } else { 401 }, "")
        });
        let setup = Setup::echo().workers(2).plugin("auth_by_stream", &guest("auth_callout"), "vm_more: 1, ");
        let gate = start(&setup.cluster("auth", &format!("endpoints: [{}]", service.address)));
        let address = gate.address();
        // At once, and each gets its own answer.
        let mut clients = JoinSet::new();
        for index in 0..20 {
            let (word, expected) = if index % 3 == 0 { ("good", 200) } else { ("bad", 403) };
            let request = http::Request::get("/").header("authorization", word).body(empty()).unwrap();
            clients.spawn(async move { (Client::h2(address).await.ask(request).await.status, expected) });
        }
        while let Some(asked) = clients.join_next().await {
            let (status, expected) = asked.unwrap();
            assert_eq!(status, expected);
        }
    });
}

#[test]
fn what_needs_a_vm_that_lasts_is_refused_where_it_stands() {
    let ticks = plugin(&[("configure", "(drop (call $tick (i32.const 100))) (i32.const 1)")]);
    let table = plugin_of(
        r#"(table $t 1 funcref) (elem declare func $change)
           (func $change (table.set $t (i32.const 0) (ref.func $change)))"#,
    );
    let refuses = plugin(&[("configure", "(call $say $\"no such key\") (i32.const 0)")]);
    for (code, problem, remedy) in [
        (&ticks, "it asks for ticks (proxy_set_tick_period_milliseconds)", "give the plugin isolation: worker"),
        (&table, "the module has table.set", "give the plugin isolation: worker"),
        (&refuses, "refused its configuration", "correct it, as the plugin's log lines above say"),
    ] {
        let setup = gate("refused", code, "");
        let error = Gate::try_start(&with_vm_keys(&setup, "isolation: stream")).err().unwrap_or_default();
        assert!(error.starts_with("gateway.yaml:") && error.contains("listeners[0].plugins[0]"), "{error}");
        assert!(error.contains("isolation: stream: ") && error.contains(problem) && error.contains(remedy), "{error}");
    }
    let setup = gate("refused", &ticks, "");
    let error = Gate::try_start(&with_vm_keys(&setup, "isolation: request")).err().unwrap_or_default();
    assert!(error.contains("isolation") && error.contains("worker") && error.contains("stream"), "{error}");
}

#[test]
fn plugins_that_share_no_vm_may_differ_in_rights() {
    run(async {
        let code = plugin(&[("response_headers", COUNT)]);
        let less = "capability_restriction_config: {allowed_capabilities: {proxy_on_response_headers: }}";
        let setup = gate("all_rights", &code, "").plugin("few_rights", &code, less);
        let error = Gate::try_start(&with_vm_keys(&setup, "isolation: worker")).err().unwrap_or_default();
        assert!(error.contains("would share a VM"), "{error}");
        let gate = start(&setup);
        let answer = gate.h1().await.ask(get("/")).await;
        assert_eq!((answer.status, answer.header("x-count").as_str()), (200, "1"), "the other may not add it");
        assert_eq!(gate.admin("/sandboxes").await.json()["sandboxes"].as_array().map(Vec::len), Some(2));
    });
}

#[test]
fn metrics_of_all_streams_are_one() {
    run(async {
        let setup = gate("counts_by_stream", &guest("counter"), "configuration: '0'");
        let gate = start(&setup);
        for _ in 0..4 {
            assert_eq!(gate.h1().await.ask(post("/", "data")).await.status, 200);
        }
        crate::e2e::harness::within(async {
            while gate.metric("counter_requests{plugin=\"counts_by_stream\"}").await != 4.0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    });
}

/// Draws at random when it is configured, as C++ seeds a generator, and for each stream; answers with both.
fn seeded() -> std::path::PathBuf {
    crate::e2e::harness::wat::plugin_with(
        r#"(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))"#,
        r#"(func $draw (param $at i32)
               (local $end i32)
               (drop (call $random (local.get $at) (i32.const 8)))
               (local.set $end (i32.add (local.get $at) (i32.const 8)))
               (loop $letter
                   (i32.store8 (local.get $at)
                       (i32.add (i32.const 97) (i32.and (i32.load8_u (local.get $at)) (i32.const 15))))
                   (local.set $at (i32.add (local.get $at) (i32.const 1)))
                   (br_if $letter (i32.lt_u (local.get $at) (local.get $end)))))
           (func (export "proxy_on_configure") (param i32 i32) (result i32) (call $draw (i32.const 900)) (i32.const 1))
           (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
               (call $draw (i32.const 920))
               (call $header (i32.const 2) $"x-seeded" (i32.const 900) (i32.const 8))
               (call $header (i32.const 2) $"x-drawn" (i32.const 920) (i32.const 8))
               (i32.const 0))"#,
    )
}

#[test]
fn randomness_of_a_snapshot_repeats_and_the_operator_is_told() {
    run(async {
        let gate = start(&gate("seeded_once", &seeded(), ""));
        let mut seen = Vec::new();
        for _ in 0..4 {
            let answer = gate.h1().await.ask(get("/")).await;
            seen.push((answer.header("x-seeded").clone(), answer.header("x-drawn").clone()));
        }
        assert!(seen.iter().all(|(seeded, _)| *seeded == seen[0].0), "{seen:?}");
        let mut drawn: Vec<_> = seen.iter().map(|(_, drawn)| drawn.clone()).collect();
        drawn.sort();
        drawn.dedup();
        assert_eq!(drawn.len(), 4, "{seen:?}");
        let told =
            "before its snapshot was taken, the plugin drew 8 random bytes; every stream begins with these bytes";
        assert_eq!(logs::count("seeded_once", told), 1);
    });
}

#[test]
fn randomness_of_a_snapshot_is_refused_where_the_operator_wants_none() {
    let refuse = "isolation: stream, snapshot_randomness: refuse";
    let error = Gate::try_start(&with_vm_keys(&gate("refuses_seeds", &seeded(), ""), refuse)).err().unwrap_or_default();
    assert!(
        error.starts_with("gateway.yaml:")
            && error.contains("the plugin drew 8 random bytes")
            && error.contains("is refuse"),
        "{error}"
    );
    run(async {
        // One that draws nothing before a stream may have it.
        let code = plugin(&[("response_headers", COUNT)]);
        let gate = Gate::start(&with_vm_keys(&gate("draws_nothing", &code, ""), refuse));
        assert_eq!(gate.h1().await.ask(get("/")).await.header("x-count"), "1");
        assert_eq!(logs::count("draws_nothing", "before its snapshot was taken"), 0);
    });
}

#[test]
fn check_says_what_repeats() {
    let setup = gate("checked_seeds", &seeded(), "");
    let path = crate::e2e::cli::file("seeds.yaml", &with_vm_keys(&setup, "isolation: stream"));
    let output = crate::e2e::cli::portcullis(&["check", path.to_str().unwrap()]);
    let said = crate::e2e::cli::text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("checked_seeds") && said.contains("drew 8 random bytes"), "{said}");
    assert!(said.contains("numbers, ids, keys and nonces") && said.contains("isolation: worker"), "{said}");
    let path = crate::e2e::cli::file("seeds-worker.yaml", &with_vm_keys(&setup, "snapshot_randomness: refuse"));
    let output = crate::e2e::cli::portcullis(&["check", path.to_str().unwrap()]);
    let said = crate::e2e::cli::text(&output.stderr);
    assert!(said.contains("changes nothing without isolation: stream") && !said.contains("drew"), "{said}");
}
