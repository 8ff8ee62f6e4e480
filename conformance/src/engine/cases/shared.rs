//! Shared data and queues.

use portcullis::abi::{
    HostcallId::proxy_dequeue_shared_queue, HostcallId::proxy_enqueue_shared_queue, HostcallId::proxy_get_shared_data,
    HostcallId::proxy_register_shared_queue, HostcallId::proxy_resolve_shared_queue, HostcallId::proxy_set_shared_data,
};
use portcullis::engine::AnyEngine;
use portcullis::resources::Shared;

use crate::engine::case::Case;
use crate::engine::running::Setup;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "data_has_a_version_that_a_change_may_ask_for",
        guest: r#"
            (data (i32.const 1024) "keyvalue")
            (func $get (call $answer (call $proxy_get_shared_data
                (i32.const 1024) (i32.const 3) (i32.const 0) (i32.const 4) (i32.const 1101))))
            (func $set (param $len i32) (param $cas i32) (call $report (call $proxy_set_shared_data
                (i32.const 1024) (i32.const 3) (i32.const 1027) (local.get $len) (local.get $cas))))
            (func (export "proxy_on_tick") (param i32)
                (call $get)
                (call $set (i32.const 5) (i32.const 77))
                (call $get)
                (call $set (i32.const 0) (i32.add (i32.load (i32.const 1101)) (i32.const 1)))
                (call $set (i32.const 0) (i32.load (i32.const 1101)))
                (call $get)
                (call $report (i32.eqz (i32.load (i32.const 1101))))
                (call $report (call $proxy_set_shared_data
                    (i32.const -8) (i32.const 16) (i32.const 0) (i32.const 0) (i32.const 0)))
                (call $report (call $proxy_get_shared_data
                    (i32.const 1024) (i32.const 3) (i32.const 0) (i32.const 4) (i32.const 65533))))
        "#,
        hostcalls: &[proxy_get_shared_data, proxy_set_shared_data],
        spec: "v0.2.1#Shared Key-Value Store",
        run: |case, engine| {
            let expected = ["1", "-1", "0", "0", "5", "value", "8", "0", "0", "0", "0", "6", "6"];
            assert_eq!(case.tick(engine), expected);
        },
    },
    Case {
        name: "items_come_back_in_order_to_who_may_know_the_queue",
        guest: r#"
            (data (i32.const 1024) "queuefirstvm")
            (func $put (param $len i32) (call $report (call $proxy_enqueue_shared_queue
                (i32.load (i32.const 1101)) (i32.const 1029) (local.get $len))))
            (func $take (call $answer (call $proxy_dequeue_shared_queue
                (i32.load (i32.const 1101)) (i32.const 0) (i32.const 4))))
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_resolve_shared_queue
                    (i32.const 0) (i32.const 0) (i32.const 1024) (i32.const 5) (i32.const 1101)))
                (call $put (i32.const 5))
                (call $take)
                (call $report (call $proxy_register_shared_queue (i32.const 1024) (i32.const 5) (i32.const 1101)))
                (call $take)
                (call $put (i32.const 5))
                (call $put (i32.const 0))
                (call $take)
                (call $take)
                (call $report (call $proxy_resolve_shared_queue
                    (i32.const 1034) (i32.const 2) (i32.const 1024) (i32.const 5) (i32.const 1101)))
                (call $report (call $proxy_register_shared_queue (i32.const 1024) (i32.const 5) (i32.const 65533))))
        "#,
        hostcalls: &[
            proxy_register_shared_queue,
            proxy_resolve_shared_queue,
            proxy_enqueue_shared_queue,
            proxy_dequeue_shared_queue,
        ],
        spec: "v0.2.1#Shared Queues",
        run: |case, engine| {
            let expected = ["1", "1", "1", "-1", "0", "7", "-1", "0", "0", "0", "5", "first", "0", "0", "1", "6"];
            assert_eq!(case.tick(engine), expected);
        },
    },
    Case {
        name: "an_item_that_finds_no_room_in_the_guest_stays_the_first",
        guest: r#"
            (global $room (mut i32) (i32.const 0))
            (func (export "malloc") (param i32) (result i32) (global.get $room))
            (data (i32.const 1024) "queuefirst")
            (func $take (call $answer (call $proxy_dequeue_shared_queue
                (i32.load (i32.const 1101)) (i32.const 0) (i32.const 4))))
            (func (export "proxy_on_tick") (param i32)
                (drop (call $proxy_register_shared_queue (i32.const 1024) (i32.const 5) (i32.const 1101)))
                (drop (call $proxy_enqueue_shared_queue (i32.load (i32.const 1101)) (i32.const 1029) (i32.const 5)))
                (drop (call $proxy_enqueue_shared_queue (i32.load (i32.const 1101)) (i32.const 1029) (i32.const 1)))
                (call $take)
                (global.set $room (i32.const 65533))
                (call $take)
                (global.set $room (i32.const 2048))
                (call $take)
                (call $take)
                (call $take))
        "#,
        hostcalls: &[proxy_register_shared_queue, proxy_enqueue_shared_queue, proxy_dequeue_shared_queue],
        spec: "portcullis#queues",
        run: |case, engine| {
            let expected = ["6", "-1", "6", "-1", "0", "5", "first", "0", "1", "f", "7", "-1"];
            assert_eq!(case.tick(engine), expected);
        },
    },
    Case {
        name: "a_root_is_told_of_items_after_the_callback_that_put_them_there",
        guest: r#"
            (data (i32.const 1024) "queue")
            (func (export "proxy_on_configure") (param i32 i32) (result i32)
                (drop (call $proxy_register_shared_queue (i32.const 1024) (i32.const 5) (i32.const 1101)))
                (i32.const 1))
            (func (export "proxy_on_tick") (param i32)
                (drop (call $proxy_enqueue_shared_queue (i32.load (i32.const 1101)) (i32.const 1024) (i32.const 1)))
                (call $report (i32.const 100)))
            (func (export "proxy_on_queue_ready") (param $root i32) (param $queue i32)
                (call $report (local.get $root))
                (call $report (i32.eq (local.get $queue) (i32.load (i32.const 1101)))))
        "#,
        hostcalls: &[proxy_register_shared_queue, proxy_enqueue_shared_queue],
        spec: "v0.2.1#proxy_on_queue_ready",
        run: |case, engine| {
            let mut guest = case.start(engine);
            guest.tick().unwrap();
            assert_eq!(guest.seen(), ["100"]);
            assert_eq!((guest.vm.on_queue_ready(), guest.vm.on_queue_ready()), (Ok(true), Ok(false)));
            assert_eq!(guest.seen(), [guest.root.to_string().as_str(), "1"]);
        },
    },
    Case {
        name: "no_increment_of_many_threads_is_lost",
        guest: r#"
            (data (i32.const 1024) "n")
            (func (export "proxy_on_tick") (param i32) (local $left i32)
                (local.set $left (i32.const 200))
                (loop $again
                    (drop (call $proxy_get_shared_data
                        (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 4) (i32.const 1100)))
                    (i32.store (i32.const 1104) (i32.add (i32.load (i32.load (i32.const 0))) (i32.const 1)))
                    (br_if $again (call $proxy_set_shared_data
                        (i32.const 1024) (i32.const 1) (i32.const 1104) (i32.const 4) (i32.load (i32.const 1100))))
                    (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
                (call $report (i32.load (i32.const 1104))))
            (func (export "proxy_on_log") (param i32)
                (drop (call $proxy_set_shared_data
                    (i32.const 1024) (i32.const 1) (i32.const 1104) (i32.const 4) (i32.const 0))))
            (func (export "malloc") (param i32) (result i32) (i32.const 2048))
        "#,
        hostcalls: &[proxy_get_shared_data, proxy_set_shared_data],
        spec: "v0.2.1#Shared Key-Value Store",
        run: |case, engine| {
            const THREADS: usize = 4;
            let shared = Shared::default();
            let mut first = case.start_with(engine, sharing(&shared));
            let stream = first.open(&[]);
            first.vm.on_log(stream).unwrap();
            let mut last: Vec<u32> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| ticked(case, engine, &shared))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            last.sort_unstable();
            assert_eq!(last.last(), Some(&800));
        },
    },
];

fn sharing(shared: &Shared) -> Setup {
    Setup { shared: shared.clone(), ..Setup::default() }
}

/// Returns the count after a guest has done its increments.
fn ticked(case: &Case, engine: &dyn AnyEngine, shared: &Shared) -> u32 {
    let mut guest = case.start_with(engine, sharing(shared));
    guest.tick().unwrap();
    guest.seen().first().and_then(|count| count.parse().ok()).unwrap_or_default()
}
