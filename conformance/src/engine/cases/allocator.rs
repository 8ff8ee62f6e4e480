//! The guest's allocator, which the host calls in the middle of a hostcall.

use portcullis::abi::LogLevel;
use portcullis::abi::{
    HostcallId::clock_time_get, HostcallId::fd_write, HostcallId::poll_oneoff, HostcallId::proxy_done,
    HostcallId::proxy_get_buffer_bytes, HostcallId::proxy_get_header_map_pairs, HostcallId::proxy_get_header_map_value,
    HostcallId::proxy_set_effective_context,
};
use portcullis::model::{Direction, Plugin};
use portcullis::rights::Capabilities;
use portcullis::vm::VmFailed;

use crate::engine::case::Case;
use crate::engine::running::Setup;

const HELLO: &[(&str, &str)] = &[("a", "hello")];

pub(super) const CASES: &[Case] = &[
    Case {
        name: "called_with_exact_sizes_and_never_with_0",
        guest: r#"
            (global $next (mut i32) (i32.const 4096))
            (func (export "malloc") (param i32) (result i32)
                (call $report (local.get 0))
                (global.get $next)
                (global.set $next (i32.add (global.get $next) (local.get 0))))
            (data (i32.const 1024) "aempty")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $answer (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 4)))
                (call $answer (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1025) (i32.const 5) (i32.const 0) (i32.const 4)))
                (call $answer (call $proxy_get_buffer_bytes
                    (i32.const 0) (i32.const 0) (i32.const 10) (i32.const 0) (i32.const 4)))
                (call $report (call $proxy_get_header_map_pairs (i32.const 0) (i32.const 0) (i32.const 4)))
                (call $report (i32.load (i32.const 0)))
                (call $report (i32.load (i32.const 4)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_header_map_value, proxy_get_header_map_pairs, proxy_get_buffer_bytes],
        spec: "v0.2.1#proxy_on_memory_allocate",
        run: |case, engine| {
            let seen = case.request(engine, &[("a", "hello"), ("empty", "")]);
            assert_eq!(seen, ["5", "0", "5", "hello", "0", "0", "0", "0", "35", "0", "4101", "35"]);
        },
    },
    Case {
        name: "malloc_is_called_where_both_are_exported",
        guest: r#"
            (func (export "proxy_on_memory_allocate") (param i32) (result i32) unreachable)
            (func (export "malloc") (param i32) (result i32) (call $report (i32.const 1)) (i32.const 2048))
            (data (i32.const 1024) "a")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $answer (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 4)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_header_map_value],
        spec: "host#WasmBase::getFunctions",
        run: |case, engine| assert_eq!(case.request(engine, HELLO), ["1", "0", "5", "hello"]),
    },
    Case {
        name: "proxy_on_memory_allocate_is_enough",
        guest: r#"
            (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 65531))
            (data (i32.const 1024) "a")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $report (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 4)))
                (call $report (i32.load (i32.const 0)))
                (call $dump (i32.const 65531) (i32.const 5))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_header_map_value],
        spec: "v0.2.1#proxy_on_memory_allocate",
        run: |case, engine| assert_eq!(case.request(engine, HELLO), ["0", "65531", "hello"]),
    },
    Case {
        name: "returning_0_is_bad_memory",
        guest: r#"
            (func (export "malloc") (param i32) (result i32) (i32.const 0))
            (data (i32.const 1024) "a")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $report (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 4)))
                (call $report64 (i64.load (i32.const 0)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_header_map_value],
        spec: "host#copyToPointerSize",
        run: |case, engine| assert_eq!(case.request(engine, HELLO), ["6", "-1"]),
    },
    Case {
        name: "returning_what_does_not_fit_is_bad_memory",
        guest: r#"
            (global $address (mut i32) (i32.const 65532))
            (func (export "malloc") (param i32) (result i32) (global.get $address))
            (data (i32.const 1024) "a")
            (func $get
                (call $answer (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 4))))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $get)
                (global.set $address (i32.const -2))
                (call $get)
                (global.set $address (i32.const 65531))
                (call $get)
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_header_map_value],
        spec: "host#copyToPointerSize",
        run: |case, engine| assert_eq!(case.request(engine, HELLO), ["6", "-1", "6", "-1", "0", "5", "hello"]),
    },
    Case {
        name: "a_bad_out_pointer_is_noticed_after_the_allocation",
        guest: r#"
            (func (export "malloc") (param i32) (result i32) (call $report (local.get 0)) (i32.const 2048))
            (data (i32.const 1024) "a")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $report (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 65533) (i32.const 4)))
                (call $report (i32.load (i32.const 4)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_header_map_value],
        spec: "host#copyToPointerSize",
        run: |case, engine| assert_eq!(case.request(engine, HELLO), ["5", "6", "-1"]),
    },
    Case {
        name: "it_may_grow_memory",
        guest: r#"
            (func (export "malloc") (param i32) (result i32)
                (i32.mul (memory.grow (i32.const 100)) (i32.const 65536)))
            (data (i32.const 1024) "a")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $report (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 6619132)))
                (call $report (i32.load (i32.const 0)))
                (call $dump (i32.load (i32.const 0)) (i32.load (i32.const 6619132)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_header_map_value],
        spec: "v0.2.1#proxy_on_memory_allocate",
        run: |case, engine| assert_eq!(case.request(engine, HELLO), ["0", "65536", "hello"]),
    },
    Case {
        name: "a_trap_in_it_ends_the_vm",
        guest: r#"
            (func $broken (export "malloc") (param i32) (result i32) unreachable)
            (data (i32.const 1024) "a")
            (func $asks (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $report (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 4)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_header_map_value],
        spec: "host#WasmBase::fail",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(HELLO);
            assert_eq!(guest.headers(stream), Err(VmFailed));
            assert!(guest.failure().starts_with("trap: unreachable"), "{}", guest.failure());
            assert_eq!(guest.seen(), [""; 0]);
        },
    },
    Case {
        name: "it_runs_in_the_vm_context_and_the_effective_context_is_kept",
        guest: r#"
            (func (export "malloc") (param i32) (result i32) (call $report (i32.const 1)) (i32.const 2048))
            (data (i32.const 1024) "a")
            (func $get
                (call $answer (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 4))))
            (func (export "proxy_on_tick") (param i32)
                (drop (call $proxy_set_effective_context (i32.const 2)))
                (call $get)
                (call $get))
        "#,
        hostcalls: &[proxy_get_header_map_value, proxy_set_effective_context],
        spec: "host#SaveRestoreContext",
        run: |case, engine| {
            let mut guest = case.start(engine);
            guest.open(HELLO);
            assert_eq!(guest.tick(), Ok(()));
            let lines: Vec<_> = guest.lines().into_iter().map(|line| (line.text, line.context)).collect();
            let lines: Vec<_> = lines.iter().map(|(text, context)| (text.as_str(), context.as_str())).collect();
            let once = [("1", "0"), ("0", "1"), ("5", "1"), ("hello", "1")];
            assert_eq!(lines, [once, once].concat());
        },
    },
    Case {
        name: "it_may_log_write_and_tell_the_time",
        guest: r#"
            (data (i32.const 1024) "awritten")
            (data (i32.const 1040) "\01\04\00\00\07\00\00\00")
            (func (export "malloc") (param i32) (result i32)
                (call $report (call $fd_write (i32.const 2) (i32.const 1040) (i32.const 1) (i32.const 1100)))
                (call $report (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 1104)))
                (call $report (call $poll_oneoff (i32.const 1120) (i32.const 1168) (i32.const 1) (i32.const 1112)))
                (i32.const 2048))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $answer (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 4)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_header_map_value, fd_write, clock_time_get, poll_oneoff],
        spec: "host#isHostFunctionAllowed",
        run: |case, engine| assert_eq!(case.request(engine, HELLO), ["written", "0", "0", "0", "0", "5", "hello"]),
    },
    Case {
        name: "anything_else_that_it_calls_ends_the_vm",
        guest: r#"
            (func (export "malloc") (param i32) (result i32) (call $report (call $proxy_done)) (i32.const 2048))
            (data (i32.const 1024) "a")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $report (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 4)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_header_map_value, proxy_done],
        spec: "host#restricted_callback",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(HELLO);
            assert_eq!(guest.headers(stream), Err(VmFailed));
            assert_eq!(
                guest.failure(),
                "the plugin called proxy_done, which is not allowed while the host runs the plugin's allocator"
            );
            assert_eq!(guest.seen(), [""; 0]);
            assert_eq!(guest.vm.on_body(stream, Direction::Request, true), Err(VmFailed));
        },
    },
    Case {
        name: "what_the_plugin_may_never_call_is_answered_there_too",
        guest: r#"
            (func (export "malloc") (param i32) (result i32) (call $report (call $proxy_done)) (i32.const 2048))
            (data (i32.const 1024) "a")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $answer (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 4)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_header_map_value, proxy_done],
        spec: "host#capability restriction",
        run: |case, engine| {
            let mut plugin = Plugin::new("test");
            plugin.capabilities = Capabilities::ALL.without(proxy_done);
            let mut guest = case.start_with(engine, Setup { plugin, ..Setup::default() });
            let stream = guest.open(HELLO);
            assert!(guest.headers(stream).is_ok());
            let (notes, lines): (Vec<_>, Vec<_>) = guest.lines().into_iter().partition(|line| line.from_host);
            assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["10", "0", "5", "hello"]);
            assert_eq!(notes.iter().map(|line| line.level).collect::<Vec<_>>(), [LogLevel::Warn]);
        },
    },
];
