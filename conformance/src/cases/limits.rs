//! What a guest may use.

use std::time::{Duration, Instant};

use portcullis::core::HostcallId::proxy_get_header_map_value;
use portcullis::core::{Limits, VmFailed};

use crate::case::Case;
use crate::running::Setup;

const DEADLINE: &str = "deadline: the plugin ran longer than its limit for one call";
const STACK: &str = "stack: the plugin used more stack than its limit";

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
            let mut guest = case.start_with(engine, limited(Limits { deadline, ..Limits::default() }));
            let start = Instant::now();
            assert_eq!((guest.tick(), guest.failure()), (Err(VmFailed), DEADLINE));
            assert!(start.elapsed() >= deadline);
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
            let limits = Limits { deadline: Duration::from_millis(20), ..Limits::default() };
            let mut guest = case.start_with(engine, limited(limits));
            let stream = guest.open(&[("a", "1")]);
            assert_eq!((guest.headers(stream), guest.failure()), (Err(VmFailed), DEADLINE));
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
            let limits = Limits { start_deadline: Duration::from_millis(20), ..Limits::default() };
            let error = case.try_start(engine, limited(limits)).unwrap_err();
            assert_eq!(error.to_string(), format!("_initialize failed: {DEADLINE}"));
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
            let mut guest = case.start_with(engine, limited(Limits { memory: 3 << 16, ..Limits::default() }));
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
            let error = case.try_start(engine, limited(Limits { memory: 2 << 16, ..Limits::default() })).unwrap_err();
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
        run: |case, engine| {
            let mut guest = case.start_with(engine, limited(Limits { table_elements: 10, ..Limits::default() }));
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!(guest.seen(), ["-1", "4", "-1"]);
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
            assert_eq!((guest.tick(), guest.failure()), (Err(VmFailed), STACK));
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
            assert_eq!((guest.headers(stream), guest.failure()), (Err(VmFailed), STACK));
        },
    },
];
