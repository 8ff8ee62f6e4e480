//! Buffers, as guests see them.

use portcullis::abi::DataStatus;
use portcullis::abi::{
    HostcallId::proxy_get_buffer_bytes, HostcallId::proxy_get_buffer_status, HostcallId::proxy_set_buffer_bytes,
};
use portcullis::model::Direction;

use crate::engine::case::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a_part_of_a_body_of_several_chunks",
        guest: r#"
            (func $get (param i32 i32)
                (call $answer (call $proxy_get_buffer_bytes
                    (i32.const 0) (local.get 0) (local.get 1) (i32.const 0) (i32.const 4))))
            (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
                (call $get (i32.const 0) (i32.const -1))
                (call $get (i32.const 2) (i32.const 3))
                (call $get (i32.const 5) (i32.const -2))
                (call $get (i32.const 6) (i32.const 1))
                (call $get (i32.const 7) (i32.const 1))
                (call $get (i32.const 0) (i32.const 0))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_buffer_bytes],
        spec: "v0.2.1#proxy_get_buffer_bytes",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[]);
            for chunk in ["abc", "d", "ef"] {
                guest.lend_body(stream, Direction::Request, chunk);
            }
            assert_eq!(guest.vm.on_body(stream, Direction::Request, true), Ok(DataStatus::Continue));
            let expected = ["0", "6", "abcdef", "0", "3", "cde", "0", "1", "f", "0", "0", "0", "0", "0", "0"];
            assert_eq!(guest.seen(), expected);
        },
    },
    Case {
        name: "buffers_that_are_not_there",
        guest: r#"
            (func $try (param i32)
                (call $answer (call $proxy_get_buffer_bytes
                    (local.get 0) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 4)))
                (call $report (call $proxy_set_buffer_bytes
                    (local.get 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))
            (func (export "proxy_on_tick") (param i32)
                (call $try (i32.const 0))
                (call $try (i32.const 4))
                (call $try (i32.const 6))
                (call $try (i32.const 7))
                (call $try (i32.const 8))
                (call $try (i32.const 9))
                (call $try (i32.const -1)))
        "#,
        hostcalls: &[proxy_get_buffer_bytes, proxy_set_buffer_bytes],
        spec: "host#getBuffer",
        run: |case, engine| {
            let expected: &[&[&str]] = &[
                &["0", "0", "2"],
                &["1", "-1", "1"],
                &["0", "0", "2"],
                &["1", "-1", "1"],
                &["1", "-1", "1"],
                &["2", "-1", "2"],
                &["2", "-1", "2"],
            ];
            assert_eq!(case.tick(engine), expected.concat());
        },
    },
    Case {
        name: "the_status_is_the_length_and_no_flags",
        guest: r#"
            (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
                (i32.store (i32.const 1027) (i32.const -1))
                (call $report (call $proxy_get_buffer_status (i32.const 0) (i32.const 1023) (i32.const 1027)))
                (call $report (i32.load (i32.const 1023)))
                (call $report (i32.load (i32.const 1027)))
                (call $report (call $proxy_get_buffer_status (i32.const 0) (i32.const 1023) (i32.const 65533)))
                (call $report (call $proxy_get_buffer_status (i32.const 9) (i32.const 1023) (i32.const 1027)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_get_buffer_status],
        spec: "v0.2.1#proxy_get_buffer_status",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[]);
            guest.lend_body(stream, Direction::Request, "body");
            assert!(guest.vm.on_body(stream, Direction::Request, true).is_ok());
            assert_eq!(guest.seen(), ["0", "4", "0", "6", "2"]);
        },
    },
    Case {
        name: "a_body_is_prepended_to_appended_to_and_replaced",
        guest: r#"
            (data (i32.const 1024) "NEW")
            (func $set (param i32 i32 i32)
                (call $report (call $proxy_set_buffer_bytes
                    (i32.const 1) (local.get 0) (local.get 1) (i32.const 1024) (local.get 2)))
                (call $answer (call $proxy_get_buffer_bytes
                    (i32.const 1) (i32.const 0) (i32.const 0x7fffffff) (i32.const 0) (i32.const 4))))
            (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
                (call $set (i32.const 0) (i32.const 0) (i32.const 1))
                (call $set (i32.const 5) (i32.const 9) (i32.const 2))
                (call $set (i32.const 0) (i32.const 2) (i32.const 0))
                (call $set (i32.const 0) (i32.const -1) (i32.const 3))
                (i32.const 1))
        "#,
        hostcalls: &[proxy_get_buffer_bytes, proxy_set_buffer_bytes],
        spec: "v0.2.1#proxy_set_buffer_bytes",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[]);
            guest.lend_body(stream, Direction::Response, "body");
            assert_eq!(guest.vm.on_body(stream, Direction::Response, false), Ok(DataStatus::StopAndBuffer));
            let (one, two) = (["0", "0", "5", "Nbody"], ["0", "0", "7", "NbodyNE"]);
            assert_eq!(guest.seen(), [one, two, ["0", "0", "5", "odyNE"], ["0", "0", "3", "NEW"]].concat());
            let body = guest.vm.stream(stream).and_then(|stream| stream.take_body(Direction::Response));
            assert_eq!(body.map(|body| body.to_bytes()).as_deref(), Some(&b"NEW"[..]));
        },
    },
];
