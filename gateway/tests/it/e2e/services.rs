//! Plugins without traffic: ticks, queues and callouts.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::task::Poll;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::e2e::cli::{file, portcullis, text};
use crate::e2e::harness::wat::plugin_with;
use crate::e2e::harness::{Gate, Setup, get, logs, run, until, within};

/// A gateway with this service, in the form of the file.
fn gate(setup: &Setup, service: &str) -> Gate {
    Gate::start(&with(setup, service))
}

fn with(setup: &Setup, service: &str) -> String {
    format!("{}services:\n  - {service}\n", setup.text())
}

fn config(name: &str, code: &Path, more: &str) -> String {
    Setup::plugin_entry(name, code, more)
}

/// Logs that it is configured, and calls a cluster in its first tick.
fn caller() -> PathBuf {
    plugin_with(
        r#"(import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))"#,
        r#"(data (i32.const 64) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\05\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/tick\00:authority\00a\00")
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (call $say $"configured")
            (drop (call $tick (i32.const 1)))
            (i32.const 1))
        (func (export "proxy_on_tick") (param i32)
            (drop (call $tick (i32.const 0)))
            (if (call $call $"service" (i32.const 64) (i32.const 65) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 5000) (i32.const 16))
                (then (call $say $"no callout"))))
        (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
            (drop (call $get (i32.const 6) $":status" (i32.const 16) (i32.const 20)))
            (call $say (i32.load (i32.const 16)) (i32.load (i32.const 20))))"#,
    )
}

/// Serves one callout of a service.
async fn answer(upstream: &TcpListener) {
    let (mut stream, _) = within(upstream.accept()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(stream.read_u8()).await.unwrap());
    }
    assert!(head.starts_with(b"GET /tick HTTP/1.1\r\n"), "{}", text(&head));
    stream.write_all(b"HTTP/1.1 207 Fine\r\ncontent-length: 0\r\n\r\n").await.unwrap();
}

#[test]
fn a_service_calls_out_and_a_singleton_runs_on_one_worker() {
    run(async {
        for (name, singleton, workers) in [("service_each", false, 2), ("service_one", true, 1)] {
            let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = upstream.local_addr().unwrap();
            let setup = Setup::echo().workers(2).cluster("service", &format!("endpoints: [{address}]"));
            let service = format!("{{singleton: {singleton}, config: {}}}", config(name, &caller(), ""));
            let gate = gate(&setup, &service);
            // All workers have started by now.
            assert_eq!(logs::count(name, "configured"), workers, "{name}");
            for _ in 0..workers {
                answer(&upstream).await;
            }
            until(|| logs::count(name, "207") == workers).await;
            let nobody = poll_fn(|cx| Poll::Ready(upstream.poll_accept(cx).is_pending())).await;
            assert!(nobody && logs::count(name, "configured") == workers, "{name} ran once more");
            let shown = gate.admin("/config").await.text().to_owned();
            assert!(shown.contains(&format!("\"singleton\": {singleton}")), "{shown}");
        }
    });
}

#[test]
fn an_entry_of_envoys_bootstrap_works() {
    run(async {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = upstream.local_addr().unwrap();
        let setup = Setup::echo().workers(2).cluster("service", &format!("endpoints: [{address}]"));
        let text = format!(
            "{}bootstrap_extensions:\n- name: envoy.bootstrap.wasm\n  typed_config:\n    \"@type\": \
             type.googleapis.com/envoy.extensions.wasm.v3.WasmService\n    singleton: true\n    config: {}\n",
            setup.text(),
            config("service_pasted", &caller(), "")
        );
        let gate = Gate::start(&text);
        answer(&upstream).await;
        logs::wait("service_pasted", "207").await;
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 200);
    });
}

