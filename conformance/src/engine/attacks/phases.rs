//! Calls from where a plugin's rights do not hold, and callbacks into a plugin that lost them.

use portcullis::abi::{HostcallId::proxy_get_property, HostcallId::proxy_set_shared_data};
use portcullis::model::Plugin;
use portcullis::rights::Capabilities;

use crate::engine::case::Case;
use crate::engine::running::Setup;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "hostcalls_from_the_allocator",
        guest: r#"
            (data (i32.const 1024) "plugin_name")
            (global $attacks (mut i32) (i32.const 0))
            (func (export "malloc") (param i32) (result i32)
                (if (global.get $attacks)
                    (then (drop (call $proxy_set_shared_data
                        (i32.const 1024) (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 0)))))
                (i32.const 4096))
            (func $read (call $report (call $proxy_get_property
                (i32.const 1024) (i32.const 11) (i32.const 0) (i32.const 4))))
            (func (export "proxy_on_tick") (param i32)
                (call $read)
                (global.set $attacks (i32.const 1))
                (call $read))
        "#,
        hostcalls: &[proxy_get_property, proxy_set_shared_data],
        spec: "host#restricted callbacks",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert!(guest.tick().is_err());
            assert_eq!(guest.seen(), ["0"], "the control: an allocator that allocates");
            assert!(guest.failure().contains("proxy_set_shared_data, which is not allowed while the host runs"));
        },
    },
    Case {
        name: "hostcalls_from_the_start_section",
        guest: r#"
            (func $start (drop (call $proxy_set_shared_data
                (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0))))
            (start $start)
        "#,
        hostcalls: &[proxy_set_shared_data],
        spec: "host#restricted callbacks",
        run: |case, engine| {
            let error = case.try_start(engine, Setup::default()).err().unwrap().to_string();
            assert!(error.contains("proxy_set_shared_data, which is not allowed before the VM has started"), "{error}");
            let guest = r#"(func $start (call $report (i32.const 1))) (start $start)"#;
            let control = Case { guest, hostcalls: &[], ..*case };
            assert!(control.try_start(engine, Setup::default()).is_ok(), "the control: a start section may log");
        },
    },
    Case {
        name: "hostcalls_from_initialize",
        guest: r#"
            (func (export "_initialize") (drop (call $proxy_set_shared_data
                (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0))))
        "#,
        hostcalls: &[proxy_set_shared_data],
        spec: "host#restricted callbacks",
        run: |case, engine| {
            let error = case.try_start(engine, Setup::default()).err().unwrap().to_string();
            assert!(error.contains("proxy_set_shared_data, which is not allowed before the VM has started"), "{error}");
            let guest = r#"(func (export "proxy_on_vm_start") (param i32 i32) (result i32)
                (call $report (call $proxy_set_shared_data
                    (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0))) (i32.const 1))"#;
            let control = Case { guest, ..*case };
            assert_eq!(control.start(engine).seen(), ["0"], "the control: once there is a plugin");
        },
    },
    Case {
        name: "a_callback_into_a_plugin_that_lost_it",
        guest: r#"(func (export "proxy_on_tick") (param i32) (call $report (i32.const 1)))"#,
        hostcalls: &[],
        spec: "host#capability restriction",
        run: |case, engine| {
            for (names, seen) in [(&["proxy_log"][..], &[][..]), (&["proxy_log", "proxy_on_tick"], &["1"])] {
                let capabilities = Capabilities::from_names(names.iter().copied()).unwrap();
                let plugin = Plugin::new("test").with_capabilities(capabilities);
                let mut guest = case.start_with(engine, Setup { plugin, ..Setup::default() });
                guest.tick().unwrap();
                assert_eq!(guest.seen(), seen);
            }
        },
    },
];
