//! Limits of a guest.

use std::time::{Duration, Instant};

use portcullis::abi::HostcallId::proxy_get_header_map_value;
use portcullis::engine::AnyEngine;
use portcullis::model::{ContextId, Direction, Limits, Plugin};
use portcullis::vm::VmFailed;

use crate::engine::case::Case;
use crate::engine::running::{Running, Setup};

const STACK: &str = "stack: more than 524288 bytes (limits.stack) were used";

fn deadline_passed(limit: Duration) -> String {
    format!("deadline: {limit:?} (limits.deadline) passed")
}

/// Leaves out the functions that were running, which not every engine names.
fn reason(failure: &str) -> &str {
    failure.split_once(" in ").map_or(failure, |(reason, _)| reason)
}

fn limited(limits: Limits) -> Setup {
    Setup { limits, ..Setup::default() }
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "an_endless_callback_is_stopped_at_its_deadline",
        guest: r#"
            (func (export "proxy_on_tick") (param i32) (loop (br 0)))
        "#,
        hostcalls: &[],
        spec: "portcullis#limits",
        run: |case, engine| {
            let deadline = Duration::from_millis(50);
            let mut guest = case.start_with(engine, limited(Limits::default().with_deadline(deadline)));
            let start = Instant::now();
            assert_eq!((guest.tick(), reason(guest.failure())), (Err(VmFailed), &*deadline_passed(deadline)));
            assert!(start.elapsed() >= deadline);
        },
    },
    Case {
        name: "an_endless_loop_in_any_callback_is_stopped",
        // It loops in the callback whose number is the length of the plugin's configuration.
        guest: r#"
            (global $chosen (mut i32) (i32.const 0))
            (func $callback (param $number i32) (result i32)
                (if (i32.eq (local.get $number) (global.get $chosen)) (then (loop (br 0))))
                (i32.const 1))
            (func (export "proxy_on_configure") (param i32 i32) (result i32)
                (global.set $chosen (local.get 1)) (call $callback (i32.const 1)))
            (func (export "proxy_on_tick") (param i32) (drop (call $callback (i32.const 2))))
            (func (export "proxy_on_context_create") (param i32 i32) (drop (call $callback (i32.const 3))))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $callback (i32.const 4)))
            (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (call $callback (i32.const 5)))
            (func (export "proxy_on_request_trailers") (param i32 i32) (result i32) (call $callback (i32.const 6)))
            (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (call $callback (i32.const 7)))
            (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) (call $callback (i32.const 8)))
            (func (export "proxy_on_response_trailers") (param i32 i32) (result i32) (call $callback (i32.const 9)))
            (func (export "proxy_on_done") (param i32) (result i32) (call $callback (i32.const 10)))
            (func (export "proxy_on_log") (param i32) (drop (call $callback (i32.const 11))))
            (func (export "proxy_on_delete") (param i32) (drop (call $callback (i32.const 12))))
        "#,
        hostcalls: &[],
        spec: "portcullis#limits",
        run: |case, engine| {
            let deadline = Duration::from_millis(20);
            let start = |number| {
                let mut plugin = Plugin::new("test");
                plugin.configuration = vec![b'c'; number].into();
                let limits = Limits::default().with_deadline(deadline).with_start_deadline(deadline);
                case.try_start(engine, Setup { plugin, limits, ..Setup::default() })
            };
            let error = start(1).unwrap_err().to_string();
            assert_eq!(reason(&error), "proxy_on_configure failed: deadline: 20ms (limits.start_deadline) passed");
            for number in 2..=12 {
                let mut guest = start(number).unwrap();
                let found = (live(&mut guest), guest.vm.failure().map(reason));
                assert_eq!(found, (Err(VmFailed), Some(&*deadline_passed(deadline))), "{number}");
            }
            assert_eq!(live(&mut start(13).unwrap()), Ok(()));
        },
    },
    Case {
        name: "every_call_has_the_whole_deadline",
        guest: r#"
            (func (export "proxy_on_tick") (param i32))
        "#,
        hostcalls: &[],
        spec: "portcullis#limits",
        run: |case, engine| {
            let limits = Limits::default().with_deadline(Duration::from_millis(30));
            let mut guest = case.start_with(engine, limited(limits));
            for _ in 0..3 {
                std::thread::sleep(Duration::from_millis(40));
                assert_eq!(guest.tick(), Ok(()));
            }
        },
    },
    Case {
        name: "a_call_to_the_allocator_shares_the_deadline_of_its_callback",
        guest: r#"
            (func (export "malloc") (param i32) (result i32) (loop (br 0)) unreachable)
            (data (i32.const 1024) "a")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 4)))
        "#,
        hostcalls: &[proxy_get_header_map_value],
        spec: "portcullis#limits",
        run: |case, engine| {
            let deadline = Duration::from_millis(20);
            let mut guest = case.start_with(engine, limited(Limits::default().with_deadline(deadline)));
            let stream = guest.open(&[("a", "1")]);
            let found = (guest.headers(stream), reason(guest.failure()));
            assert_eq!(found, (Err(VmFailed), &*deadline_passed(deadline)));
        },
    },
    Case {
        name: "start_functions_have_a_deadline_of_their_own",
        guest: r#"
            (func (export "_initialize") (loop (br 0)))
        "#,
        hostcalls: &[],
        spec: "portcullis#limits",
        run: |case, engine| {
            let [start_deadline, deadline] = [20, 50].map(Duration::from_millis);
            let error = case
                .try_start(
                    engine,
                    limited(Limits::default().with_start_deadline(start_deadline).with_deadline(deadline)),
                )
                .unwrap_err();
            let error = error.to_string();
            assert_eq!(reason(&error), "_initialize failed: deadline: 20ms (limits.start_deadline) passed");
        },
    },
    Case {
        name: "memory_stops_growing_at_its_limit",
        guest: r#"
            (func (export "proxy_on_tick") (param i32)
                (call $report (memory.grow (i32.const 2)))
                (call $report (memory.grow (i32.const 1)))
                (call $report (memory.grow (i32.const 0))))
        "#,
        hostcalls: &[],
        spec: "portcullis#limits",
        run: |case, engine| {
            let mut guest = case.start_with(engine, limited(Limits::default().with_memory(3 << 16)));
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!((guest.seen().join(" ").as_str(), guest.vm.memory_size()), ("1 -1 3", 3 << 16));
        },
    },
    Case {
        name: "a_guest_that_begins_with_more_memory_is_refused",
        guest: r#"
            (memory (export "memory") 3)
        "#,
        hostcalls: &[],
        spec: "portcullis#limits",
        run: |case, engine| {
            let error = case.try_start(engine, limited(Limits::default().with_memory(2 << 16))).unwrap_err();
            assert_eq!(
                error.to_string(),
                "memory: the plugin begins with 196608 bytes, which is more than its limit of 131072"
            );
        },
    },
    Case {
        name: "tables_stop_growing_at_their_limit",
        guest: r#"
            (table $table 4 funcref)
            (func (export "proxy_on_tick") (param i32)
                (call $report (table.grow $table (ref.null func) (i32.const 7)))
                (call $report (table.grow $table (ref.null func) (i32.const 6)))
                (call $report (table.grow $table (ref.null func) (i32.const 1))))
        "#,
        hostcalls: &[],
        spec: "portcullis#limits",
        run: |case, engine| assert_eq!(ten_elements(case, engine), ["-1", "4", "-1"]),
    },
    Case {
        name: "all_tables_together_have_one_limit",
        guest: r#"
            (table $a 4 funcref)
            (table $b 1 2 funcref)
            (func (export "proxy_on_tick") (param i32)
                (call $report (table.grow $b (ref.null func) (i32.const 2)))
                (call $report (table.grow $a (ref.null func) (i32.const 5)))
                (call $report (table.grow $b (ref.null func) (i32.const 1))))
        "#,
        hostcalls: &[],
        spec: "portcullis#limits",
        // The second cannot have 3 of its own accord; then the first takes all that is left.
        run: |case, engine| assert_eq!(ten_elements(case, engine), ["-1", "4", "-1"]),
    },
    Case {
        name: "a_guest_that_begins_with_more_table_elements_is_refused",
        guest: r#"
            (table 6 funcref)
            (table 5 funcref)
        "#,
        hostcalls: &[],
        spec: "portcullis#limits",
        run: |case, engine| {
            let error = case.try_start(engine, limited(Limits::default().with_table_elements(10))).unwrap_err();
            assert_eq!(
                error.to_string(),
                "table: the plugin begins with 11 elements, which is more than its limit of 10"
            );
        },
    },
    Case {
        name: "endless_growth_fails_with_its_reason",
        guest: r#"
            (func (export "proxy_on_tick") (param i32)
                (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
                unreachable)
        "#,
        hostcalls: &[],
        spec: "portcullis#limits",
        run: |case, engine| {
            let mut guest = case.start_with(engine, limited(Limits::default().with_memory(3 << 16)));
            assert_eq!(guest.tick(), Err(VmFailed));
            let reason = "memory: the plugin asked for more than 196608 bytes (limits.memory)";
            assert!(guest.failure().starts_with(reason), "{}", guest.failure());
        },
    },
    Case {
        name: "asking_for_more_than_can_be_addressed_is_no_matter_of_limits",
        guest: r#"
            (func (export "proxy_on_tick") (param i32)
                (call $report (memory.grow (i32.const -1)))
                (call $report (memory.grow (i32.const 65536)))
                unreachable)
        "#,
        hostcalls: &[],
        spec: "portcullis#limits",
        run: |case, engine| {
            let mut guest = case.start_with(engine, limited(Limits::default().with_memory(3 << 16)));
            assert_eq!((guest.tick(), guest.seen().join(" ").as_str()), (Err(VmFailed), "-1 -1"));
            assert!(guest.failure().starts_with("trap: unreachable"), "{}", guest.failure());
        },
    },
    Case {
        name: "endless_recursion_is_stopped",
        guest: r#"
            (func $deep (param i32) (result i32)
                (i32.add (local.get 0) (call $deep (i32.add (local.get 0) (i32.const 1)))))
            (func (export "proxy_on_tick") (param i32) (drop (call $deep (i32.const 0))))
        "#,
        hostcalls: &[],
        spec: "portcullis#limits",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!((guest.tick(), reason(guest.failure())), (Err(VmFailed), STACK));
        },
    },
    Case {
        name: "endless_recursion_in_the_allocator_is_stopped",
        guest: r#"
            (func $deep (export "malloc") (param i32) (result i32)
                (i32.add (local.get 0) (call $deep (i32.add (local.get 0) (i32.const 1)))))
            (data (i32.const 1024) "a")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 4)))
        "#,
        hostcalls: &[proxy_get_header_map_value],
        spec: "portcullis#limits",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[("a", "1")]);
            assert_eq!((guest.headers(stream), reason(guest.failure())), (Err(VmFailed), STACK));
        },
    },
];

/// Returns the reports of a tick of a guest that may have ten elements in its tables.
fn ten_elements(case: &Case, engine: &dyn AnyEngine) -> Vec<String> {
    let mut guest = case.start_with(engine, limited(Limits::default().with_table_elements(10)));
    assert_eq!(guest.tick(), Ok(()));
    guest.seen()
}

/// Runs a tick, and a stream from its beginning to its end.
fn live(guest: &mut Running) -> Result<(), VmFailed> {
    guest.tick()?;
    let stream = guest.vm.create_stream(guest.root, Default::default())?;
    for direction in [Direction::Request, Direction::Response] {
        exchange(guest, stream, direction)?;
    }
    guest.vm.on_done(stream)?;
    guest.vm.on_log(stream)?;
    guest.vm.delete(stream)
}

fn exchange(guest: &mut Running, stream: ContextId, direction: Direction) -> Result<(), VmFailed> {
    guest.lend(stream, direction, &[("a", "1")]);
    guest.vm.on_headers(stream, direction, false)?;
    guest.lend_body(stream, direction, "body");
    guest.vm.on_body(stream, direction, false)?;
    guest.vm.on_trailers(stream, direction).map(drop)
}