#[test]
fn a_service_fills_the_queue_of_a_plugin_in_a_chain() {
    run(async {
        let imports = r#"
            (import "env" "proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32)))
            (import "env" "proxy_resolve_shared_queue" (func $resolve (param i32 i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
            (import "env" "proxy_dequeue_shared_queue" (func $dequeue (param i32 i32 i32) (result i32)))"#;
        let reader = plugin_with(
            imports,
            r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
                (drop (call $register $"work" (i32.const 0)))
                (i32.const 1))
            (func (export "proxy_on_queue_ready") (param i32) (param $queue i32)
                (if (i32.eqz (call $dequeue (local.get $queue) (i32.const 16) (i32.const 20)))
                    (then (call $say (i32.load (i32.const 16)) (i32.load (i32.const 20))))))"#,
        );
        let filler = plugin_with(
            imports,
            r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
                (drop (call $tick (i32.const 1)))
                (i32.const 1))
            (func (export "proxy_on_tick") (param i32)
                (if (i32.eqz (call $resolve $"both" $"work" (i32.const 0)))
                    (then
                        (drop (call $tick (i32.const 0)))
                        (drop (call $enqueue (i32.load (i32.const 0)) $"from the service")))))"#,
        );
        let in_both = |name: &str, code: &Path| {
            format!("{{name: {name}, vm_config: {{vm_id: both, code: {{local: {{filename: {code:?}}}}}}}}}")
        };
        let listener = format!("plugins: [{}]", in_both("queue_reader", &reader));
        let setup = Setup::echo().workers(2).listener(&listener);
        let _gate = gate(&setup, &format!("{{singleton: true, config: {}}}", in_both("queue_filler", &filler)));
        logs::wait("queue_reader", "from the service").await;
        assert_eq!(logs::count("queue_reader", "from the service"), 1);
    });
}

/// Fails in its first tick.
fn failing() -> PathBuf {
    plugin_with(
        "",
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
            (call $say $"configured")
            (drop (call $tick (i32.const 1)))
            (i32.const 1))
        (func (export "proxy_on_tick") (param i32) (unreachable))"#,
    )
}

#[test]
fn a_service_that_fails_is_told_and_requests_are_served() {
    run(async {
        let gate = gate(&Setup::echo(), &config("service_failed", &failing(), ""));
        logs::wait("service_failed", "the service does nothing in this worker from now on").await;
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 200);
        assert_eq!(logs::count("service_failed", "configured"), 1);
    });
}

#[test]
fn a_service_is_started_again_without_a_request() {
    run(async {
        let policy = "failure_policy: FAIL_RELOAD, reload_config: {backoff: {base_interval: 10ms}}";
        let _gate = gate(&Setup::echo(), &config("service_again", &failing(), policy));
        logs::wait("service_again", "the service does nothing in this worker for").await;
        until(|| logs::count("service_again", "configured") >= 3).await;
    });
}

#[test]
fn commands_know_services() {
    let singleton = format!("{{singleton: true, config: {}}}", config("service_shown", &caller(), ""));
    let good = file("services.yaml", &with(&Setup::echo(), &singleton));
    assert_eq!(portcullis(&["check", good.to_str().unwrap()]).status.code(), Some(0));
    let shown = text(&portcullis(&["sandboxes", good.to_str().unwrap()]).stdout);
    assert!(shown.contains("plugins       service_shown (service, on one worker)\n"), "{shown}");

    let refusing =
        plugin_with("", r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 0))"#);
    let bad = file("services_bad.yaml", &with(&Setup::echo(), &config("service_bad", &refusing, "configuration: no")));
    let output = portcullis(&["check", bad.to_str().unwrap()]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("services[0].configuration: "), "{error}");

    let rights = "capability_restriction_config: {allowed_capabilities: {proxy_on_request_headers: {}}}";
    let narrow = file("services_narrow.yaml", &with(&Setup::echo(), &config("service_narrow", &caller(), rights)));
    let warned = text(&portcullis(&["check", narrow.to_str().unwrap()]).stderr);
    assert!(warned.contains("services[0]: allowed, but the module neither calls nor exports"), "{warned}");
}
