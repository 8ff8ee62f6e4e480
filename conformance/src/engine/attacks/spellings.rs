//! Names in other spellings than those that rules list.

use portcullis::abi::{
    HostcallId::proxy_add_header_map_value, HostcallId::proxy_define_metric, HostcallId::proxy_get_property,
    HostcallId::proxy_http_call, HostcallId::proxy_set_property,
};

use super::plugins::ruled;
use crate::engine::case::Case;
use crate::engine::running::Setup;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "names_in_a_spelling_that_no_rule_lists",
        guest: r#"
            (data (i32.const 1024) "counter.requestslatencyx_userconnectionauthorization")
            (data (i32.const 1100) "request\00refererrequest\00headersfilter_state\00wasm.a")
            (func $metric (param $type i32) (param $name i32) (param $len i32)
                (call $report (call $proxy_define_metric
                    (local.get $type) (local.get $name) (local.get $len) (i32.const 1200))))
            (func $add (param $name i32) (param $len i32) (param $value i32) (param $value_len i32)
                (call $report (call $proxy_add_header_map_value
                    (i32.const 0) (local.get $name) (local.get $len) (local.get $value) (local.get $value_len))))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $metric (i32.const 0) (i32.const 1024) (i32.const 16))
                (call $metric (i32.const 2) (i32.const 1040) (i32.const 7))
                (call $add (i32.const 1047) (i32.const 6) (i32.const 0) (i32.const 1))
                (call $add (i32.const 1053) (i32.const 10) (i32.const 1063) (i32.const 13))
                (call $report (call $proxy_get_property
                    (i32.const 1100) (i32.const 15) (i32.const 1200) (i32.const 1204)))
                (call $report (call $proxy_get_property
                    (i32.const 1115) (i32.const 15) (i32.const 1200) (i32.const 1204)))
                (call $report (call $proxy_set_property
                    (i32.const 1130) (i32.const 19) (i32.const 0) (i32.const 1)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_define_metric, proxy_add_header_map_value, proxy_get_property, proxy_set_property],
        spec: "portcullis#rules",
        run: |case, engine| {
            let seen = |rules| {
                let mut guest = case.start_with(engine, Setup { plugin: ruled("ruled", rules), ..Setup::default() });
                let stream = guest.open(&[("referer", "/"), ("authorization", "x")]);
                guest.headers(stream).unwrap();
                guest.seen().join(" ")
            };
            assert_eq!(seen(&[]), "0 0 0 0 0 0 0", "the control");
            let rules: &[(&str, &str, &[&str])] = &[
                ("proxy_define_metric", "names", &["*", "!counter_*", "!latency_sum"]),
                ("proxy_add_header_map_value", "request_headers", &["*", "!x-user", "!authorization"]),
                ("proxy_get_property", "paths", &["*", "!request.headers.referer"]),
                ("proxy_set_property", "paths", &["*", "!a"]),
            ];
            assert_eq!(seen(rules), "10 10 10 10 10 10 10");
        },
    },
    Case {
        name: "paths_that_a_server_reads_in_another_way",
        guest: r#"
            (data (i32.const 1024) "auth")
            (data (i32.const 1100) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\08\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/check/a\00:authority\00a\00")
            (data (i32.const 1200) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\1f\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/check/%25%32%65%25%32%65/admin\00:authority\00a\00")
            (data (i32.const 1300) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\19\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/check/%c0%ae%c0%ae/admin\00:authority\00a\00")
            (data (i32.const 1400) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\13\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/check/\ef\bc\8e\ef\bc\8e/admin\00:authority\00a\00")
            (data (i32.const 1500) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\10\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/check/..;/admin\00:authority\00a\00")
            (data (i32.const 1600) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\13\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/check/%2e%2e/admin\00:authority\00a\00")
            (func $call (param $headers i32) (param $len i32)
                (call $report (call $proxy_http_call
                    (i32.const 1024) (i32.const 4) (local.get $headers) (local.get $len)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2000))))
            (func (export "proxy_on_tick") (param i32)
                (call $call (i32.const 1100) (i32.const 68))
                (call $call (i32.const 1200) (i32.const 91))
                (call $call (i32.const 1300) (i32.const 85))
                (call $call (i32.const 1400) (i32.const 79))
                (call $call (i32.const 1500) (i32.const 76))
                (call $call (i32.const 1600) (i32.const 79)))
        "#,
        hostcalls: &[proxy_http_call],
        spec: "portcullis#callout rules",
        run: |case, engine| {
            let seen = |rules| {
                let mut guest = case.start_with(engine, Setup { plugin: ruled("ruled", rules), ..Setup::default() });
                guest.tick().unwrap();
                guest.seen().join(" ")
            };
            assert_eq!(seen(&[]), "0 0 0 0 0 0", "the control");
            assert_eq!(seen(&[("proxy_http_call", "paths", &["/check"])]), "0 10 10 10 10 10");
        },
    },
];
