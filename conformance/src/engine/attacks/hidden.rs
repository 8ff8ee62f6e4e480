//! Hidden headers, as far as a plugin can measure them.

use std::time::Duration;

use portcullis::abi::{
    HostcallId::proxy_add_header_map_value, HostcallId::proxy_remove_header_map_value,
    HostcallId::proxy_replace_header_map_value, HostcallId::proxy_set_header_map_pairs,
};
use portcullis::model::Limits;

use super::plugins::ruled;
use crate::engine::case::Case;
use crate::engine::running::Setup;

/// Hides a header and lets it be written.
const HIDDEN: &[(&str, &str, &[&str])] = &[("proxy_get_header_map_value", "request_headers", &["!secret"])];

pub(super) const CASES: &[Case] = &[
    Case {
        name: "the_number_and_length_of_hidden_headers_by_the_bound_of_a_map",
        guest: r#"
            (memory (export "memory") 20)
            (data (i32.const 1024) "xsecret")
            (func $fill (result i32) (local $n i32)
                (block $full (loop $again
                    (br_if $full (call $proxy_add_header_map_value
                        (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 0)))
                    (local.set $n (i32.add (local.get $n) (i32.const 1)))
                    (br $again)))
                (drop (call $proxy_remove_header_map_value (i32.const 0) (i32.const 1024) (i32.const 1)))
                (local.get $n))
            (func $longest (result i32) (local $low i32) (local $high i32) (local $len i32)
                (local.set $high (i32.const 1048577))
                (loop $again
                    (local.set $len (i32.shr_u (i32.add (local.get $low) (local.get $high)) (i32.const 1)))
                    (if (call $proxy_replace_header_map_value
                            (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 131072) (local.get $len))
                        (then (local.set $high (local.get $len)))
                        (else (local.set $low (local.get $len))))
                    (br_if $again (i32.gt_u (i32.sub (local.get $high) (local.get $low)) (i32.const 1))))
                (drop (call $proxy_remove_header_map_value (i32.const 0) (i32.const 1024) (i32.const 1)))
                (local.get $low))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $report (call $fill))
                (call $report (call $longest))
                ;; A value of its own in the place of the hidden ones changes nothing else, and neither does their removal.
                (drop (call $proxy_replace_header_map_value
                    (i32.const 0) (i32.const 1025) (i32.const 6) (i32.const 0) (i32.const 8)))
                (call $report (call $fill))
                (call $report (call $longest))
                (drop (call $proxy_remove_header_map_value (i32.const 0) (i32.const 1025) (i32.const 6)))
                (call $report (call $fill))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_add_header_map_value, proxy_replace_header_map_value, proxy_remove_header_map_value],
        spec: "portcullis#header rules",
        run: |case, engine| {
            let seen = |rules, hidden: usize| {
                let setup = Setup { plugin: ruled("ruled", rules), limits: patient(), ..Setup::default() };
                let mut guest = case.start_with(engine, setup);
                let mut headers = vec![("a", "1")];
                headers.extend(std::iter::repeat_n(("secret", "0123456789"), hidden));
                let stream = guest.open(&headers);
                guest.headers(stream).unwrap();
                guest.seen()
            };
            let (none, many) = (seen(&[], 0), seen(&[], 100));
            assert_eq!((none[0].as_str(), many[0].as_str()), ("1023", "923"), "the control: the room tells");
            assert_ne!(none[1], many[1]);
            assert_eq!(seen(HIDDEN, 0), seen(HIDDEN, 100));
            assert_eq!(seen(HIDDEN, 0), none, "what the plugin adds counts, and no more");
        },
    },
    Case {
        name: "hidden_headers_that_a_plugin_adds_without_end",
        guest: r#"
            (memory (export "memory") 2)
            (data (i32.const 1024) "secret")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local $n i32)
                (block $full (loop $again
                    (br_if $full (call $proxy_add_header_map_value
                        (i32.const 0) (i32.const 1024) (i32.const 6) (i32.const 0) (i32.const 0)))
                    (local.set $n (i32.add (local.get $n) (i32.const 1)))
                    (br_if $again (i32.lt_u (local.get $n) (i32.const 3000)))))
                (call $report (local.get $n))
                ;; As many pairs as may be, whole, beside them; then in their place.
                (i32.store (i32.const 65536) (i32.const 1024))
                (call $report (call $proxy_set_header_map_pairs
                    (i32.const 0) (i32.const 65536) (i32.const 10244)))
                (drop (call $proxy_remove_header_map_value (i32.const 0) (i32.const 1024) (i32.const 6)))
                (call $report (call $proxy_set_header_map_pairs
                    (i32.const 0) (i32.const 65536) (i32.const 10244)))
                (i32.const 0))
        "#,
        hostcalls: &[proxy_add_header_map_value, proxy_remove_header_map_value, proxy_set_header_map_pairs],
        spec: "portcullis#header rules",
        run: |case, engine| {
            for (rules, hidden, seen) in
                [(&[][..], 0, ["1023", "0", "0"]), (HIDDEN, 0, ["1023", "2", "0"]), (HIDDEN, 50, ["1023", "2", "0"])]
            {
                let setup = Setup { plugin: ruled("ruled", rules), limits: patient(), ..Setup::default() };
                let mut guest = case.start_with(engine, setup);
                let mut headers = vec![("a", "1")];
                headers.extend(std::iter::repeat_n(("secret", "0123456789"), hidden));
                let stream = guest.open(&headers);
                guest.headers(stream).unwrap();
                assert_eq!(guest.seen(), seen, "{hidden}");
            }
        },
    },
];

/// Returns limits with time to fill maps, on a machine with other work.
fn patient() -> Limits {
    Limits::default().with_deadline(Duration::from_secs(30))
}
