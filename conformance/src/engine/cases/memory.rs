//! Pointers that a guest hands over.

use portcullis::abi::{
    HostcallId::proxy_get_current_time_nanoseconds, HostcallId::proxy_get_log_level, HostcallId::proxy_log,
    HostcallId::proxy_set_property,
};

use crate::engine::case::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a_range_may_end_where_memory_ends",
        guest: r#"
            (data (i32.const 65535) "z")
            (func $log (param i32 i32) (call $report (call $proxy_log (i32.const 2) (local.get 0) (local.get 1))))
            (func (export "proxy_on_tick") (param i32)
                (call $log (i32.const 65535) (i32.const 1))
                (call $log (i32.const 65535) (i32.const 2))
                (call $log (i32.const 65536) (i32.const 0))
                (call $log (i32.const 65536) (i32.const 1))
                (call $log (i32.const 65537) (i32.const 0)))
        "#,
        hostcalls: &[proxy_log],
        spec: "host#getMemory",
        run: |case, engine| assert_eq!(case.tick(engine), ["z", "0", "6", "", "0", "6", "6"]),
    },
    Case {
        name: "pointers_and_lengths_are_unsigned_and_do_not_wrap",
        guest: r#"
            (func $log (param i32 i32) (call $report (call $proxy_log (i32.const 2) (local.get 0) (local.get 1))))
            (func (export "proxy_on_tick") (param i32)
                (call $log (i32.const -16) (i32.const 0))
                (call $log (i32.const -16) (i32.const 32))
                (call $log (i32.const 16) (i32.const -8))
                (call $log (i32.const -1) (i32.const 1))
                (call $log (i32.const -1) (i32.const -1)))
        "#,
        hostcalls: &[proxy_log],
        spec: "host#getMemory",
        run: |case, engine| assert_eq!(case.tick(engine), ["6", "6", "6", "6", "6"]),
    },
    Case {
        name: "address_0_is_ordinary_memory",
        guest: r#"
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_get_log_level (i32.const 0)))
                (call $report (i32.load (i32.const 0)))
                (i32.store8 (i32.const 0) (i32.const 0x41))
                (call $report (call $proxy_log (i32.const 2) (i32.const 0) (i32.const 1))))
        "#,
        hostcalls: &[proxy_get_log_level, proxy_log],
        spec: "host#setMemory",
        run: |case, engine| assert_eq!(case.tick(engine), ["0", "0", "A", "0"]),
    },
    Case {
        name: "what_the_host_writes_needs_no_alignment",
        guest: r#"
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_get_current_time_nanoseconds (i32.const 1027)))
                (call $report64 (i64.load (i32.const 1027)))
                (call $report (call $proxy_get_log_level (i32.const 65532)))
                (call $report (call $proxy_get_log_level (i32.const 65533))))
        "#,
        hostcalls: &[proxy_get_current_time_nanoseconds, proxy_get_log_level],
        spec: "host#setMemory",
        run: |case, engine| assert_eq!(case.tick(engine), ["0", "1700000000123456789", "0", "6"]),
    },
    Case {
        name: "nothing_is_written_where_a_part_lies_outside",
        guest: r#"
            (func (export "proxy_on_tick") (param i32)
                (i64.store (i32.const 65528) (i64.const 7))
                (call $report (call $proxy_get_current_time_nanoseconds (i32.const 65529)))
                (call $report64 (i64.load (i32.const 65528)))
                (call $report (call $proxy_get_current_time_nanoseconds (i32.const 65528)))
                (call $report64 (i64.load (i32.const 65528))))
        "#,
        hostcalls: &[proxy_get_current_time_nanoseconds],
        spec: "host#setMemory",
        run: |case, engine| assert_eq!(case.tick(engine), ["6", "7", "0", "1700000000123456789"]),
    },
    Case {
        name: "memory_that_the_guest_grew_is_reached",
        guest: r#"
            (func $log (param i32 i32) (call $report (call $proxy_log (i32.const 2) (local.get 0) (local.get 1))))
            (func (export "proxy_on_tick") (param i32)
                (call $log (i32.const 131071) (i32.const 1))
                (call $report (memory.grow (i32.const 1)))
                (i32.store8 (i32.const 131071) (i32.const 0x7a))
                (call $log (i32.const 131071) (i32.const 1))
                (call $log (i32.const 131072) (i32.const 1))
                (call $report (call $proxy_get_log_level (i32.const 131068)))
                (call $report (i32.load (i32.const 131068))))
        "#,
        hostcalls: &[proxy_log, proxy_get_log_level],
        spec: "host#getMemory",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.vm.memory_size(), 65536);
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!(guest.seen(), ["6", "1", "z", "0", "6", "0", "0"]);
            assert_eq!(guest.vm.memory_size(), 131_072);
        },
    },
    Case {
        name: "ranges_may_overlap",
        guest: r#"
            (data (i32.const 1024) "abc")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $report (call $proxy_set_property (i32.const 1024) (i32.const 2) (i32.const 1025) (i32.const 2)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_set_property],
        spec: "v0.2.1#proxy_set_property",
        run: |case, engine| assert_eq!(case.request(engine, &[]), ["0"]),
    },
];
