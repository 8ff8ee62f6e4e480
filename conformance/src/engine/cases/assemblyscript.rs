//! Imports of AssemblyScript and Emscripten besides the ABI; some of them in floating point.

use portcullis::abi::{
    HostcallId::abort, HostcallId::emscripten_notify_memory_growth, HostcallId::now, HostcallId::pthread_equal,
    HostcallId::seed, HostcallId::trace,
};
use portcullis::vm::VmFailed;

use crate::engine::case::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "abort_ends_the_vm_with_its_message",
        guest: r#"
            (data (i32.const 1024) "\04\00\00\00n\00o\00\06\00\00\00a\00.\00t\00")
            (func (export "proxy_on_tick") (param i32)
                (call $abort (i32.const 1028) (i32.const 1036) (i32.const 7) (i32.const 9))
                (call $report (i32.const 1)))
        "#,
        hostcalls: &[abort],
        spec: "portcullis#AssemblyScript",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!((guest.tick(), guest.failure()), (Err(VmFailed), "the plugin aborted: no at a.t:7:9"));
            assert_eq!(guest.seen(), [""; 0]);
        },
    },
    Case {
        name: "floating_point_crosses_both_ways",
        guest: r#"
            (data (i32.const 1024) "\0c\00\00\00n\00u\00m\00b\00e\00r\00")
            (func (export "proxy_on_tick") (param i32)
                (call $trace (i32.const 1028) (i32.const 3)
                    (f64.const 1.5) (f64.const -2) (f64.const 1e300) (f64.const 4) (f64.const 5))
                (call $report64 (i64.trunc_f64_u (call $now)))
                (call $report64 (i64.trunc_f64_u (call $seed))))
        "#,
        hostcalls: &[trace, now, seed],
        spec: "portcullis#AssemblyScript",
        run: |case, engine| {
            let line = format!("number 1.5 -2 {}", 1e300_f64);
            assert_eq!(case.tick(engine), [line.as_str(), "1700000000123", "67305985"]);
        },
    },
    Case {
        name: "what_emscripten_imports",
        guest: r#"
            (func (export "malloc") (param i32) (result i32) (i32.const 2048))
            (func (export "proxy_on_tick") (param i32)
                (call $emscripten_notify_memory_growth (i32.const 0))
                (call $report (call $pthread_equal (i32.const -1) (i32.const -1)))
                (call $report (call $pthread_equal (i32.const 1) (i32.const 2))))
        "#,
        hostcalls: &[emscripten_notify_memory_growth, pthread_equal],
        spec: "host#exports",
        run: |case, engine| assert_eq!(case.tick(engine), ["1", "0"]),
    },
];
