//! Code that runs before any plugin exists.

use portcullis::abi::{
    HostcallId::args_sizes_get, HostcallId::clock_time_get, HostcallId::environ_sizes_get, HostcallId::fd_fdstat_get,
    HostcallId::proxy_done, HostcallId::proxy_get_current_time_nanoseconds, HostcallId::proxy_log,
    HostcallId::random_get,
};

use crate::engine::case::Case;
use crate::engine::running::Setup;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "initialize_then_main",
        guest: r#"
            (func (export "_start") (call $report (i32.const 4)))
            (func (export "__main_void") (result i32) (call $report (i32.const 3)) (i32.const 0))
            (func (export "main") (param i32 i32) (result i32)
                (call $report (i32.const 2))
                (call $report (local.get 0))
                (call $report (local.get 1))
                (i32.const 1))
            (func (export "_initialize") (call $report (i32.const 1)))
        "#,
        hostcalls: &[],
        spec: "v0.2.1#Integration",
        run: |case, engine| assert_eq!(case.start(engine).seen(), ["1", "2", "0", "0"]),
    },
    Case {
        name: "initialize_then_main_void_where_main_is_absent",
        guest: r#"
            (func (export "_start") (call $report (i32.const 4)))
            (func (export "__main_void") (result i32) (call $report (i32.const 3)) (i32.const 1))
            (func (export "_initialize") (call $report (i32.const 1)))
        "#,
        hostcalls: &[],
        spec: "host#WasmBase::startVm",
        run: |case, engine| assert_eq!(case.start(engine).seen(), ["1", "3"]),
    },
    Case {
        name: "start_where_initialize_is_absent",
        guest: r#"
            (func (export "_start") (call $report (i32.const 4)))
            (func (export "__main_void") (result i32) (call $report (i32.const 3)) (i32.const 0))
            (func (export "main") (param i32 i32) (result i32) (call $report (i32.const 2)) (i32.const 0))
        "#,
        hostcalls: &[],
        spec: "v0.2.1#Integration",
        run: |case, engine| assert_eq!(case.start(engine).seen(), ["4"]),
    },
    Case {
        name: "the_start_section_runs_first_and_may_log_unheard",
        guest: r#"
            (global $status (mut i32) (i32.const -1))
            (start $early)
            (func $early (global.set $status (call $proxy_log (i32.const 2) (i32.const 1024) (i32.const 1))))
            (func (export "_initialize") (call $report (global.get $status)))
        "#,
        hostcalls: &[proxy_log],
        // The host does not know the memory yet.
        spec: "portcullis#start section",
        run: |case, engine| assert_eq!(case.start(engine).seen(), ["6"]),
    },
    Case {
        name: "a_restricted_hostcall_in_initialize_refuses_the_vm",
        guest: r#"
            (func (export "_initialize") (drop (call $proxy_get_current_time_nanoseconds (i32.const 0))))
        "#,
        hostcalls: &[proxy_get_current_time_nanoseconds],
        spec: "host#restricted_callback",
        run: |case, engine| {
            assert_eq!(
                case.try_start(engine, Setup::default()).unwrap_err().to_string(),
                "_initialize failed: the plugin called proxy_get_current_time_nanoseconds, which is not allowed \
                 before the VM has started"
            );
        },
    },
    Case {
        name: "a_restricted_hostcall_in_the_start_section_refuses_the_vm",
        guest: r#"
            (start $early)
            (func $early (drop (call $proxy_done)))
        "#,
        hostcalls: &[proxy_done],
        spec: "host#restricted_callback",
        run: |case, engine| {
            let error = case.try_start(engine, Setup::default()).unwrap_err();
            let reason = "the plugin called proxy_done, which is not allowed before the VM has started";
            assert_eq!(error.to_string(), format!("the start section failed: {reason}"));
        },
    },
    Case {
        name: "what_a_runtime_needs_is_allowed_in_start_functions",
        guest: r#"
            (func $run
                (call $report (call $random_get (i32.const 1024) (i32.const 4)))
                (call $report (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 1024)))
                (call $report (call $environ_sizes_get (i32.const 1024) (i32.const 1028)))
                (call $report (call $args_sizes_get (i32.const 1024) (i32.const 1028)))
                (call $report (call $fd_fdstat_get (i32.const 1) (i32.const 1024))))
            (func (export "_start") (call $run))
        "#,
        hostcalls: &[random_get, clock_time_get, environ_sizes_get, args_sizes_get, fd_fdstat_get],
        spec: "host#isHostFunctionAllowed",
        run: |case, engine| {
            let lines = case.start(engine).lines();
            let of_no_plugin =
                |line: &crate::engine::Line| line.text == "0" && line.plugin.is_empty() && line.context == "0";
            assert!(lines.len() == 5 && lines.iter().all(of_no_plugin), "{lines:?}");
        },
    },
    Case {
        name: "a_trap_in_main_refuses_the_vm",
        guest: r#"
            (func (export "_initialize"))
            (func $broken (export "main") (param i32 i32) (result i32) unreachable)
        "#,
        hostcalls: &[],
        spec: "v0.2.1#Integration",
        run: |case, engine| {
            let error = case.try_start(engine, Setup::default()).unwrap_err().to_string();
            assert!(error.starts_with("main failed: trap: unreachable"), "{error}");
        },
    },
];
