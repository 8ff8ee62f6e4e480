//! `host` and `:authority`: two names of one value of a request.

use portcullis::abi::{
    HostcallId::proxy_add_header_map_value, HostcallId::proxy_get_header_map_pairs,
    HostcallId::proxy_get_header_map_value, HostcallId::proxy_get_property, HostcallId::proxy_http_call,
    HostcallId::proxy_remove_header_map_value, HostcallId::proxy_replace_header_map_value,
    HostcallId::proxy_set_header_map_pairs,
};
use portcullis::model::{Action, Direction, HttpCall};

use crate::engine::case::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "both_names_read_and_write_one_value",
        guest: r#"
            (data (i32.const 1024) "HOST:Authoritybbccc")
            (func $get (param $map i32) (param $name i32) (param $len i32)
                (call $answer (call $proxy_get_header_map_value
                    (local.get $map) (local.get $name) (local.get $len) (i32.const 0) (i32.const 4))))
            (func $both
                (call $get (i32.const 0) (i32.const 1024) (i32.const 4))
                (call $get (i32.const 0) (i32.const 1028) (i32.const 10)))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $both)
                (call $report (call $proxy_replace_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 1038) (i32.const 2)))
                (call $both)
                (call $report (call $proxy_add_header_map_value
                    (i32.const 0) (i32.const 1028) (i32.const 10) (i32.const 1040) (i32.const 3)))
                (call $both)
                (call $answer (call $proxy_get_header_map_pairs (i32.const 0) (i32.const 0) (i32.const 4)))
                (call $report (call $proxy_remove_header_map_value (i32.const 0) (i32.const 1024) (i32.const 4)))
                (call $report (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 4)))
                (call $report (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1028) (i32.const 10) (i32.const 0) (i32.const 4)))
                (call $report (call $proxy_add_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 1038) (i32.const 2)))
                (i32.const 0))
        "#,
        hostcalls: &[
            proxy_get_header_map_value,
            proxy_replace_header_map_value,
            proxy_add_header_map_value,
            proxy_remove_header_map_value,
            proxy_get_header_map_pairs,
        ],
        spec: "host#:authority",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[(":authority", "a"), ("x", "1")]);
            assert!(guest.headers(stream).is_ok());
            let pairs = b"\x02\0\0\0\x0a\0\0\0\x03\0\0\0\x01\0\0\0\x01\0\0\0:authority\0ccc\0x\x001\0".escape_ascii();
            let pairs = pairs.to_string();
            let (a, bb, ccc) = (["0", "1", "a"], ["0", "2", "bb"], ["0", "3", "ccc"]);
            let expected = [
                &[a, a].concat()[..],
                &["0"],
                &[bb, bb].concat(),
                &["0"],
                &[ccc, ccc].concat(),
                &["0", "39", &pairs],
                // Gone by both names.
                &["0", "1", "1", "0"],
            ]
            .concat();
            assert_eq!(guest.seen(), expected);
            let headers = guest.vm.stream(stream).unwrap().take_headers(Direction::Request).unwrap();
            assert_eq!(headers, [("x", "1"), (":authority", "bb")].into_iter().collect());
        },
    },
    Case {
        name: "a_map_that_is_set_whole_has_it_once",
        guest: r#"
            (data (i32.const 1024) "\03\00\00\00\0a\00\00\00\01\00\00\00\01\00\00\00\01\00\00\00\04\00\00\00\01\00\00\00:authority\00a\00x\001\00Host\00b\00")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $report (call $proxy_set_header_map_pairs (i32.const 0) (i32.const 1024) (i32.const 52)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_set_header_map_pairs],
        spec: "host#:authority",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[(":authority", "z")]);
            assert!(guest.headers(stream).is_ok());
            assert_eq!(guest.seen(), ["0"]);
            let headers = guest.vm.stream(stream).unwrap().take_headers(Direction::Request).unwrap();
            assert_eq!(headers, [(":authority", "b"), ("x", "1")].into_iter().collect(), "the last counts");
        },
    },
    Case {
        name: "of_a_response_host_is_a_name_like_others",
        guest: r#"
            (data (i32.const 1024) "host:authorityb")
            (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
                (call $report (call $proxy_add_header_map_value
                    (i32.const 2) (i32.const 1024) (i32.const 4) (i32.const 1038) (i32.const 1)))
                (call $report (call $proxy_get_header_map_value
                    (i32.const 2) (i32.const 1028) (i32.const 10) (i32.const 0) (i32.const 4)))
                (call $answer (call $proxy_get_header_map_value
                    (i32.const 2) (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 4)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_header_map_value, proxy_add_header_map_value],
        spec: "host#:authority",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[(":authority", "a")]);
            guest.lend(stream, Direction::Response, &[(":status", "200")]);
            assert!(guest.vm.on_headers(stream, Direction::Response, true).is_ok());
            assert_eq!(guest.seen(), ["0", "1", "0", "1", "b"]);
        },
    },
    Case {
        name: "properties_have_it_by_both_names",
        guest: r#"
            (data (i32.const 1024) "request\00headers\00host")
            (data (i32.const 1056) "request\00headers\00:authority")
            (data (i32.const 1088) "request\00host")
            (func $get (param i32 i32)
                (call $answer (call $proxy_get_property
                    (local.get 0) (local.get 1) (i32.const 0) (i32.const 4))))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $get (i32.const 1024) (i32.const 20))
                (call $get (i32.const 1056) (i32.const 26))
                (call $get (i32.const 1088) (i32.const 12))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_property],
        spec: "host#:authority",
        run: |case, engine| {
            let a = ["0", "1", "a"];
            assert_eq!(case.request(engine, &[(":authority", "a"), ("x", "1")]), [a, a, a].concat());
        },
    },
    Case {
        name: "a_callout_may_name_it_either_way",
        guest: r#"
            (data (i32.const 1024) "auth")
            (data (i32.const 1040) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\04\00\00\00\01\00\00\00:method\00GET\00:path\00/\00host\00a\00")
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_http_call
                    (i32.const 1024) (i32.const 4) (i32.const 1040) (i32.const 55) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1200))))
        "#,
        hostcalls: &[proxy_http_call],
        spec: "host#:authority",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!(guest.seen(), ["0"]);
            let headers: Vec<_> = guest.actions().into_iter().filter_map(headers_of).collect();
            assert_eq!(headers, [[(":method", "GET"), (":path", "/"), (":authority", "a")].into_iter().collect()]);
        },
    },
];

fn headers_of(action: Action) -> Option<portcullis::model::Headers> {
    match action {
        Action::HttpCall { request: HttpCall { headers, .. }, .. } => Some(headers),
        _ => None,
    }
}
