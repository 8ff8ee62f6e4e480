//! `counter`: metrics and ticks, over all workers.

use tokio::task::JoinSet;

use crate::e2e::harness::{Client, Setup, Upstream, guest, post, reply, run};

#[test]
fn metrics_add_up_over_workers() {
    run(async {
        let upstream = Upstream::new(|_| async { reply(200, "") });
        let gate = Setup::to(&upstream).workers(2).plugin("counted", &guest("counter"), "configuration: '20'").start();
        let address = gate.address();
        let mut clients = JoinSet::new();
        for _ in 0..20 {
            clients.spawn(async move { Client::h1(address).await.ask(post("/", "12345")).await.status });
        }
        while let Some(status) = clients.join_next().await {
            assert_eq!(status.unwrap(), 200);
        }
        let plugin = "{plugin=\"counted\"}";
        let wanted = [
            ("counter_requests", 20.0),
            ("counter_active_gauge", 0.0),
            ("counter_request_bytes_histogram_count", 20.0),
            ("counter_request_bytes_histogram_sum", 100.0),
        ];
        for (name, value) in wanted {
            crate::e2e::harness::within(async {
                while gate.metric(&format!("{name}{plugin}")).await != value {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
        let metrics = gate.admin("/metrics").await;
        assert!(metrics.header("content-type").starts_with("text/plain"));
        for line in [
            "# TYPE counter_requests counter",
            "# TYPE counter_active_gauge gauge",
            "# TYPE counter_request_bytes_histogram histogram",
        ] {
            assert!(metrics.text().contains(line), "{line}\n{}", metrics.text());
        }
    });
}

#[test]
fn ticks_go_on_without_traffic() {
    run(async {
        let gate = Setup::echo().plugin("ticking", &guest("counter"), "configuration: '20'").start();
        let ticks = || gate.metric("counter_ticks{plugin=\"ticking\"}");
        let first = ticks().await;
        crate::e2e::harness::within(async { while ticks().await < first + 5.0 {} }).await;
    });
}

#[test]
fn a_configuration_it_cannot_read_is_refused() {
    run(async {
        let error = Setup::echo().plugin("miscounted", &guest("counter"), "configuration: often").refusal();
        assert!(error.starts_with("gateway.yaml:7:") && error.contains("plugins[0].configuration: "), "{error}");
        assert!(error.contains("plugin \"miscounted\" refused its configuration"), "{error}");
        crate::e2e::harness::logs::wait("miscounted", "not a number of milliseconds").await;
    });
}
