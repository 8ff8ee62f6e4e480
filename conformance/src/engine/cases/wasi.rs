//! WASI preview 1 without files.

use portcullis::abi::{
    HostcallId::args_get, HostcallId::args_sizes_get, HostcallId::clock_res_get, HostcallId::clock_time_get,
    HostcallId::environ_get, HostcallId::environ_sizes_get, HostcallId::poll_oneoff, HostcallId::random_get,
    HostcallId::sched_yield,
};

use crate::engine::case::Case;
use crate::engine::running::Setup;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "the_environment_is_that_of_the_vm",
        guest: r#"
            (func (export "_initialize")
                (call $report (call $environ_sizes_get (i32.const 1024) (i32.const 1028)))
                (call $report (i32.load (i32.const 1024)))
                (call $report (i32.load (i32.const 1028)))
                (call $report (call $environ_get (i32.const 1033) (i32.const 1100)))
                (call $report (i32.load (i32.const 1033)))
                (call $report (i32.load (i32.const 1037)))
                (call $dump (i32.const 1100) (i32.const 9))
                (call $report (call $environ_get (i32.const 1033) (i32.const 65530))))
        "#,
        hostcalls: &[environ_sizes_get, environ_get],
        spec: "wasi#environ_get",
        run: |case, engine| {
            let environment = [("K", "v"), ("EMPTY", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
            let guest = case.start_with(engine, Setup { environment: environment.to_vec(), ..Setup::default() });
            let expected = ["0", "2", "11", "0", "1100", "1104", r"K=v\x00EMPTY", "21"];
            assert_eq!(guest.seen(), expected);
        },
    },
    Case {
        name: "there_are_no_arguments",
        guest: r#"
            (func (export "proxy_on_tick") (param i32)
                (i64.store (i32.const 1024) (i64.const -1))
                (call $report (call $args_sizes_get (i32.const 1024) (i32.const 1028)))
                (call $report64 (i64.load (i32.const 1024)))
                (call $report (call $args_get (i32.const 1024) (i32.const 1028)))
                (call $report (call $args_sizes_get (i32.const 1024) (i32.const -1))))
        "#,
        hostcalls: &[args_sizes_get, args_get],
        spec: "wasi#args_get",
        run: |case, engine| assert_eq!(case.tick(engine), ["0", "0", "0", "21"]),
    },
    Case {
        name: "clocks",
        guest: r#"
            (func $clock (param i32)
                (i64.store (i32.const 1025) (i64.const -1))
                (call $report (call $clock_time_get (local.get 0) (i64.const -1) (i32.const 1025)))
                (call $report64 (i64.load (i32.const 1025)))
                (call $report (call $clock_res_get (local.get 0) (i32.const 1025)))
                (call $report64 (i64.load (i32.const 1025))))
            (func (export "proxy_on_tick") (param i32)
                (call $clock (i32.const 0))
                (call $clock (i32.const 1))
                (call $clock (i32.const 2))
                (call $report (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 65529))))
        "#,
        hostcalls: &[clock_time_get, clock_res_get],
        spec: "wasi#clock_time_get",
        run: |case, engine| {
            let (wall, monotonic) = (["0", "1700000000123456789", "0", "1"], ["0", "42", "0", "1"]);
            assert_eq!(case.tick(engine), [&wall[..], &monotonic, &["58", "-1", "58", "-1", "21"]].concat());
        },
    },
    Case {
        name: "random_bytes",
        guest: r#"
            (func $random (param i32 i32) (call $report (call $random_get (local.get 0) (local.get 1))))
            (func (export "proxy_on_tick") (param i32)
                (call $random (i32.const 1025) (i32.const 3))
                (call $dump (i32.const 1024) (i32.const 5))
                (call $random (i32.const -1) (i32.const 0))
                (call $random (i32.const 65533) (i32.const 4))
                (call $random (i32.const 0) (i32.const 65537))
                (call $random (i32.const 0) (i32.const 65536)))
        "#,
        hostcalls: &[random_get],
        spec: "wasi#random_get",
        run: |case, engine| {
            assert_eq!(case.tick(engine), ["0", r"\x00\x01\x02\x03\x00", "0", "21", "28", "0"]);
        },
    },
    Case {
        name: "nothing_waits",
        guest: r#"
            (func (export "proxy_on_tick") (param i32)
                ;; A clock with the number 7, then standard output with the number 8.
                (i64.store (i32.const 1024) (i64.const 7))
                (i64.store (i32.const 1072) (i64.const 8))
                (i32.store8 (i32.const 1080) (i32.const 2))
                (i32.store (i32.const 1088) (i32.const 1))
                (call $report (call $poll_oneoff
                    (i32.const 1024) (i32.const 2048) (i32.const 1) (i32.const 1020)))
                (call $report (i32.load (i32.const 1020)))
                (call $dump (i32.const 2048) (i32.const 12))
                (call $report (call $poll_oneoff
                    (i32.const 1024) (i32.const 2048) (i32.const 2) (i32.const 1020)))
                (call $report (i32.load (i32.const 1020)))
                (call $dump (i32.const 2048) (i32.const 12))
                (call $report (call $poll_oneoff
                    (i32.const 1024) (i32.const 2048) (i32.const 0) (i32.const 1020)))
                (call $report (call $sched_yield)))
        "#,
        hostcalls: &[poll_oneoff, sched_yield],
        spec: "wasi#poll_oneoff",
        run: |case, engine| {
            let clock = r"\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
            let output = r"\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00";
            assert_eq!(case.tick(engine), ["0", "1", clock, "0", "1", output, "28", "0"]);
        },
    },
];
