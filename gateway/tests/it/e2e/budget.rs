//! A plugin's part of a CPU, and what `/metrics` says of what it uses.

use crate::e2e::harness::{Gate, Setup, get, logs, run, until, wat};

/// Looks at the clock until 30 ms have passed.
const SPIN: &str = r#"
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local $end i64)
        (drop (call $now (i32.const 512)))
        (local.set $end (i64.add (i64.load (i32.const 512)) (i64.const 30000000)))
        (loop $again
            (drop (call $now (i32.const 512)))
            (br_if $again (i64.lt_u (i64.load (i32.const 512)) (local.get $end))))
        (i32.const 0))"#;

fn gate(name: &str, limits: &str) -> Gate {
    let clock = "(import \"env\" \"proxy_get_current_time_nanoseconds\" (func $now (param i32) (result i32)))";
    let text = Setup::echo().plugin(name, &wat::plugin_with(clock, SPIN), "vm_more: 1").text();
    Gate::start(&text.replace("vm_config: {", &format!("vm_config: {{{limits}")).replace(", vm_more: 1", ""))
}

/// A part of a second may be used at once, so what is more is refused soon.
#[test]
fn a_plugin_that_has_used_up_its_budget_is_answered_by_its_policy() {
    run(async {
        let gate = gate("budget_spent", "limits: {cpu: 5%}, ");
        let mut client = gate.h1().await;
        let mut served = 0;
        while client.ask(get("/")).await.status == 200 {
            served += 1;
        }
        assert!(served > 0);
        assert_eq!(client.ask(get("/")).await.status, 503);
        let refused = "portcullis_plugin_cpu_refused_total{plugin=\"budget_spent\"}";
        assert!(gate.metric(refused).await >= 2.0);
        assert_eq!(logs::count("budget_spent", "more than 5% of a CPU (limits.cpu)"), 1);
        // And when time has passed it is called again.
        let mut status = 503;
        while status != 200 {
            status = client.ask(get("/")).await.status;
        }
    });
}

#[test]
fn metrics_say_what_a_plugin_uses() {
    run(async {
        let gate = gate("budget_none", "");
        let mut client = gate.h1().await;
        for _ in 0..10 {
            assert_eq!(client.ask(get("/")).await.status, 200);
        }
        drop(client);
        let metric = |name: &str| format!("portcullis_plugin_{name}{{plugin=\"budget_none\"}}");
        assert!(gate.metric(&metric("cpu_seconds_total")).await >= 0.2);
        assert!(gate.metric(&metric("calls_total")).await >= 10.0);
        assert_eq!(gate.metric(&metric("cpu_refused_total")).await, 0.0);
        assert_eq!(gate.metric(&metric("memory_bytes")).await, 4.0 * 65536.0);
        let stopping = gate.stop();
        until(|| stopping.is_finished()).await;
    });
}
