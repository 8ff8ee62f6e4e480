//! Plugins that have failed, as an operator sees them.

use crate::e2e::harness::{Client, Gate, Setup, get, logs, plugin, run, until};

/// Traps on requests with `x-trap`, which has one header more than its pseudo-headers and what the gateway adds.
fn fragile() -> std::path::PathBuf {
    let code = "(if (i32.gt_u (local.get $n) (i32.const 7)) (then (unreachable))) (i32.const 0)";
    plugin(&[("request_headers", code)])
}

fn gate(name: &str, workers: usize, policy: &str) -> Gate {
    Setup::echo().workers(workers).plugin(name, &fragile(), policy).start()
}

/// Fails the plugin of the worker that takes the connection.
async fn trap(gate: &Gate) {
    let mut request = get("/");
    request.headers_mut().insert("x-trap", "1".parse().unwrap());
    Client::h1(gate.address()).await.ask(request).await;
}

async fn ready(gate: &Gate) -> (u16, String) {
    let answer = gate.admin("/ready").await;
    (answer.status, answer.text().to_owned())
}

#[test]
fn a_closed_plugin_that_serves_on_no_worker_is_not_ready() {
    run(async {
        let gate = gate("health_closed", 2, "");
        assert_eq!(ready(&gate).await, (200, "ready\n".to_owned()));
        let vms = |state: &str| format!("portcullis_vms{{plugin=\"health_closed\",state=\"{state}\"}}");
        let (running, failed) = (vms("running"), vms("failed"));
        assert!((gate.metric(&running).await - 2.0).abs() < 0.5);
        trap(&gate).await;
        let line = |bad| format!("health_closed: failed on {bad} of 2 workers, FAIL_CLOSED: trap: unreachable");
        let (status, text) = ready(&gate).await;
        assert!(status == 200 && text.starts_with(&format!("ready\n{}", line(1))), "{text}");
        assert!((gate.metric(&running).await - 1.0).abs() < 0.5 && (gate.metric(&failed).await - 1.0).abs() < 0.5);
        // The kernel deals out connections.
        while ready(&gate).await.0 == 200 {
            trap(&gate).await;
        }
        let (status, text) = ready(&gate).await;
        assert!(status == 503 && text.starts_with(&format!("not ready\n{}", line(2))), "{text}");
        let failures = "portcullis_plugin_failures_total{plugin=\"health_closed\",reason=\"trap\"}";
        assert!((gate.metric(failures).await - 2.0).abs() < 0.5);
        assert_eq!(logs::count("health_closed", "get 503 and connections are closed from now on"), 2);
        assert_eq!(logs::count("health_closed", "FAIL_RELOAD would start it again"), 2);
    });
}

#[test]
fn an_open_plugin_that_has_failed_is_named_and_ready() {
    run(async {
        let gate = gate("health_open", 1, "failure_policy: FAIL_OPEN");
        trap(&gate).await;
        let (status, text) = ready(&gate).await;
        assert!(status == 200 && text.contains("health_open: failed on 1 of 1 workers, FAIL_OPEN: trap"), "{text}");
        assert_eq!(logs::count("health_open", "what comes to this worker passes it by from now on"), 1);
    });
}

/// Were it not ready until it is started, nothing would come that starts it.
#[test]
fn a_plugin_that_is_started_again_is_ready_when_it_has_rested() {
    run(async {
        let reload = "failure_policy: FAIL_RELOAD, reload_config: {backoff: {base_interval: 400ms}}";
        let gate = gate("health_reload", 1, reload);
        trap(&gate).await;
        let (status, text) = ready(&gate).await;
        assert!(status == 503 && text.contains("health_reload: failed on 1 of 1 workers, FAIL_RELOAD"), "{text}");
        assert!((gate.metric("portcullis_vms{plugin=\"health_reload\",state=\"resting\"}").await - 1.0).abs() < 0.5);
        while ready(&gate).await.0 == 503 {}
        assert_eq!(Client::h1(gate.address()).await.ask(get("/")).await.status, 200);
        assert_eq!(ready(&gate).await, (200, "ready\n".to_owned()));
        until(|| logs::count("health_reload", "it has been started again") == 1).await;
    });
}

/// Each stream's VM fails for itself: the plugin serves the next one.
#[test]
fn a_vm_of_one_stream_that_fails_is_counted_and_no_more() {
    run(async {
        let text = Setup::echo().plugin("health_stream", &fragile(), "").text();
        let gate = Gate::start(&text.replace("vm_config: {", "vm_config: {isolation: stream, "));
        trap(&gate).await;
        assert_eq!(ready(&gate).await, (200, "ready\n".to_owned()));
        let failures = "portcullis_plugin_failures_total{plugin=\"health_stream\",reason=\"trap\"}";
        assert!((gate.metric(failures).await - 1.0).abs() < 0.5);
        assert_eq!(Client::h1(gate.address()).await.ask(get("/")).await.status, 200);
    });
}
