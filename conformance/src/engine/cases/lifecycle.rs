//! Which callbacks are called, with what, in which order.

use bytes::Bytes;
use portcullis::abi::{DataStatus, HeadersStatus, TrailersStatus};
use portcullis::abi::{
    HostcallId::proxy_done, HostcallId::proxy_get_buffer_bytes, HostcallId::proxy_get_configuration,
    HostcallId::proxy_log,
};
use portcullis::model::{Action, Direction, Plugin, StreamInfo};

use crate::engine::case::Case;
use crate::engine::running::Setup;

fn configured() -> Setup {
    let mut plugin = Plugin::new("test");
    plugin.configuration = Bytes::from_static(b"for the plugin");
    Setup { plugin, configuration: Bytes::from_static(b"for the VM"), ..Setup::default() }
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a_plugin_is_created_started_and_configured",
        guest: r#"
            (func $buffer (param i32)
                (call $answer (call $proxy_get_buffer_bytes
                    (local.get 0) (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 4))))
            (func (export "proxy_on_context_create") (param i32 i32)
                (call $report (i32.const 100)) (call $report (local.get 0)) (call $report (local.get 1)))
            (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
                (call $report (i32.const 200)) (call $report (local.get 0)) (call $report (local.get 1))
                (call $buffer (i32.const 6)) (call $buffer (i32.const 7))
                (i32.const 1))
            (func (export "proxy_on_configure") (param i32 i32) (result i32)
                (call $report (i32.const 300)) (call $report (local.get 0)) (call $report (local.get 1))
                (call $buffer (i32.const 6)) (call $buffer (i32.const 7))
                (i32.const 1))
        "#,
        hostcalls: &[proxy_get_buffer_bytes],
        spec: "v0.2.1#proxy_on_configure",
        run: |case, engine| {
            let (vm, plugin) = (["0", "10", "for the VM"], ["0", "14", "for the plugin"]);
            let expected =
                [&["100", "1", "0", "200", "1", "10"][..], &vm, &["1", "-1", "300", "1", "14"], &vm, &plugin];
            assert_eq!(case.start_with(engine, configured()).seen(), expected.concat());
        },
    },
    Case {
        name: "the_configuration_of_0_1_0_depends_on_the_callback",
        guest: r#"
            (func (export "proxy_abi_version_0_1_0"))
            (func $read (call $answer (call $proxy_get_configuration (i32.const 0) (i32.const 4))))
            (func (export "proxy_on_context_create") (param i32 i32) (call $read))
            (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (call $read) (i32.const 1))
            (func (export "proxy_on_configure") (param i32 i32) (result i32) (call $read) (i32.const 1))
        "#,
        hostcalls: &[proxy_get_configuration],
        spec: "v0.1.0#proxy_get_configuration",
        run: |case, engine| {
            let (vm, plugin) = (["0", "10", "for the VM"], ["0", "14", "for the plugin"]);
            assert_eq!(case.start_with(engine, configured()).seen(), [plugin, vm, plugin].concat());
        },
    },
    Case {
        name: "vm_start_and_configure_may_refuse",
        guest: r#"
            (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.eqz (local.get 1)))
            (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.eqz (local.get 1)))
        "#,
        hostcalls: &[],
        spec: "v0.2.1#proxy_on_vm_start",
        run: |case, engine| {
            let refusal = |setup| case.try_start(engine, setup).map(drop).map_err(|error| error.to_string());
            assert_eq!(refusal(Setup::default()), Ok(()));
            let setup = Setup { configuration: Bytes::new(), ..configured() };
            let error =
                "plugin \"test\" refused its configuration: proxy_on_configure returned false; its log says why";
            assert_eq!(refusal(setup), Err(error.to_owned()));
            let error = "plugin \"test\" refused to start: proxy_on_vm_start returned false; its log says why";
            assert_eq!(refusal(configured()), Err(error.to_owned()));
        },
    },
    Case {
        name: "a_stream_from_its_beginning_to_its_end",
        guest: r#"
            (func $see (param i32 i32 i32 i32)
                (call $report (local.get 0)) (call $report (local.get 1))
                (call $report (local.get 2)) (call $report (local.get 3)))
            (func (export "proxy_on_context_create") (param i32 i32)
                (call $see (i32.const 10) (local.get 0) (local.get 1) (i32.const -1)))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $see (i32.const 20) (local.get 0) (local.get 1) (local.get 2)) (i32.const 0))
            (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
                (call $see (i32.const 21) (local.get 0) (local.get 1) (local.get 2)) (i32.const 0))
            (func (export "proxy_on_request_trailers") (param i32 i32) (result i32)
                (call $see (i32.const 22) (local.get 0) (local.get 1) (i32.const -1)) (i32.const 0))
            (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
                (call $see (i32.const 30) (local.get 0) (local.get 1) (local.get 2)) (i32.const 0))
            (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
                (call $see (i32.const 31) (local.get 0) (local.get 1) (local.get 2)) (i32.const 0))
            (func (export "proxy_on_response_trailers") (param i32 i32) (result i32)
                (call $see (i32.const 32) (local.get 0) (local.get 1) (i32.const -1)) (i32.const 0))
            (func (export "proxy_on_log") (param i32)
                (call $see (i32.const 40) (local.get 0) (i32.const -1) (i32.const -1)))
            (func (export "proxy_on_done") (param i32) (result i32)
                (call $see (i32.const 41) (local.get 0) (i32.const -1) (i32.const -1)) (i32.const 0))
            (func (export "proxy_on_delete") (param i32)
                (call $see (i32.const 42) (local.get 0) (i32.const -1) (i32.const -1)))
        "#,
        hostcalls: &[],
        spec: "v0.2.1#HTTP (L7) extensions",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.seen(), ["10", "1", "0", "-1"]);
            let stream = guest.open(&[("a", "1"), ("a", "2"), ("b", "3")]);
            assert_eq!(guest.seen(), ["10", "2", "1", "-1"]);
            assert_eq!(guest.vm.on_headers(stream, Direction::Request, false), Ok(HeadersStatus::Continue));
            guest.lend_body(stream, Direction::Request, "12345");
            assert_eq!(guest.vm.on_body(stream, Direction::Request, true), Ok(DataStatus::Continue));
            assert_eq!(guest.vm.on_trailers(stream, Direction::Request), Ok(TrailersStatus::Continue));
            assert_eq!(guest.seen(), ["20", "2", "3", "0", "21", "2", "5", "1", "22", "2", "0", "-1"]);
            guest.lend(stream, Direction::Response, &[(":status", "200")]);
            assert_eq!(guest.vm.on_headers(stream, Direction::Response, true), Ok(HeadersStatus::Continue));
            assert_eq!(guest.vm.on_body(stream, Direction::Response, false), Ok(DataStatus::Continue));
            assert_eq!(guest.vm.on_trailers(stream, Direction::Response), Ok(TrailersStatus::Continue));
            assert_eq!(guest.seen(), ["30", "2", "1", "1", "31", "2", "0", "0", "32", "2", "0", "-1"]);
            assert_eq!(guest.vm.on_log(stream), Ok(()));
            assert_eq!(guest.vm.on_done(stream), Ok(()));
            assert_eq!(guest.vm.delete(stream), Ok(()));
            assert_eq!(guest.seen(), ["40", "2", "-1", "-1", "41", "2", "-1", "-1", "42", "2", "-1", "-1"]);
            assert_eq!(guest.vm.context_count(), 1);
        },
    },
    Case {
        name: "what_is_not_exported_lets_everything_pass",
        guest: "",
        hostcalls: &[],
        spec: "v0.2.1#Callbacks",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[("a", "1")]);
            for direction in [Direction::Request, Direction::Response] {
                assert_eq!(guest.vm.on_headers(stream, direction, false), Ok(HeadersStatus::Continue));
                assert_eq!(guest.vm.on_body(stream, direction, false), Ok(DataStatus::Continue));
                assert_eq!(guest.vm.on_trailers(stream, direction), Ok(TrailersStatus::Continue));
            }
            assert_eq!((guest.vm.on_log(stream), guest.vm.on_done(stream)), (Ok(()), Ok(())));
            assert_eq!((guest.vm.delete(stream), guest.tick()), (Ok(()), Ok(())));
            assert_eq!(guest.vm.end_root(guest.root), Ok(true));
            assert_eq!(guest.lines(), []);
        },
    },
    Case {
        name: "a_root_that_asks_for_time_ends_when_it_says_so",
        guest: r#"
            (func (export "proxy_on_done") (param i32) (result i32) (call $report (call $proxy_done)) (i32.const 0))
            (func (export "proxy_on_tick") (param i32) (call $report (call $proxy_done)))
        "#,
        hostcalls: &[proxy_done],
        spec: "v0.2.1#proxy_done",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!(guest.vm.end_root(guest.root), Ok(false));
            assert_eq!((guest.seen(), guest.actions()), (vec!["1".to_owned(), "1".to_owned()], vec![]));
            assert_eq!((guest.tick(), guest.tick()), (Ok(()), Ok(())));
            assert_eq!(guest.seen(), ["0", "1"]);
            assert_eq!(guest.actions(), [Action::RootDone { root: guest.root }]);
        },
    },
    Case {
        name: "plugins_of_a_vm_share_its_memory_and_its_counter_of_contexts",
        guest: r#"
            (global $count (mut i32) (i32.const 0))
            (func (export "proxy_on_context_create") (param i32 i32)
                (global.set $count (i32.add (global.get $count) (i32.const 1)))
                (call $report (global.get $count))
                (call $report (local.get 0))
                (call $report (local.get 1)))
            (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
                (drop (call $proxy_log (i32.const 2) (i32.const 0) (i32.const 0)))
                (i32.const 1))
        "#,
        hostcalls: &[proxy_log],
        spec: "v0.2.1#proxy_on_context_create",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let second = guest.vm.add_plugin(Plugin::new("second").into()).unwrap();
            assert!(guest.vm.create_stream(second, StreamInfo::default().into_shared()).is_ok());
            let lines: Vec<_> =
                guest.lines().into_iter().map(|line| format!("{}:{}", line.plugin, line.text)).collect();
            let expected = ["test:1", "test:1", "test:0", "test:", "second:2", "second:2", "second:0", "second:"];
            assert_eq!(lines, [&expected[..], &["second:3", "second:3", "second:2"]].concat());
        },
    },
];
