//! Shared data and queues between workers.

use tokio::task::JoinSet;

use crate::e2e::harness::wat::module;
use crate::e2e::harness::{Client, Setup, get, logs, run, within};

/// Counts requests in shared data, and puts an item into a queue that every worker registers: the
/// last one to do so is told.
pub(super) const COUNTING: &str = r#"
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_shared_data" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32)))
  (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_dequeue_shared_queue" (func $dequeue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
  (import "env" "proxy_record_metric" (func $record (param i32 i64) (result i32)))
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $register $"queue" (i32.const 0)))
    (drop (call $define (i32.const 1) $"shared_count" (i32.const 4)))
    (drop (call $define (i32.const 0) $"items_taken" (i32.const 8)))
    (i32.store (i32.const 12) (i32.const 0))
    ;; The key exists from the start, so that every change is compared; the first to come makes it.
    (if (call $get $"n" (i32.const 16) (i32.const 20) (i32.const 24))
      (then (drop (call $set $"n" (i32.const 12) (i32.const 4) (i32.const 0)))))
    (i32.const 1))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (loop $again
      (drop (call $get $"n" (i32.const 16) (i32.const 20) (i32.const 24)))
      (i32.store (i32.const 28) (i32.add (i32.load (i32.load (i32.const 16))) (i32.const 1)))
      (br_if $again (call $set $"n" (i32.const 28) (i32.const 4) (i32.load (i32.const 24)))))
    (drop (call $record (i32.load (i32.const 4)) (i64.extend_i32_u (i32.load (i32.const 28)))))
    (drop (call $enqueue (i32.load (i32.const 0)) $"item"))
    (i32.const 0))
  (func (export "proxy_on_queue_ready") (param i32) (param $queue i32)
    (if (i32.eqz (call $dequeue (local.get $queue) (i32.const 16) (i32.const 20)))
      (then
        (drop (call $increment (i32.load (i32.const 8)) (i64.const 1)))
        (drop (call $log (i32.const 2) (i32.load (i32.const 16)) (i32.load (i32.const 20)))))))
"#;

#[test]
fn no_increment_and_no_item_is_lost_between_workers() {
    const REQUESTS: usize = 200;
    run(async {
        let gate = Setup::echo().workers(4).plugin("sharing", &module(COUNTING), "").start();
        let address = gate.address();
        let mut clients = JoinSet::new();
        for _ in 0..8 {
            clients.spawn(async move {
                for _ in 0..REQUESTS / 8 {
                    assert_eq!(Client::h1(address).await.ask(get("/")).await.status, 200);
                }
            });
        }
        while let Some(done) = clients.join_next().await {
            done.unwrap();
        }
        within(async { while gate.metric("items_taken{plugin=\"sharing\"}").await < REQUESTS as f64 {} }).await;
        // Workers record the count after they have changed it, so the last to record need not be the last to change.
        let count = gate.metric("shared_count_gauge{plugin=\"sharing\"}").await;
        assert!(count > REQUESTS as f64 - 8.0 && count <= REQUESTS as f64, "{count}");
        logs::wait("sharing", "item").await;
    });
}
