//! Arguments that mean something else than they look like.

use portcullis::abi::{
    HostcallId::proxy_get_header_map_pairs, HostcallId::proxy_get_header_map_size,
    HostcallId::proxy_get_header_map_value, HostcallId::proxy_get_property, HostcallId::proxy_http_call,
};

use super::plugins::ruled;
use crate::engine::case::Case;
use crate::engine::running::Setup;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a_hidden_header_by_value_pairs_property_size_and_count",
        guest: r#"
            (data (i32.const 1024) "SeCreTrequest\00headers\00secret")
            (func (export "proxy_on_request_headers") (param $id i32) (param $count i32) (param i32) (result i32)
                (call $report (local.get $count))
                (call $report (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 6) (i32.const 0) (i32.const 4)))
                (call $answer (call $proxy_get_header_map_pairs (i32.const 0) (i32.const 0) (i32.const 4)))
                (call $report (call $proxy_get_property
                    (i32.const 1030) (i32.const 22) (i32.const 0) (i32.const 4)))
                (call $answer (call $proxy_get_property
                    (i32.const 1030) (i32.const 15) (i32.const 0) (i32.const 4)))
                (drop (call $proxy_get_header_map_size (i32.const 0) (i32.const 1100)))
                (call $report (i32.load (i32.const 1100)))
                (i32.const 0))
        "#,
        hostcalls: &[
            proxy_get_header_map_value,
            proxy_get_header_map_pairs,
            proxy_get_property,
            proxy_get_header_map_size,
        ],
        spec: "portcullis#header rules",
        run: |case, engine| {
            let seen = |plugin| {
                let mut guest = case.start_with(engine, Setup { plugin, ..Setup::default() });
                let stream = guest.open(&[("a", "1"), ("secret", "hunter2")]);
                guest.headers(stream).unwrap();
                guest.seen()
            };
            let control = seen(ruled("control", &[]));
            assert_eq!((control[0].as_str(), control[1].as_str()), ("2", "0"));
            assert!(control.iter().filter(|line| line.contains("hunter2")).count() == 2, "{control:?}");
            let rules: &[(&str, &str, &[&str])] = &[("proxy_get_header_map_value", "request_headers", &["!secret"])];
            let hidden = seen(ruled("ruled", rules));
            assert!(!hidden.iter().any(|line| line.contains("hunter2") || line.contains("secret")), "{hidden:?}");
            assert_eq!((hidden[0].as_str(), hidden[1].as_str()), ("1", "1"), "count and value");
            assert_eq!(hidden.last().map(String::as_str), Some("16"), "the size of what is left");
        },
    },
    Case {
        name: "a_denied_upstream_by_its_authority_case_dot_or_an_absolute_path",
        guest: r#"
            (data (i32.const 1024) "authAUTHauth.evil")
            (data (i32.const 1100) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00")
            (data (i32.const 1200) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\04\00\00\00:method\00GET\00:path\00/\00:authority\00evil\00")
            (data (i32.const 1300) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\0d\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00http://evil/a\00:authority\00a\00")
            (data (i32.const 1400) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\09\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/ok/../no\00:authority\00a\00")
            (func $call (param $name i32) (param $len i32) (param $headers i32) (param $headers_len i32)
                (call $report (call $proxy_http_call
                    (local.get $name) (local.get $len) (local.get $headers) (local.get $headers_len)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2000))))
            (func (export "proxy_on_tick") (param i32)
                (call $call (i32.const 1024) (i32.const 4) (i32.const 1100) (i32.const 61))
                (call $call (i32.const 1028) (i32.const 4) (i32.const 1100) (i32.const 61))
                (call $call (i32.const 1032) (i32.const 5) (i32.const 1100) (i32.const 61))
                (call $call (i32.const 1037) (i32.const 4) (i32.const 1100) (i32.const 61))
                (call $call (i32.const 1024) (i32.const 4) (i32.const 1200) (i32.const 64))
                (call $call (i32.const 1024) (i32.const 4) (i32.const 1300) (i32.const 73))
                (call $call (i32.const 1024) (i32.const 4) (i32.const 1400) (i32.const 69)))
        "#,
        hostcalls: &[proxy_http_call],
        spec: "portcullis#callout rules",
        run: |case, engine| {
            let seen = |rules: &[(&str, &str, &[&str])]| {
                let plugin = ruled("ruled", rules);
                let mut guest = case.start_with(engine, Setup { plugin, ..Setup::default() });
                guest.tick().unwrap();
                guest.seen().join(" ")
            };
            // The control: without rules all reach the one upstream that there is, by its exact name.
            assert_eq!(seen(&[]), "0 2 2 2 0 0 0");
            let upstream = ("proxy_http_call", "upstreams", &["other"][..]);
            assert_eq!(seen(&[upstream]), "10 10 10 10 10 10 10", "no spelling reaches it");
            let rules: &[(&str, &str, &[&str])] = &[
                ("proxy_http_call", "upstreams", &["auth"]),
                ("proxy_http_call", "authorities", &["a"]),
                ("proxy_http_call", "paths", &["/"]),
            ];
            assert_eq!(seen(rules), "0 10 10 10 10 10 10", "nor does another authority or path leave with it");
        },
    },
];
