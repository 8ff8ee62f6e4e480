//! Header maps, as guests see them.

use portcullis::abi::HeadersStatus;
use portcullis::abi::{
    HostcallId::proxy_add_header_map_value, HostcallId::proxy_get_header_map_pairs,
    HostcallId::proxy_get_header_map_size, HostcallId::proxy_get_header_map_value,
    HostcallId::proxy_remove_header_map_value, HostcallId::proxy_replace_header_map_value,
    HostcallId::proxy_set_header_map_pairs,
};
use portcullis::model::Direction;

use crate::engine::case::Case;
use crate::engine::running::Running;

/// Returns the headers of the request after the guest.
fn result(guest: &mut Running, stream: portcullis::model::ContextId) -> Vec<(String, String)> {
    let headers = guest.vm.stream(stream).unwrap().take_headers(Direction::Request).unwrap();
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    headers.iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn owned(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "absent_key_is_not_found",
        guest: r#"
            (data (i32.const 1024) "absentempty")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $answer (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 6) (i32.const 0) (i32.const 4)))
                (call $report (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1030) (i32.const 5) (i32.const 0) (i32.const 4)))
                (call $report64 (i64.load (i32.const 0)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_header_map_value],
        spec: "v0.2.1#proxy_get_header_map_value",
        run: |case, engine| assert_eq!(case.request(engine, &[("empty", "")]), ["1", "-1", "0", "0"]),
    },
    Case {
        name: "absent_key_is_empty_in_0_1_0",
        guest: r#"
            (func (export "proxy_abi_version_0_1_0"))
            (data (i32.const 1024) "absent")
            (func (export "proxy_on_request_headers") (param i32 i32) (result i32)
                (call $report (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 6) (i32.const 0) (i32.const 4)))
                (call $report64 (i64.load (i32.const 0)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_header_map_value],
        spec: "host#get_header_map_value in 0.1.0",
        run: |case, engine| assert_eq!(case.request(engine, &[("a", "1")]), ["0", "0"]),
    },
    Case {
        name: "the_two_parameter_callback_of_0_1_0_is_called",
        guest: r#"
            (func (export "proxy_abi_version_0_1_0"))
            (func (export "proxy_on_request_headers") (param i32 i32) (result i32)
                (call $report (local.get 0)) (call $report (local.get 1)) (i32.const 3))
            (func (export "proxy_on_response_headers") (param i32 i32) (result i32)
                (call $report (local.get 0)) (call $report (local.get 1)) (i32.const 0))
        "#,
        hostcalls: &[],
        spec: "v0.1.0#proxy_on_request_headers",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[("a", "1"), ("b", "2")]);
            assert_eq!(guest.headers(stream), Ok(HeadersStatus::StopAllAndBuffer));
            assert_eq!(guest.vm.on_headers(stream, Direction::Response, true), Ok(HeadersStatus::Continue));
            assert_eq!(guest.seen(), ["2", "2", "2", "0"]);
        },
    },
    Case {
        name: "the_exports_own_shape_decides_and_not_the_marker",
        guest: r#"
            (func (export "proxy_abi_version_0_1_0"))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $report (local.get 0)) (call $report (local.get 1)) (call $report (local.get 2)) (i32.const 0))
        "#,
        hostcalls: &[],
        spec: "portcullis#callback shapes",
        run: |case, engine| assert_eq!(case.request(engine, &[("a", "1")]), ["2", "1", "1"]),
    },
    Case {
        name: "a_map_that_is_not_there",
        guest: r#"
            (data (i32.const 1024) "a")
            (func $try (param $map i32)
                (call $report (call $proxy_get_header_map_value
                    (local.get $map) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 4)))
                (call $report (call $proxy_get_header_map_size (local.get $map) (i32.const 1028)))
                (call $report (call $proxy_add_header_map_value
                    (local.get $map) (i32.const 1024) (i32.const 1) (i32.const 1024) (i32.const 1)))
                (call $report64 (i64.load (i32.const 0)))
                (call $report (call $proxy_get_header_map_pairs (local.get $map) (i32.const 0) (i32.const 4)))
                (call $report64 (i64.load (i32.const 0)))
                (i64.store (i32.const 0) (i64.const -1)))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $try (i32.const 2))
                (call $try (i32.const 6))
                (i32.const 0))
        "#,
        hostcalls: &[
            proxy_get_header_map_value,
            proxy_get_header_map_size,
            proxy_add_header_map_value,
            proxy_get_header_map_pairs,
        ],
        spec: "host#get_header_map_pairs",
        run: |case, engine| {
            let of_one_map = ["2", "2", "2", "-1", "0", "0"];
            assert_eq!(case.request(engine, &[("a", "1")]), [of_one_map, of_one_map].concat());
        },
    },
    Case {
        name: "a_map_type_beyond_the_last_is_a_bad_argument",
        guest: r#"
            (func $try (param $map i32)
                (call $report (call $proxy_get_header_map_value
                    (local.get $map) (i32.const -1) (i32.const -1) (i32.const 0) (i32.const 4)))
                (call $report (call $proxy_get_header_map_pairs (local.get $map) (i32.const 0) (i32.const 4)))
                (call $report (call $proxy_set_header_map_pairs (local.get $map) (i32.const -1) (i32.const -1)))
                (call $report (call $proxy_remove_header_map_value (local.get $map) (i32.const -1) (i32.const -1))))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $try (i32.const 8))
                (call $try (i32.const -1))
                (call $report (call $proxy_remove_header_map_value (i32.const 7) (i32.const -1) (i32.const -1)))
                (i32.const 0))
        "#,
        hostcalls: &[
            proxy_get_header_map_value,
            proxy_get_header_map_pairs,
            proxy_set_header_map_pairs,
            proxy_remove_header_map_value,
        ],
        spec: "v0.2.1#proxy_header_map_type_t",
        run: |case, engine| {
            assert_eq!(case.request(engine, &[]), ["2", "2", "2", "2", "2", "2", "2", "2", "6"]);
        },
    },
    Case {
        name: "pairs_are_these_bytes",
        guest: r#"
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $answer (call $proxy_get_header_map_pairs (i32.const 0) (i32.const 0) (i32.const 4)))
                (call $report (call $proxy_get_header_map_size (i32.const 0) (i32.const 1024)))
                (call $report (i32.load (i32.const 1024)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_header_map_pairs, proxy_get_header_map_size],
        spec: "v0.2.1#Serialized map",
        run: |case, engine| {
            let bytes = b"\x02\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x02\0\0\0a\x001\0b\x0022\0".escape_ascii();
            let seen = case.request(engine, &[("a", "1"), ("b", "22")]);
            assert_eq!(seen, ["0", "29", &bytes.to_string(), "0", "29"]);
        },
    },
    Case {
        name: "pairs_that_the_guest_sets_replace_the_map",
        guest: r#"
            (data (i32.const 1024) "\02\00\00\00\03\00\00\00\01\00\00\00\00\00\00\00\02\00\00\00X-y\00\001\00\00\ff\00\00")
            (data (i32.const 1100) "\02\00\00\00\03\00\00\00\01\00\00\00\01\00\00\00\02\00\00\00X-y\001\00b\0022\00")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $report (call $proxy_set_header_map_pairs (i32.const 0) (i32.const 1100) (i32.const 31)))
                (i32.const 0))
            (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
                (call $report (call $proxy_set_header_map_pairs (i32.const 0) (i32.const 1024) (i32.const 31)))
                (call $report (call $proxy_set_header_map_pairs (i32.const 0) (i32.const 1100) (i32.const 30)))
                (i32.const 0))
            (func (export "proxy_on_request_trailers") (param i32 i32) (result i32)
                (call $report (call $proxy_set_header_map_pairs (i32.const 0) (i32.const 0) (i32.const 0)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_set_header_map_pairs],
        spec: "v0.2.1#proxy_set_header_map_pairs",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[("a", "1")]);
            assert!(guest.headers(stream).is_ok());
            assert_eq!(
                (guest.seen(), result(&mut guest, stream)),
                (owned_text(&["0"]), owned(&[("x-y", "1"), ("b", "22")]))
            );
            // Malformed pairs change nothing (differs from the reference host).
            guest.lend(stream, Direction::Request, &[("a", "1")]);
            assert!(guest.vm.on_body(stream, Direction::Request, false).is_ok());
            assert_eq!((guest.seen(), result(&mut guest, stream)), (owned_text(&["2", "2"]), owned(&[("a", "1")])));
            guest.lend(stream, Direction::Request, &[("a", "1")]);
            assert!(guest.vm.on_trailers(stream, Direction::Request).is_ok());
            assert_eq!((guest.seen(), result(&mut guest, stream)), (owned_text(&["0"]), vec![]));
        },
    },
    Case {
        name: "edits_are_seen_at_once_whatever_the_case_of_the_name",
        guest: r#"
            (data (i32.const 1024) "X-AaBx12")
            (func $get (call $answer (call $proxy_get_header_map_value
                (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 4))))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $get)
                (call $report (call $proxy_add_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 1030) (i32.const 1)))
                (call $get)
                (call $report (call $proxy_replace_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 1030) (i32.const 2)))
                (call $get)
                (call $report (call $proxy_remove_header_map_value (i32.const 0) (i32.const 1024) (i32.const 4)))
                (call $report (call $proxy_remove_header_map_value (i32.const 0) (i32.const 1024) (i32.const 4)))
                (call $get)
                (call $report (call $proxy_add_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 1028) (i32.const 4)))
                (i32.const 0))
        "#,
        hostcalls: &[
            proxy_get_header_map_value,
            proxy_add_header_map_value,
            proxy_replace_header_map_value,
            proxy_remove_header_map_value,
        ],
        spec: "v0.2.1#proxy_replace_header_map_value",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[("x-aa", "old"), ("y", "")]);
            assert!(guest.headers(stream).is_ok());
            let expected = ["0", "3", "old", "0", "0", "3", "old", "0", "0", "2", "12", "0", "0", "1", "-1", "0"];
            assert_eq!(guest.seen(), expected);
            assert_eq!(result(&mut guest, stream), owned(&[("y", ""), ("x-aa", "Bx12")]));
        },
    },
    Case {
        name: "any_bytes_pass_unchanged",
        guest: r#"
            (data (i32.const 1024) "k\00\ff\0a\80z")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $report (call $proxy_add_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 1025) (i32.const 5)))
                (call $answer (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 4)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_header_map_value, proxy_add_header_map_value],
        spec: "v0.2.1#proxy_add_header_map_value",
        run: |case, engine| assert_eq!(case.request(engine, &[]), ["0", "0", "5", r"\x00\xff\n\x80z"]),
    },
];

fn owned_text(seen: &[&str]) -> Vec<String> {
    seen.iter().map(|text| (*text).to_owned()).collect()
}
