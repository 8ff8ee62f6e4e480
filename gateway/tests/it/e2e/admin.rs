//! The admin interface.

use crate::e2e::harness::{Client, Gate, Setup, get, guest, plugin, post, run, within};

#[test]
fn it_is_ready_and_knows_its_pages() {
    run(async {
        let gate = Setup::echo().start();
        let ready = gate.admin("/ready").await;
        assert_eq!((ready.status, ready.text()), (200, "ready\n"));
        assert_eq!(gate.admin("/nothing").await.status, 404);
        let mut client = Client::h1(gate.running.admin.unwrap()).await;
        assert_eq!(client.ask(post("/ready", "x")).await.status, 405);
    });
}

#[test]
fn the_configuration_is_shown_without_secrets() {
    run(async {
        let text = Setup::echo()
            .plugin("secretive", &guest("header_tour"), "configuration: {password: HUSH-1, mode: shown}")
            .text();
        let text = text.replace(
            "vm_config: {",
            "vm_config: {configuration: {api_key: HUSH-2}, environment_variables: {key_values: {TOKEN: HUSH-3}}, ",
        );
        let gate = Gate::start(&text);
        let config = gate.admin("/config").await;
        assert_eq!(config.header("content-type"), "application/json");
        assert!(!config.text().contains("HUSH"), "{}", config.text());
        assert!(config.text().contains("shown") && config.text().contains("backend"), "{}", config.text());
        let json = config.json();
        assert!(json.is_object(), "{json}");
    });
}

#[test]
fn requests_are_counted_by_class() {
    run(async {
        let gate = Setup::echo().listener("name: counted_listener").start();
        let mut client = gate.h1().await;
        for _ in 0..3 {
            client.ask(get("/")).await;
        }
        let line = "portcullis_requests_total{listener=\"counted_listener\",class=\"2xx\"}";
        within(async { while gate.metric(line).await < 3.0 {} }).await;
        assert!((gate.metric(line).await - 3.0).abs() < 0.5);
    });
}

#[test]
fn a_busy_worker_does_not_silence_it() {
    run(async {
        let wat = plugin(&[("request_headers", "(loop $l (br $l)) (i32.const 0)")]);
        let gate = Setup::echo().plugin("busy_admin", &wat, "").start();
        let mut client = gate.h1().await;
        let mut busy = std::pin::pin!(client.ask(get("/")));
        tokio::select! {
            answer = &mut busy => panic!("the worker was busy for a second, and answered first: {answer:?}"),
            ready = gate.admin("/ready") => assert_eq!(ready.status, 200),
        }
        assert_eq!(busy.await.status, 503);
    });
}
