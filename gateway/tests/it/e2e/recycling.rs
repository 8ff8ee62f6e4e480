//! VMs that are recycled, and the memory that returns.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::e2e::cli::{Server, file, serve};
use crate::e2e::harness::wat::{module, plugin_of};
use crate::e2e::harness::{Client, Gate, Setup, get, logs, post, run, until};

/// The file of a setup, with more keys in each `vm_config`.
fn with_vm_keys(setup: &Setup, keys: &str) -> String {
    setup.text().replace("vm_config: {", &format!("vm_config: {{{keys}, "))
}

/// Bytes of memory of a process that are resident.
fn resident(server: &Server) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", server.child.id())).unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// A request with a body has the plugin grow by a GiB, and write to all of it.
fn growing() -> std::path::PathBuf {
    plugin_of(
        r#"(func (export "proxy_on_request_headers") (param i32 i32) (param $end i32) (result i32)
               (if (i32.eqz (local.get $end)) (then
                   (if (i32.eq (memory.grow (i32.const 0x4000)) (i32.const -1)) (then unreachable))
                   (memory.fill (i32.const 0x40000) (i32.const 1) (i32.const 0x40000000))))
               (i32.const 0))"#,
    )
}

#[test]
#[cfg(target_os = "linux")]
fn memory_returns_to_the_system_on_every_engine() {
    const GIB: usize = 1 << 30;
    for engine in portcullis::engine::all() {
        run(async {
            let keys = "limits: {memory: 2GiB, deadline: 30s}, recycle: {memory: 64MiB}";
            let text = with_vm_keys(&Setup::echo().plugin("grows", &growing(), ""), keys);
            let server = serve(&file(&format!("grows-{}.yaml", engine.name), &text), &["--engine", engine.name]);
            let mut client = Client::h1(server.address).await;
            assert_eq!(client.ask(get("/")).await.status, 200);
            let before = resident(&server);
            assert_eq!(client.ask(post("/", Bytes::from_static(b"grow"))).await.status, 200);
            let began = Instant::now();
            until(|| server.said("its VM was recycled, since its memory, 1074003968 bytes, is past recycle.memory"))
                .await;
            let mut after = resident(&server);
            // Nothing comes meanwhile: what an idle gateway has.
            while after > before + before / 10 && began.elapsed() < Duration::from_secs(30) {
                tokio::time::sleep(Duration::from_millis(20)).await;
                after = resident(&server);
            }
            let took = began.elapsed();
            assert!(
                after <= before + before / 10,
                "{}: {before} bytes before, {after} bytes {took:?} after {GIB} more",
                engine.name
            );
            println!("{}: {} KiB before, {} KiB {took:?} after", engine.name, before >> 10, after >> 10);
            assert_eq!(client.ask(get("/")).await.status, 200);
        });
    }
}

/// Puts an item into its queue with each request, takes one for each that it is told of, and ticks.
const QUEUEING: &str = r#"
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32)))
  (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_dequeue_shared_queue" (func $dequeue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 4096))
  (func $say (param i32 i32) (drop (call $log (i32.const 2) (local.get 0) (local.get 1))))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $register $"items" (i32.const 0)))
    (drop (call $tick (i32.const 20)))
    (i32.const 1))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $enqueue (i32.load (i32.const 0)) $"item"))
    (i32.const 0))
  (func (export "proxy_on_tick") (param i32) (call $say $"tick"))
  (func (export "proxy_on_done") (param i32) (result i32) (call $say $"done") (i32.const 1))
  (func (export "proxy_on_queue_ready") (param i32) (param $queue i32)
    (if (call $dequeue (local.get $queue) (i32.const 16) (i32.const 20))
      (then (call $say $"nothing"))
      (else (call $say $"item"))))
"#;

#[test]
fn ticks_and_items_go_to_the_new_vm_and_none_is_lost_or_told_twice() {
    const NAME: &str = "recycled_queue";
    run(async {
        let setup = Setup::echo().workers(2).plugin(NAME, &module(QUEUEING), "");
        let gate = Gate::start(&with_vm_keys(&setup, "recycle: {streams: 10}"));
        let mut clients = [gate.h1().await, gate.h1().await, gate.h2().await];
        let mut sent = 0;
        // One VM is there for a second at least.
        while logs::count(NAME, "its VM was recycled") < 3 {
            for client in &mut clients {
                assert_eq!(client.ask(get("/")).await.status, 200);
                sent += 1;
            }
        }
        until(|| logs::count(NAME, "item") == sent).await;
        let ticks = logs::count(NAME, "tick");
        until(|| logs::count(NAME, "tick") > ticks + 4).await;
        assert_eq!((logs::count(NAME, "item"), logs::count(NAME, "nothing")), (sent, 0));
        // The streams of old VMs are over, and their roots have ended; the root of each stream says so, too.
        assert!(logs::count(NAME, "done") >= sent + 3, "{} of {sent} and 3", logs::count(NAME, "done"));
    });
}
