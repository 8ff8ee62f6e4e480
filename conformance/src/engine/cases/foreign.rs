//! Foreign functions.

use portcullis::abi::Status;
use portcullis::abi::{
    HostcallId::proxy_call_foreign_function, HostcallId::proxy_get_buffer_bytes, HostcallId::proxy_get_property,
    HostcallId::proxy_set_buffer_bytes,
};
use portcullis::model::{Plugin, Steering, StreamInfo};
use portcullis::resources::ForeignFunctions;
use portcullis::rights::Capabilities;

use crate::engine::case::Case;
use crate::engine::running::Setup;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "the_guest_gets_status_and_result_where_it_wants_them",
        guest: r#"
            (data (i32.const 1024) "reversefailnone")
            (func $call (param $name i32) (param $len i32) (param $ptr i32) (param $size i32) (result i32)
                (call $proxy_call_foreign_function
                    (local.get $name) (local.get $len) (i32.const 1024) (i32.const 3)
                    (local.get $ptr) (local.get $size)))
            (func (export "proxy_on_tick") (param i32)
                (i64.store (i32.const 1100) (i64.const -1))
                (call $report (call $call (i32.const 1024) (i32.const 7) (i32.const 1100) (i32.const 1104)))
                (call $dump (i32.load (i32.const 1100)) (i32.load (i32.const 1104)))
                (call $report (call $call (i32.const 1031) (i32.const 4) (i32.const 1100) (i32.const 1104)))
                (call $dump (i32.load (i32.const 1100)) (i32.load (i32.const 1104)))
                (i64.store (i32.const 1100) (i64.const -1))
                (call $report (call $call (i32.const 1035) (i32.const 4) (i32.const 1100) (i32.const 1104)))
                (call $report64 (i64.load (i32.const 1100)))
                (call $report (call $call (i32.const 1024) (i32.const 7) (i32.const 0) (i32.const 1104)))
                (call $report (i32.load (i32.const 1104)))
                (call $report (i32.load (i32.const 0)))
                (call $report (call $call (i32.const 1024) (i32.const 7) (i32.const 65533) (i32.const 0)))
                (call $report (call $call (i32.const -8) (i32.const 16) (i32.const 0) (i32.const 0))))
        "#,
        hostcalls: &[proxy_call_foreign_function],
        spec: "v0.2.1#proxy_call_foreign_function",
        run: |case, engine| {
            let foreign = ForeignFunctions::default()
                .with("reverse", |call| {
                    call.result.extend(call.arguments.iter().rev());
                    Ok(())
                })
                .with("fail", |call| {
                    call.result.extend_from_slice(b"why");
                    Err(Status::BadArgument)
                });
            let mut guest = case.start_with(engine, Setup { foreign, ..Setup::default() });
            guest.tick().unwrap();
            assert_eq!(guest.seen(), ["0", "ver", "2", "why", "1", "-1", "0", "3", "-1", "6", "6"]);
        },
    },
    Case {
        name: "the_host_calls_a_function_of_the_guest_with_arguments",
        guest: r#"
            (func $read (call $answer (call $proxy_get_buffer_bytes
                (i32.const 8) (i32.const 0) (i32.const 100) (i32.const 0) (i32.const 4))))
            (func (export "proxy_on_foreign_function") (param $context i32) (param $function i32) (param $len i32)
                (call $report (local.get $context))
                (call $report (local.get $function))
                (call $report (local.get $len))
                (call $read)
                (call $report (call $proxy_set_buffer_bytes
                    (i32.const 8) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1))))
            (func (export "proxy_on_tick") (param i32) (call $read))
        "#,
        hostcalls: &[proxy_get_buffer_bytes, proxy_set_buffer_bytes],
        spec: "v0.2.1#proxy_on_foreign_function",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[]);
            for context in [guest.root, stream] {
                guest.vm.on_foreign_function(context, 7, "arguments".into()).unwrap();
                assert_eq!(guest.seen(), [context.to_string().as_str(), "7", "9", "0", "9", "arguments", "2"]);
            }
            guest.tick().unwrap();
            assert_eq!(guest.seen(), ["1", "-1"], "they are gone");
        },
    },
    Case {
        name: "filter_state_that_steers_is_obeyed_or_refused_and_never_swallowed",
        guest: r#"
            (data (i32.const 1024) "set_envoy_filter_state")
            (data (i32.const 1100) "\0a\17envoy.tcp_proxy.cluster\12\05other")
            (data (i32.const 1200) "\0a\22envoy.network.upstream_server_name\12\01a")
            (data (i32.const 1300) "\0a\03foo\12\01a")
            (data (i32.const 1400) "filter_state\00envoy.tcp_proxy.cluster")
            (func $set (param i32 i32) (call $report (call $proxy_call_foreign_function
                (i32.const 1024) (i32.const 22) (local.get 0) (local.get 1) (i32.const 0) (i32.const 0))))
            (func (export "proxy_on_new_connection") (param i32) (result i32)
                (call $set (i32.const 1100) (i32.const 32))
                (call $set (i32.const 1200) (i32.const 39))
                (call $set (i32.const 1300) (i32.const 8))
                (call $answer (call $proxy_get_property (i32.const 1400) (i32.const 36) (i32.const 0) (i32.const 4)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_call_foreign_function, proxy_get_property],
        spec: "host#set_envoy_filter_state",
        run: |case, engine| {
            let steered = || StreamInfo { steering: Some(Steering::default()), ..StreamInfo::default() };
            let mut settled = Steering::default();
            settled.is_settled = true;
            for (info, expected) in [
                (steered(), &["0", "1", "1", "0", "5", "other"][..]),
                (StreamInfo { steering: Some(settled), ..StreamInfo::default() }, &["2", "1", "1", "1", "-1"]),
                (StreamInfo::default(), &["1", "1", "1", "1", "-1"]),
            ] {
                let foreign = portcullis::foreign::envoy_functions();
                let mut guest = case.start_with(engine, Setup { foreign, ..Setup::default() });
                let stream = guest.connect_with(info);
                guest.vm.on_new_connection(stream).unwrap();
                assert_eq!(guest.seen(), expected);
            }
            let foreign = portcullis::foreign::envoy_functions();
            let rights = ["proxy_call_foreign_function", "proxy_get_property", "proxy_log", "proxy_on_new_connection"];
            let capabilities = Capabilities::from_names(rights).unwrap();
            let plugin = Plugin::new("test").with_capabilities(capabilities);
            let mut guest = case.start_with(engine, Setup { foreign, plugin, ..Setup::default() });
            let stream = guest.connect_with(steered());
            guest.vm.on_new_connection(stream).unwrap();
            assert_eq!(guest.seen(), ["10", "1", "1", "1", "-1"], "a right of its own");
        },
    },
];
