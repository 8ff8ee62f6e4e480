//! Plugins without end: each fails alone, by the clock, its memory or its stack.

use std::path::Path;

use crate::e2e::harness::wat::plugin_of;
use crate::e2e::harness::{Gate, Setup, Upstream, get, guest, logs, plugin, post, run};

const FOR_EVER: &str = "(loop (br 0)) unreachable";

/// `/other` runs through another plugin than the rest.
fn gate(upstream: &Upstream, name: &str, code: &Path, limits: &str) -> Gate {
    let other = Setup::plugin_entry("bystander", &guest("header_tour"), "");
    let setup = Setup::to(upstream).workers(2).plugin(name, code, "");
    let setup = setup.route(&format!("match: {{prefix: /other}}, cluster: backend, plugins: [{other}]"));
    Gate::start(&setup.text().replace(
        &format!("{{name: {name}, vm_config: {{"),
        &format!("{{name: {name}, vm_config: {{limits: {{{limits}}}, "),
    ))
}

/// Requests to another plugin go on while this one does.
async fn others_are_served_meanwhile(gate: &Gate, request: http::Request<crate::e2e::harness::Sent>) -> u16 {
    let address = gate.address();
    let stuck = tokio::spawn(async move {
        crate::e2e::harness::Client::h1(address).await.try_ask(request).await.map_or(0, |answer| answer.status)
    });
    for _ in 0..5 {
        let answer = gate.h1().await.ask(post("/other", "data")).await;
        assert_eq!((answer.status, answer.header("x-plugin").as_str()), (200, "header_tour"));
    }
    stuck.await.unwrap()
}

#[test]
fn a_loop_in_any_callback_is_stopped() {
    run(async {
        let upstream = Upstream::echo();
        for (callback, status) in [
            ("request_headers", 503),
            ("request_body", 503),
            ("response_headers", 503),
            // The head has left.
            ("response_body", 0),
            // The stream is over.
            ("log", 200),
            ("done", 200),
            ("delete", 200),
        ] {
            let name = format!("endless_{callback}");
            let code = plugin(&[(
                callback,
                if callback == "log" || callback == "delete" { "(loop (br 0))" } else { FOR_EVER },
            )]);
            let gate = gate(&upstream, &name, &code, "deadline: 50ms");
            assert_eq!(others_are_served_meanwhile(&gate, post("/", "data")).await, status, "{callback}");
            logs::wait(&name, "deadline: 50ms (limits.deadline) passed").await;
        }
    });
}

#[test]
fn a_loop_at_start_is_stopped() {
    run(async {
        for callback in ["vm_start", "configure"] {
            let name = format!("endless_{callback}");
            let text = Setup::echo().plugin(&name, &plugin(&[(callback, FOR_EVER)]), "").text();
            let error = Gate::try_start(&text.replace("vm_config: {", "vm_config: {limits: {start_deadline: 50ms}, "))
                .err()
                .unwrap();
            let reason = format!("proxy_on_{callback} failed: deadline: 50ms (limits.start_deadline) passed");
            assert!(error.contains(&reason), "{error}");
        }
    });
}

#[test]
fn a_plugin_that_takes_all_memory_gets_its_limit_and_no_more() {
    run(async {
        let upstream = Upstream::echo();
        let grow = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable";
        let gate = gate(&upstream, "greedy", &plugin(&[("request_headers", grow)]), "memory: 1MiB");
        assert_eq!(others_are_served_meanwhile(&gate, get("/")).await, 503);
        logs::wait("greedy", "memory: the plugin asked for more than 1048576 bytes (limits.memory)").await;
    });
}

#[test]
fn a_plugin_that_begins_with_too_much_memory_is_refused() {
    let text = Setup::echo().plugin("large", &plugin(&[]), "").text();
    let error = Gate::try_start(&text.replace("vm_config: {", "vm_config: {limits: {memory: 64KiB}, ")).err().unwrap();
    assert!(
        error.contains("memory: the plugin begins with 262144 bytes, which is more than its limit of 65536"),
        "{error}"
    );
}

#[test]
fn a_plugin_that_calls_itself_without_end_is_stopped() {
    run(async {
        let upstream = Upstream::echo();
        let recurse = "(call $proxy_on_request_headers (local.get 0) (local.get 1) (local.get 2))";
        let code = plugin_of(&format!(
            "(func $proxy_on_request_headers (export \"proxy_on_request_headers\") (param i32 i32 i32) (result i32) {recurse})"
        ));
        let gate = gate(&upstream, "deep", &code, "stack: 128KiB");
        assert_eq!(others_are_served_meanwhile(&gate, get("/")).await, 503);
        logs::wait("deep", "stack: more than 131072 bytes (limits.stack) were used").await;
    });
}
