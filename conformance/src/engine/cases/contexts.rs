//! Which context hostcalls act on.

use std::time::Duration;

use portcullis::abi::{
    HostcallId::proxy_get_header_map_value, HostcallId::proxy_set_effective_context,
    HostcallId::proxy_set_tick_period_milliseconds,
};
use portcullis::model::{Action, Direction, Plugin, StreamInfo};
use portcullis::rights::Capabilities;

use crate::engine::case::Case;
use crate::engine::running::Setup;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "the_effective_context_lasts_until_the_callback_returns",
        guest: r#"
            (data (i32.const 1024) "a")
            (global $context (mut i32) (i32.const 2))
            (func $get (call $answer (call $proxy_get_header_map_value
                (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 4))))
            (func (export "proxy_on_tick") (param i32)
                (call $get)
                (call $report (call $proxy_set_effective_context (global.get $context)))
                (call $get)
                (global.set $context (i32.const 0)))
        "#,
        hostcalls: &[proxy_get_header_map_value, proxy_set_effective_context],
        spec: "v0.2.1#proxy_set_effective_context",
        run: |case, engine| {
            let mut guest = case.start(engine);
            guest.open(&[("a", "1")]);
            assert_eq!((guest.tick(), guest.seen().join(" ").as_str()), (Ok(()), "2 -1 0 0 1 1"));
            assert_eq!((guest.tick(), guest.seen().join(" ").as_str()), (Ok(()), "2 -1 0 2 -1"));
        },
    },
    Case {
        name: "another_plugins_context_and_an_unknown_one_are_refused",
        guest: r#"
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_set_effective_context (i32.const 1)))
                (call $report (call $proxy_set_effective_context (i32.const 2)))
                (call $report (call $proxy_set_effective_context (i32.const 3)))
                (call $report (call $proxy_set_effective_context (i32.const 4)))
                (call $report (call $proxy_set_effective_context (i32.const -1))))
        "#,
        hostcalls: &[proxy_set_effective_context],
        // The reference host allows other plugins' contexts.
        spec: "portcullis#proxy_set_effective_context",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let other = guest.vm.add_plugin(Plugin::new("other").into()).unwrap();
            assert!(guest.vm.create_stream(other, StreamInfo::default().into_shared()).is_ok());
            guest.open(&[]);
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!(guest.seen(), ["0", "2", "2", "0", "2"]);
        },
    },
    Case {
        name: "a_deleted_context_is_unknown",
        guest: r#"
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_set_effective_context (i32.const 2))))
        "#,
        hostcalls: &[proxy_set_effective_context],
        spec: "v0.2.1#proxy_on_delete",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[]);
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!(guest.vm.delete(stream), Ok(()));
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!(guest.seen(), ["0", "2"]);
        },
    },
    Case {
        name: "a_stream_sets_the_tick_of_its_root",
        guest: r#"
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $report (call $proxy_set_tick_period_milliseconds (i32.const 250)))
                (call $report (call $proxy_set_tick_period_milliseconds (i32.const -1)))
                (i32.const 0))
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_set_tick_period_milliseconds (i32.const 0))))
        "#,
        hostcalls: &[proxy_set_tick_period_milliseconds],
        spec: "v0.2.1#proxy_set_tick_period_milliseconds",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let root = guest.root;
            let stream = guest.open(&[]);
            assert!(guest.headers(stream).is_ok());
            assert_eq!(guest.actions(), [Action::SetTick { root }]);
            assert_eq!(guest.vm.tick_period(root), Some(Duration::from_millis(u64::from(u32::MAX))));
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!((guest.actions(), guest.vm.tick_period(root)), (vec![Action::SetTick { root }], None));
            assert_eq!(guest.seen(), ["0", "0", "0"]);
        },
    },
    Case {
        name: "another_plugins_context_may_be_chosen_where_the_vm_allows_it_but_not_its_rights",
        guest: r#"
            (data (i32.const 1024) "a")
            (func $get (call $answer (call $proxy_get_header_map_value
                (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 4))))
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_set_effective_context (i32.const 3)))
                (call $get)
                (call $report (call $proxy_set_effective_context (i32.const 77))))
        "#,
        hostcalls: &[proxy_get_header_map_value, proxy_set_effective_context],
        spec: "host#proxy_set_effective_context",
        run: |case, engine| {
            for (capabilities, seen) in [
                (Capabilities::ALL, &["0", "0", "1", "1", "2"][..]),
                (Capabilities::ALL.without(proxy_get_header_map_value), &["0", "10", "-1", "2"]),
            ] {
                let plugin = Plugin::new("test").with_capabilities(capabilities);
                let setup = Setup { plugin, any_effective_context: true, ..Setup::default() };
                let mut guest = case.start_with(engine, setup);
                let other = guest.vm.add_plugin(Plugin::new("other").into()).unwrap();
                let stream = guest.vm.create_stream(other, StreamInfo::default().into_shared()).unwrap();
                guest.lend(stream, Direction::Request, &[("a", "1")]);
                assert_eq!(guest.tick(), Ok(()));
                assert_eq!(guest.seen(), seen);
            }
        },
    },
];
