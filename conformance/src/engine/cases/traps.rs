//! Guests that fail.

use std::time::Duration;

use portcullis::abi::LogLevel;
use portcullis::abi::{HostcallId::proc_exit, HostcallId::proxy_continue_stream};
use portcullis::model::{CallId, Direction, Limits, Plugin, StreamInfo};
use portcullis::vm::{CallOutcome, VmFailed};

use crate::engine::case::Case;
use crate::engine::running::Setup;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "the_message_names_the_functions",
        guest: r#"
            (func $inner unreachable)
            (func $outer (call $inner))
            (func (export "proxy_on_tick") (param i32) (call $outer))
        "#,
        hostcalls: &[],
        spec: "portcullis#trap messages",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.tick(), Err(VmFailed));
            let reason = guest.failure().to_owned();
            // The import is function 0.
            assert_eq!(reason, "trap: unreachable in inner, called by outer, by function 3");
            let lines = guest.lines();
            let note = format!("proxy_on_tick failed: {reason}").escape_default().to_string();
            let expected = (LogLevel::Error, note.as_str(), "test", true);
            let found =
                lines.first().map(|line| (line.level, line.text.as_str(), line.plugin.as_str(), line.from_host));
            assert_eq!((lines.len(), found), (1, Some(expected)));
        },
    },
    Case {
        name: "a_deadline_names_the_functions",
        guest: r#"
            (func $spin (loop (br 0)))
            (func (export "proxy_on_tick") (param i32) (call $spin))
        "#,
        hostcalls: &[],
        spec: "portcullis#trap messages",
        run: |case, engine| {
            let limits = Limits::default().with_deadline(Duration::from_millis(20));
            let mut guest = case.start_with(engine, Setup { limits, ..Setup::default() });
            assert_eq!(guest.tick(), Err(VmFailed));
            let passed = "deadline: 20ms (limits.deadline) passed in spin, called by function 2";
            assert_eq!(guest.failure(), passed);
        },
    },
    Case {
        name: "endless_recursion_names_the_functions",
        guest: r#"
            (func $deep (param i32) (result i32)
                (i32.add (local.get 0) (call $deep (i32.add (local.get 0) (i32.const 1)))))
            (func (export "proxy_on_tick") (param i32) (drop (call $deep (i32.const 0))))
        "#,
        hostcalls: &[],
        spec: "portcullis#trap messages",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.tick(), Err(VmFailed));
            let used = "stack: more than 524288 bytes (limits.stack) were used in deep, called by deep, by deep";
            assert!(guest.failure().starts_with(used), "{}", guest.failure());
        },
    },
    Case {
        name: "names_of_rust_functions_are_readable",
        guest: r#"
            (func $_ZN4core9panicking5panic17h0123456789abcdefE unreachable)
            (func (export "proxy_on_tick") (param i32) (call $_ZN4core9panicking5panic17h0123456789abcdefE))
        "#,
        hostcalls: &[],
        spec: "portcullis#trap messages",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.tick(), Err(VmFailed));
            assert_eq!(guest.failure(), "trap: unreachable in core::panicking::panic, called by function 2");
        },
    },
    Case {
        name: "other_traps_fail_the_vm_too",
        guest: r#"
            (table 1 funcref)
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (i32.div_u (local.get 0) (i32.sub (local.get 1) (local.get 1))))
            (func (export "proxy_on_tick") (param i32) (drop (i32.load (i32.const -4))))
            (func (export "proxy_on_log") (param i32) (call_indirect (i32.const 0)))
            (func (export "proxy_on_delete") (param i32) (drop (i32.trunc_f64_s (f64.const nan))))
        "#,
        hostcalls: &[],
        spec: "host#WasmBase::fail",
        run: |case, engine| {
            for (callback, reason) in [
                ("headers", "integer divide by zero"),
                ("tick", "out of bounds memory access"),
                ("log", "indirect call to null"),
                ("delete", "invalid conversion to integer"),
            ] {
                let mut guest = case.start(engine);
                let stream = guest.open(&[]);
                let failed = match callback {
                    "headers" => guest.headers(stream).is_err(),
                    "tick" => guest.tick().is_err(),
                    "log" => guest.vm.on_log(stream).is_err(),
                    _ => guest.vm.delete(stream).is_err(),
                };
                let found = guest.failure();
                assert!(failed && found.starts_with(&format!("trap: {reason}")), "{callback}: {found}");
            }
        },
    },
    Case {
        name: "nothing_is_called_in_a_failed_vm",
        guest: r#"
            (global $failed (mut i32) (i32.const 0))
            (func $see (if (global.get $failed) (then (call $report (i32.const 1)))))
            (func (export "proxy_on_context_create") (param i32 i32) (call $see))
            (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (call $see) (i32.const 0))
            (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32) (call $see))
            (func (export "proxy_on_log") (param i32) (call $see))
            (func (export "proxy_on_done") (param i32) (result i32) (call $see) (i32.const 1))
            (func (export "proxy_on_delete") (param i32) (call $see))
            (func (export "proxy_on_tick") (param i32)
                (global.set $failed (i32.const 1))
                unreachable)
        "#,
        hostcalls: &[],
        spec: "host#WasmBase::fail",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[]);
            let root = guest.root;
            assert_eq!((guest.tick(), guest.tick()), (Err(VmFailed), Err(VmFailed)));
            let vm = &mut guest.vm;
            assert_eq!(vm.create_stream(root, StreamInfo::default().into_shared()), Err(VmFailed));
            assert_eq!(vm.on_body(stream, Direction::Request, true), Err(VmFailed));
            assert_eq!(vm.on_http_call_response(CallId(4), CallOutcome::Reset(String::new())), Ok(()));
            assert_eq!((vm.on_log(stream), vm.on_done(stream)), (Err(VmFailed), Err(VmFailed)));
            assert_eq!((vm.delete(stream), vm.end_root(root)), (Err(VmFailed), Err(VmFailed)));
            assert!(vm.add_plugin(Plugin::new("late").into()).is_err());
            assert_eq!(guest.seen(), [""; 0]);
        },
    },
    Case {
        name: "proc_exit_ends_the_vm_and_what_was_asked_before_remains",
        guest: r#"
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (drop (call $proxy_continue_stream (i32.const 0)))
                (call $proc_exit (i32.const -3))
                (call $report (i32.const 1))
                (i32.const 0))
        "#,
        hostcalls: &[proc_exit, proxy_continue_stream],
        // The reference host returns to the guest.
        spec: "portcullis#proc_exit",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[]);
            assert_eq!((guest.headers(stream), guest.failure()), (Err(VmFailed), "the plugin called proc_exit(-3)"));
            assert_eq!((guest.seen(), guest.actions().len()), (vec![], 1));
        },
    },
];
