//! Plugins' metrics.

use std::path::PathBuf;

use crate::e2e::harness::wat::module;
use crate::e2e::harness::{Gate, Setup, get, guest, run, within};

/// A plugin that defines metrics, of these types and names, and adds 1 to each or notes a 1. It refuses to start unless each
/// call is Ok.
fn defining(metrics: &[(u32, &str)]) -> PathBuf {
    let define = |(metric_type, name): &(u32, &str)| {
        format!(
            r#"(if (call $define (i32.const {metric_type}) $"{name}" (i32.const 512)) (then (return (i32.const 0))))
               (if (call $record (i32.load (i32.const 512)) (i64.const 1)) (then (return (i32.const 0))))"#
        )
    };
    module(&format!(
        r#"(import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_record_metric" (func $record (param i32 i64) (result i32)))
        (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 0))
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
          {} (i32.const 1))"#,
        metrics.iter().map(define).collect::<String>()
    ))
}

const COUNTER: u32 = 0;
const GAUGE: u32 = 1;
const HISTOGRAM: u32 = 2;

/// The series that a plugin has defined, but for buckets.
async fn series(gate: &Gate, plugin: &str) -> Vec<String> {
    let text = gate.admin("/metrics").await;
    let is_own = |line: &&str| {
        !line.starts_with("portcullis_")
            && !line.contains("_bucket{")
            && line.contains(&format!("{{plugin=\"{plugin}\""))
    };
    text.text().lines().filter(is_own).map(str::to_owned).collect()
}

/// A plugin in Rust panics if one of its metrics is refused.
#[test]
fn another_plugins_names_are_nobodys_matter() {
    run(async {
        let names = ["counter_requests", "counter_active", "counter_request_bytes", "counter_ticks"];
        let all: Vec<_> = names.iter().flat_map(|name| [COUNTER, GAUGE, HISTOGRAM].map(|of| (of, *name))).collect();
        let gate = Setup::echo()
            .plugin("clash_first", &defining(&all), "")
            .plugin("clash_counted", &guest("counter"), "configuration: '20'")
            .start();
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 200);
        within(async { while gate.metric("counter_requests{plugin=\"clash_counted\"}").await < 1.0 {} }).await;
        for line in ["counter_requests", "counter_requests_gauge", "counter_requests_histogram_count"] {
            assert_eq!(gate.metric(&format!("{line}{{plugin=\"clash_first\"}}")).await, 1.0, "{line}");
        }
    });
}

#[test]
fn names_of_one_plugin_are_told_apart() {
    run(async {
        let metrics = [
            (COUNTER, "told_a.b"),
            (COUNTER, "told_a_b"),
            (COUNTER, "told_a-b"),
            (HISTOGRAM, "told"),
            (COUNTER, "told_sum"),
            (COUNTER, "told_histogram_sum"),
            (COUNTER, "portcullis_requests_total"),
            (GAUGE, "portcullis.requests.total"),
        ];
        let gate = Setup::echo().plugin("told_apart", &defining(&metrics), "").start();
        assert_eq!(
            series(&gate, "told_apart").await,
            [
                "plugin_portcullis_requests_total{plugin=\"told_apart\",name=\"portcullis_requests_total\"} 1",
                "plugin_portcullis_requests_total_gauge{plugin=\"told_apart\",name=\"portcullis.requests.total\"} 1",
                "told_a_b{plugin=\"told_apart\"} 1",
                "told_a_b{plugin=\"told_apart\",name=\"told_a-b\"} 1",
                "told_a_b{plugin=\"told_apart\",name=\"told_a.b\"} 1",
                "told_histogram_sum{plugin=\"told_apart\"} 1",
                "told_histogram_count{plugin=\"told_apart\"} 1",
                "told_histogram_sum_counter{plugin=\"told_apart\",name=\"told_histogram_sum\"} 1",
                "told_sum{plugin=\"told_apart\"} 1",
            ]
        );
    });
}

#[test]
fn tags_in_names_become_labels() {
    run(async {
        let metrics = [(COUNTER, "tagged_calls_tenant_acme_zone_b"), (COUNTER, "tagged_calls_tenant_acme_zone_c")];
        let setup = Setup::echo().plugin("tagged", &defining(&metrics), "");
        let rules = "stats_config: {stats_tags: [{tag_name: tenant, regex: '(_tenant_([a-z]+))'}, {tag_name: zone, regex: '(_zone_([a-z]+))'}]}";
        let gate = Gate::start(&format!("{rules}\n{}", setup.text()));
        assert_eq!(
            series(&gate, "tagged").await,
            [
                "tagged_calls{plugin=\"tagged\",tenant=\"acme\",zone=\"b\"} 1",
                "tagged_calls{plugin=\"tagged\",tenant=\"acme\",zone=\"c\"} 1",
            ]
        );
    });
}
