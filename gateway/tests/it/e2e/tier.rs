//! `tier: fast-start`: a plugin serves on the interpreter until it is compiled.

use bytes::Bytes;

use crate::e2e::harness::wat::plugin_of;
use crate::e2e::harness::{Gate, Setup, channel, engine, get, guest, logs, post, run};

/// Marks responses; traps in a function with a name if a request has no body.
fn code() -> std::path::PathBuf {
    plugin_of(
        r#"(func $boom unreachable)
           (func (export "proxy_on_request_headers") (param i32 i32) (param $end i32) (result i32)
               (if (local.get $end) (then (call $boom))) (i32.const 0))
           (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
               (call $header (i32.const 2) $"x-marked" $"yes") (i32.const 0))"#,
    )
}

/// The file of a setup, with more keys in each `vm_config`.
fn with_vm_keys(setup: &Setup, keys: &str) -> String {
    setup.text().replace("vm_config: {", &format!("vm_config: {{{keys}, "))
}

fn start(setup: &Setup, keys: &str) -> Gate {
    Gate::start(&with_vm_keys(setup, keys))
}

fn interprets() -> bool {
    engine() == "wasmi"
}

/// wasmi does not say which functions were running, so a trap tells where it happened.
async fn runs_compiled(gate: &Gate, name: &str) {
    logs::wait(name, "compiled; new streams run on this engine").await;
    crate::e2e::harness::within(async {
        while logs::count(name, "unreachable in boom") == 0 {
            assert_eq!(gate.h1().await.ask(get("/")).await.status, 503);
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[test]
fn streams_before_and_after_the_move_are_served() {
    if interprets() {
        return;
    }
    run(async {
        // The VM is made anew after each trap, so that a trap before the move does no harm.
        let more =
            "failure_policy: FAIL_RELOAD, reload_config: {backoff: {base_interval: 0.001s, max_interval: 0.001s}}";
        let gate = start(&Setup::echo().workers(2).plugin("fast_start", &code(), more), "tier: fast-start");
        let mut client = gate.h2().await;
        // A request that is under way when the plugin moves.
        let (body, sent) = channel();
        let under_way = {
            let address = gate.address();
            tokio::spawn(async move {
                let request = http::Request::post("/").body(sent).unwrap();
                crate::e2e::harness::Client::h2(address).await.ask(request).await
            })
        };
        body.send(Bytes::from_static(b"first "));
        for _ in 0..50 {
            let answer = client.ask(post("/", "data")).await;
            assert_eq!((answer.status, answer.header("x-marked").as_str()), (200, "yes"));
        }
        logs::wait("fast_start", "compiled; new streams run on this engine").await;
        for _ in 0..50 {
            let answer = client.ask(post("/", "data")).await;
            assert_eq!((answer.status, answer.header("x-marked").as_str()), (200, "yes"));
        }
        body.send(Bytes::from_static(b"last"));
        drop(body);
        let answer = under_way.await.unwrap();
        assert_eq!((answer.status, answer.header("x-marked").as_str()), (200, "yes"));
        assert_eq!(answer.json()["body"], "first last");
        runs_compiled(&gate, "fast_start").await;
        assert_eq!(logs::count("fast_start", "serving on wasmi while it is compiled"), 1);
        let shown = gate.admin("/sandboxes").await.json();
        let engines = shown["sandboxes"][0]["engine"].as_str().unwrap().to_owned();
        assert_eq!(engines, format!("{}, and wasmi until it is compiled", engine()));
    });
}

#[test]
fn vms_for_streams_move_too() {
    if interprets() {
        return;
    }
    run(async {
        let setup = Setup::echo().plugin("fast_by_stream", &code(), "");
        let gate = start(&setup, "tier: fast-start, isolation: stream");
        let answer = gate.h1().await.ask(post("/", "data")).await;
        assert_eq!((answer.status, answer.header("x-marked").as_str()), (200, "yes"));
        runs_compiled(&gate, "fast_by_stream").await;
        let answer = gate.h1().await.ask(post("/", "data")).await;
        assert_eq!((answer.status, answer.header("x-marked").as_str()), (200, "yes"));
    });
}

/// Metrics and shared data belong to the host, so they go on; what a plugin has in its memory begins anew.
#[test]
fn what_the_host_keeps_survives_the_move() {
    if interprets() {
        return;
    }
    run(async {
        let gate =
            start(&Setup::echo().plugin("fast_counts", &guest("counter"), "configuration: '5'"), "tier: fast-start");
        let ask = async || assert_eq!(gate.h1().await.ask(post("/", "data")).await.status, 200);
        for _ in 0..3 {
            ask().await;
        }
        logs::wait("fast_counts", "compiled; new streams run on this engine").await;
        for _ in 0..3 {
            ask().await;
        }
        crate::e2e::harness::within(async {
            while gate.metric("counter_requests{plugin=\"fast_counts\"}").await != 6.0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    });
}

#[test]
fn an_interpreter_has_nothing_to_wait_for() {
    let setup = Setup::echo().plugin("slow", &code(), "");
    if engine() == portcullis::engine::all()[0].name || interprets() {
        let error =
            Gate::try_start(&with_vm_keys(&setup, "runtime: wasmi, tier: fast-start")).err().unwrap_or_default();
        assert!(error.contains("tier: fast-start: wasmi is an interpreter, so there is nothing to compile"), "{error}");
        assert!(error.starts_with("gateway.yaml:") && error.contains("remove tier"), "{error}");
    }
    let error = Gate::try_start(&with_vm_keys(&setup, "tier: fast")).err().unwrap_or_default();
    assert!(error.contains("tier") && error.contains("fast-start"), "{error}");
}
