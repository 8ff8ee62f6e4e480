//! An attacker beside a victim: another VM of the same engine and process, which goes on as if nothing were.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use portcullis::abi::{
    HostcallId::proxy_define_metric, HostcallId::proxy_enqueue_shared_queue, HostcallId::proxy_get_header_map_value,
    HostcallId::proxy_get_shared_data, HostcallId::proxy_register_shared_queue,
    HostcallId::proxy_set_effective_context, HostcallId::proxy_set_shared_data,
};
use portcullis::engine::AnyEngine;
use portcullis::model::{Direction, Limits};
use portcullis::module::Bytecode;
use portcullis::resources::Shared;

use crate::engine::case::Case;
use crate::engine::running::{Running, Setup};

/// Bytes of its memory, a header, and what it shares, each of which it knows.
const VICTIM: Case = Case {
    name: "victim",
    guest: r#"
        (data (i32.const 1024) "akey")
        (data (i32.const 2000) "mine")
        (func (export "malloc") (param i32) (result i32) (i32.const 4096))
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (call $report (call $proxy_set_shared_data
                (i32.const 1025) (i32.const 3) (i32.const 2000) (i32.const 4) (i32.const 0)))
            (call $report (call $proxy_register_shared_queue (i32.const 1025) (i32.const 3) (i32.const 2100)))
            (call $report (call $proxy_enqueue_shared_queue (i32.load (i32.const 2100)) (i32.const 2000) (i32.const 4)))
            (i32.const 1))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (call $answer (call $proxy_get_header_map_value
                (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 4)))
            (call $answer (call $proxy_get_shared_data
                (i32.const 1025) (i32.const 3) (i32.const 0) (i32.const 4) (i32.const 2104)))
            (call $report (call $proxy_set_shared_data
                (i32.const 1025) (i32.const 3) (i32.const 2000) (i32.const 4) (i32.load (i32.const 2104))))
            (call $dump (i32.const 2000) (i32.const 4))
            (call $report (memory.size))
            (i32.const 0))
        (func (export "proxy_on_queue_ready") (param i32 i32) (call $report (i32.const 77)))
    "#,
    hostcalls: &[
        proxy_set_shared_data,
        proxy_get_shared_data,
        proxy_register_shared_queue,
        proxy_enqueue_shared_queue,
        proxy_get_header_map_value,
    ],
    spec: "portcullis#isolation",
    run: |_, _| {},
};

/// An attack in a tick, and how it ends: `lives`, or a part of why it does not.
const ATTACKS: &[(&str, &str)] = &[
    ("unreachable", "trap: unreachable"),
    ("(loop (br 0))", "deadline: "),
    ("(call $deep (i32.const 0))", "stack: "),
    ("(i32.store (i32.const -1) (i32.const 1))", "trap: out of bounds memory access"),
    ("(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable", "memory: "),
    ("(loop (br_if 0 (i32.ne (table.grow 0 (ref.null func) (i32.const 1)) (i32.const -1))))", "lives"),
    // All of its memory, where the victim's has what it knows.
    ("(memory.fill (i32.const 0) (i32.const 0xff) (i32.const 65536))", "lives"),
    ("(call_indirect (i32.const 0))", "trap: indirect call to null"),
    ("(call $contexts)", "lives"),
    ("(call $queues)", "lives"),
    ("(call $data)", "lives"),
    ("(call $metrics)", "lives"),
];

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a_victim_of_every_attack",
        guest: "",
        hostcalls: &[],
        spec: "portcullis#isolation",
        run: |_, engine| {
            let shared = Shared::default();
            let mut victim = start(&VICTIM, engine, "victim", &shared, DEADLINE);
            assert_eq!(victim.seen(), ["0", "0", "0"]);
            let stream = victim.open(&[("a", "1")]);
            for (attack, end) in ATTACKS {
                // Of the victim's own code, too, in another VM: compiled once, if the engine can.
                let mut attacker = attacker(engine, (attack, end), &shared);
                let result = attacker.tick();
                let reason = attacker.vm.failure().unwrap_or("lives");
                assert!(reason.starts_with(end), "{attack}: {reason}");
                assert_eq!(result.is_ok(), *end == "lives");
                victim.headers(stream).unwrap();
                let seen = victim.seen();
                assert_eq!(seen, ["0", "1", "1", "0", "4", "mine", "0", "mine", "1"], "after {attack}");
                drop(attacker);
                victim.lend(stream, Direction::Request, &[("a", "1")]);
                victim.headers(stream).unwrap();
                assert_eq!(victim.seen(), seen, "after the attacker of {attack} is gone");
            }
            // One item was its own, and no other came.
            assert_eq!((victim.vm.on_queue_ready(), victim.vm.on_queue_ready()), (Ok(true), Ok(false)));
            assert_eq!(victim.seen(), ["77"]);
        },
    },
    Case {
        name: "a_deadline_that_ends_one_vm_and_no_other",
        // The reference host, on one of its engines, stops all that run.
        guest: r#"
            (func (export "proxy_on_tick") (param i32) (loop (br 0)))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local $left i32)
                (local.set $left (i32.const 1000000))
                (loop (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
                (call $report (local.get $left))
                (i32.const 0))
        "#,
        hostcalls: &[],
        spec: "portcullis#limits",
        run: |case, engine| {
            let wasm = wat::parse_str(case.wat()).unwrap();
            let bytecode = Bytecode::judge(&wasm).unwrap();
            let module = engine.load(&bytecode).unwrap();
            let start = |deadline| {
                let limits = Limits::default().with_deadline(deadline);
                Running::start(&*module, bytecode.abi, Setup { limits, ..Setup::default() }).unwrap()
            };
            let ((ready, go), ended) = (mpsc::channel(), AtomicBool::new(false));
            std::thread::scope(|scope| {
                let honest = scope.spawn(|| {
                    let mut guest = start(Duration::from_secs(30));
                    let stream = guest.open(&[]);
                    guest.headers(stream).unwrap();
                    ready.send(()).unwrap();
                    // As long as others end, and once more.
                    while !ended.load(Ordering::Relaxed) {
                        guest.headers(stream).unwrap();
                    }
                    guest.headers(stream).unwrap();
                    guest.seen()
                });
                // An honest guest that fails is heard of below.
                let _ = go.recv_timeout(Duration::from_secs(30));
                for _ in 0..5 {
                    let mut guest = start(Duration::from_millis(2));
                    assert!(guest.tick().is_err() && guest.failure().starts_with("deadline: "));
                }
                ended.store(true, Ordering::Relaxed);
                let seen = honest.join().unwrap();
                assert!(seen.len() >= 2 && seen.iter().all(|left| left == "0"), "{seen:?}");
            });
        },
    },
];

