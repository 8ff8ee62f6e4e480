//! More than the host should have to take.

use portcullis::abi::{
    HostcallId::proxy_define_metric, HostcallId::proxy_enqueue_shared_queue, HostcallId::proxy_get_metric,
    HostcallId::proxy_register_shared_queue, HostcallId::proxy_set_buffer_bytes, HostcallId::proxy_set_shared_data,
};
use portcullis::engine::AnyEngine;
use portcullis::model::{Direction, Limits, Plugin};
use portcullis::resources::Shared;
use portcullis::sandbox::{SandboxKey, VmSpec};

use super::plugins::{asks, ruled};
use crate::engine::case::Case;
use crate::engine::running::{Running, Setup};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a_flood_of_log_lines",
        guest: r#"
            (func (export "proxy_on_tick") (param i32) (local $left i32)
                (local.set $left (i32.const 1000))
                (loop $again
                    (drop (call $proxy_log (i32.const 4) (i32.const 0) (i32.const 1)))
                    (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
        "#,
        hostcalls: &[portcullis::abi::HostcallId::proxy_log],
        spec: "portcullis#log rules",
        run: |case, engine| {
            for (rules, lines) in [(&[][..], 1000), (&[("proxy_log", "rate", &["10/s"][..])], 10)] {
                let plugin = ruled("loud", rules);
                let mut guest = case.start_with(engine, Setup { plugin, ..Setup::default() });
                guest.tick().unwrap();
                let (host, own): (Vec<_>, Vec<_>) = guest.lines().into_iter().partition(|line| line.from_host);
                assert_eq!(own.len(), lines);
                assert!(host.len() <= 5, "nor do denials fill the log: {}", host.len());
            }
        },
    },
    Case {
        name: "a_flood_of_metrics",
        guest: r#"
            (data (i32.const 1024) "m0")
            (func (export "proxy_on_tick") (param i32) (local $left i32) (local $made i32)
                (local.set $left (i32.const 100))
                (loop $again
                    (i32.store8 (i32.const 1025) (i32.add (i32.const 20) (local.get $left)))
                    (local.set $made (i32.add (local.get $made) (i32.eqz (call $proxy_define_metric
                        (i32.const 0) (i32.const 1024) (i32.const 2) (i32.const 1100)))))
                    (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
                (call $report (local.get $made))
                (call $report (call $proxy_get_metric (i32.const 4) (i32.const 1104))))
        "#,
        hostcalls: &[proxy_define_metric, proxy_get_metric],
        spec: "portcullis#metric rules",
        run: |case, engine| {
            for (rules, made) in [(&[][..], "100"), (&[("proxy_define_metric", "count", &["3"][..])], "3")] {
                let plugin = ruled("counter", rules);
                let mut guest = case.start_with(engine, Setup { plugin, ..Setup::default() });
                guest.tick().unwrap();
                assert_eq!(guest.seen(), [made, "0"]);
            }
        },
    },
    Case {
        name: "a_flood_of_queues",
        // 64 queues with 16 items of 64 KiB each.
        guest: r#"
            (data (i32.const 1024) "q")
            (func (export "proxy_on_tick") (param i32) (local $queues i32) (local $left i32) (local $items i32)
                (loop $queue
                    (i32.store8 (i32.const 1025) (local.get $queues))
                    (drop (call $proxy_register_shared_queue (i32.const 1024) (i32.const 2) (i32.const 1100)))
                    (local.set $left (i32.const 16))
                    (loop $item
                        (if (i32.eqz (call $proxy_enqueue_shared_queue
                                (i32.load (i32.const 1100)) (i32.const 0) (i32.const 65536)))
                            (then
                                (local.set $items (i32.add (local.get $items) (i32.const 1)))
                                (br_if $item (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))
                    (local.set $queues (i32.add (local.get $queues) (i32.const 1)))
                    (br_if $queue (i32.lt_u (local.get $queues) (i32.const 64))))
                (call $report (local.get $items)))
        "#,
        hostcalls: &[proxy_register_shared_queue, proxy_enqueue_shared_queue],
        spec: "portcullis#limits",
        run: |case, engine| {
            for (shared, items) in [(4 << 20, "63"), (8 << 20, "127")] {
                let limits = Limits::default().with_shared(shared);
                let mut guest = case.start_with(engine, Setup { limits, ..Setup::default() });
                guest.tick().unwrap();
                assert_eq!(guest.seen(), [items]);
            }
        },
    },
    Case {
        name: "a_flood_of_shared_data_that_others_of_the_vm_id_meet",
        guest: r#"
            (func (export "proxy_on_tick") (param i32) (local $key i32)
                (loop $next
                    (local.set $key (i32.add (local.get $key) (i32.const 1)))
                    (i32.store (i32.const 1024) (local.get $key))
                    (br_if $next (i32.eqz (call $proxy_set_shared_data
                        (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 1000) (i32.const 0)))))
                (call $report (i32.gt_u (local.get $key) (i32.const 50))))
            (func (export "proxy_on_log") (param i32)
                (call $report (call $proxy_set_shared_data
                    (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0)))
                (call $report (call $proxy_register_shared_queue (i32.const 1024) (i32.const 1) (i32.const 1100)))
                (call $report (call $proxy_define_metric
                    (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 1100))))
        "#,
        hostcalls: &[proxy_set_shared_data, proxy_register_shared_queue, proxy_define_metric],
        spec: "portcullis#limits",
        run: |case, engine| {
            for (victim, seen) in [("victim", ["0", "0", "0"]), ("attacker", ["10", "10", "10"])] {
                let shared = Shared::default();
                let mut attacker = flooding(case, engine, &shared, "attacker");
                attacker.tick().unwrap();
                assert_eq!(attacker.seen(), ["1"]);
                // The control is a VM of the attacker's own sandbox.
                let mut other = flooding(case, engine, &shared, victim);
                let stream = other.open(&[]);
                other.vm.on_log(stream).unwrap();
                assert_eq!(other.seen(), seen);
            }
        },
    },
    Case {
        name: "a_flood_of_pieces_of_a_body",
        guest: r#"
            (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (local $left i32) (local $put i32)
                (local.set $left (i32.const 1000))
                (loop $next
                    (local.set $put (i32.add (local.get $put) (i32.eqz (call $proxy_set_buffer_bytes
                        (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 0) (i32.const 1)))))
                    (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
                (call $report (local.get $put))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_set_buffer_bytes],
        spec: "portcullis#limits",
        run: |case, engine| {
            // The body may have so many bytes; what each piece costs the host besides counts as well.
            let pieces = 100 * (Limits::ENTRY_COST + 1);
            for (buffers, put) in [(pieces, "100"), (10 * pieces, "1000")] {
                let limits = Limits::default().with_buffers(buffers);
                let mut guest = case.start_with(engine, Setup { limits, ..Setup::default() });
                let stream = guest.open(&[]);
                guest.lend_body(stream, Direction::Request, "body");
                guest.vm.on_body(stream, Direction::Request, true).unwrap();
                assert_eq!(guest.seen(), [put]);
            }
        },
    },
];

/// Returns a VM of a sandbox, under the id that all share who name none.
fn flooding(case: &Case, engine: &dyn AnyEngine, shared: &Shared, name: &str) -> Running {
    // All of it is taken by 60 keys.
    let shared_limit = 60 * (Limits::ENTRY_COST + 4 + 1000);
    let (limits, sandbox) = (Limits::default().with_shared(shared_limit), Some(sandbox(name)));
    case.start_with(engine, Setup { shared: shared.clone(), limits, sandbox, ..Setup::default() })
}

fn sandbox(name: &str) -> SandboxKey {
    let vm = VmSpec::default().with_environment(vec![("name".to_owned(), name.to_owned())]);
    asks(&Plugin::new("test"), &vm, Default::default()).spec.key()
}