fn attacker(engine: &dyn AnyEngine, (attack, end): (&str, &str), shared: &Shared) -> Running {
    let text = format!("{ATTACKER} (func (export \"proxy_on_tick\") (param i32) {attack})");
    // A case is what the suite knows; the few attackers are kept as long as it runs.
    let guest: &'static str = Box::leak(text.into_boxed_str());
    let hostcalls = &[
        proxy_set_effective_context,
        proxy_enqueue_shared_queue,
        proxy_register_shared_queue,
        proxy_set_shared_data,
        proxy_define_metric,
    ];
    let case = Case { name: "attacker", guest, hostcalls, spec: "portcullis#isolation", run: |_, _| {} };
    // A replay waits ten times as long for what ends at its deadline.
    let deadline = if end.starts_with("deadline") { Duration::from_millis(50) } else { DEADLINE };
    start(&case, engine, "attacker", shared, deadline)
}

/// Of everything until there is no more: contexts, queues and their items, keys, metrics.
const ATTACKER: &str = r#"
    (table 1 funcref)
    (data (i32.const 1024) "key\00\00\00\00")
    (func $deep (param i32) (local.set 0 (i32.add (local.get 0) (i32.const 1)))
        (call $deep (local.get 0)) (call $deep (local.get 0)))
    (func $contexts (local $id i32)
        (loop $next
            (drop (call $proxy_set_effective_context (local.get $id)))
            (br_if $next (i32.lt_u (local.tee $id (i32.add (local.get $id) (i32.const 1))) (i32.const 1000)))))
    (func $queues (local $id i32)
        (loop $next
            (i32.store (i32.const 1027) (local.get $id))
            (drop (call $proxy_register_shared_queue (i32.const 1024) (i32.const 7) (i32.const 1100)))
            (drop (call $proxy_enqueue_shared_queue (local.get $id) (i32.const 0) (i32.const 65536)))
            (br_if $next (i32.lt_u (local.tee $id (i32.add (local.get $id) (i32.const 1))) (i32.const 100)))))
    (func $data (local $id i32)
        (loop $next
            (i32.store (i32.const 1027) (local.get $id))
            (drop (call $proxy_set_shared_data
                (i32.const 1024) (i32.const 3) (i32.const 0) (i32.const 4) (local.get $id)))
            (drop (call $proxy_set_shared_data
                (i32.const 1024) (i32.const 7) (i32.const 0) (i32.const 1000) (i32.const 0)))
            (br_if $next (i32.lt_u (local.tee $id (i32.add (local.get $id) (i32.const 1))) (i32.const 1000)))))
    (func $metrics (local $id i32)
        (loop $next
            (i32.store (i32.const 1027) (i32.add (i32.const 0x20202020) (i32.and (local.get $id) (i32.const 15))))
            (drop (call $proxy_define_metric
                (i32.rem_u (local.get $id) (i32.const 3)) (i32.const 1024) (i32.const 7) (i32.const 1100)))
            (br_if $next (i32.lt_u (local.tee $id (i32.add (local.get $id) (i32.const 1))) (i32.const 1000)))))
"#;

/// Of those that must not meet it.
const DEADLINE: Duration = Duration::from_secs(1);

fn start(case: &Case, engine: &dyn AnyEngine, vm_id: &str, shared: &Shared, deadline: Duration) -> Running {
    let limits =
        Limits::default().with_memory(8 << 20).with_table_elements(1000).with_deadline(deadline).with_shared(1 << 16);
    let setup = Setup { vm_id: vm_id.to_owned(), shared: shared.clone(), limits, ..Setup::default() };
    case.start_with(engine, setup)
}
