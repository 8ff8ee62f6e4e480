//! Maps that a guest hands over, broken in every way. The guest is told, and nothing of them is taken.

use bytes::Bytes;
use portcullis::abi::{
    HostcallId::proxy_get_buffer_bytes, HostcallId::proxy_grpc_call, HostcallId::proxy_grpc_stream,
    HostcallId::proxy_http_call, HostcallId::proxy_send_local_response, HostcallId::proxy_set_header_map_pairs,
};
use portcullis::engine::AnyEngine;
use portcullis::model::{Action, ContextId, Direction, Headers};

use super::arguments::PAIRS;
use crate::engine::case::Case;
use crate::engine::running::Running;

/// A guest that is handed a map by the host and hands it back as it is. The map stands at 65536, its length is `$len`.
macro_rules! guest {
    ($code:literal) => {
        concat!(
            r#"
            (memory (export "memory") 40)
            (func (export "malloc") (param i32) (result i32) (i32.const 65536))
            (data (i32.const 1024) "authSM")
            (data (i32.const 1200) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00")
            (func (export "proxy_on_foreign_function") (param $context i32) (param i32) (param $len i32)
                (drop (call $proxy_get_buffer_bytes
                    (i32.const 8) (i32.const 0) (local.get $len) (i32.const 1100) (i32.const 1104)))
                (i32.store (i32.const 1108) (i32.const 77))
            "#,
            $code,
            "(call $report (i32.load (i32.const 1108))))"
        )
    };
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "headers_that_are_set",
        guest: guest!(
            "(call $report (call $proxy_set_header_map_pairs (i32.const 0) (i32.const 65536) (local.get $len)))"
        ),
        hostcalls: &[proxy_get_buffer_bytes, proxy_set_header_map_pairs],
        // The reference host deletes all headers and answers that it is well.
        spec: "portcullis#malformed maps",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[("a", "1")]);
            guest.headers(stream).unwrap();
            let headers = |guest: &mut Running| {
                let headers = guest.vm.stream(stream).unwrap().take_headers(Direction::Request).unwrap();
                guest.lend(stream, Direction::Request, &[("a", "1")]);
                headers
            };
            let untouched: Headers = [("a", "1")].into_iter().collect();
            each_malformed(&mut guest, stream, "2", "77", |guest| assert_eq!(headers(guest), untouched));
            assert_eq!(handed(&mut guest, stream, PAIRS), ["0", "77"], "the control");
            assert_eq!(headers(&mut guest).get_str(":authority"), Some("a"));
            for (bytes, count) in most() {
                assert_eq!(handed(&mut guest, stream, &bytes), ["0", "77"], "the most that there may be");
                assert_eq!(headers(&mut guest).len(), count);
            }
        },
    },
    Case {
        name: "headers_of_a_callout",
        guest: guest!(
            "(call $report (call $proxy_http_call
                (i32.const 1024) (i32.const 4) (i32.const 65536) (local.get $len) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1108)))"
        ),
        hostcalls: &[proxy_get_buffer_bytes, proxy_http_call],
        spec: "portcullis#malformed maps",
        // A callout that fails has the id 0.
        run: |case, engine| calls_out(case, engine, "2", "0", "4"),
    },
    Case {
        name: "trailers_of_a_callout",
        guest: guest!(
            "(call $report (call $proxy_http_call
                (i32.const 1024) (i32.const 4) (i32.const 1200) (i32.const 61) (i32.const 0) (i32.const 0)
                (i32.const 65536) (local.get $len) (i32.const 0) (i32.const 1108)))"
        ),
        hostcalls: &[proxy_get_buffer_bytes, proxy_http_call],
        spec: "portcullis#malformed maps",
        run: |case, engine| calls_out(case, engine, "2", "0", "4"),
    },
    Case {
        name: "metadata_of_a_grpc_call",
        guest: guest!(
            "(call $report (call $proxy_grpc_call
                (i32.const 1024) (i32.const 4) (i32.const 1028) (i32.const 1) (i32.const 1029) (i32.const 1)
                (i32.const 65536) (local.get $len) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1108)))"
        ),
        hostcalls: &[proxy_get_buffer_bytes, proxy_grpc_call],
        // The Rust SDK panics when a gRPC callout is answered BadArgument.
        spec: "portcullis#malformed maps",
        run: |case, engine| calls_out(case, engine, "10", "77", "5"),
    },
    Case {
        name: "metadata_of_a_grpc_stream",
        guest: guest!(
            "(call $report (call $proxy_grpc_stream
                (i32.const 1024) (i32.const 4) (i32.const 1028) (i32.const 1) (i32.const 1029) (i32.const 1)
                (i32.const 65536) (local.get $len) (i32.const 1108)))"
        ),
        hostcalls: &[proxy_get_buffer_bytes, proxy_grpc_stream],
        spec: "portcullis#malformed maps",
        run: |case, engine| calls_out(case, engine, "10", "77", "6"),
    },
    Case {
        name: "headers_of_a_local_response",
        guest: guest!(
            "(call $report (call $proxy_send_local_response (i32.const 200)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 65536) (local.get $len) (i32.const -1)))"
        ),
        hostcalls: &[proxy_get_buffer_bytes, proxy_send_local_response],
        spec: "portcullis#malformed maps",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let stream = guest.open(&[]);
            each_malformed(&mut guest, stream, "2", "77", |guest| assert_eq!(guest.actions(), []));
            assert_eq!(handed(&mut guest, stream, PAIRS), ["0", "77"], "the control");
            let [Action::LocalResponse { response, .. }] = &guest.actions()[..] else { panic!("no response") };
            assert_eq!(response.headers.get_str(":path"), Some("/"));
        },
    },
    Case {
        name: "an_id_that_is_written_over_what_is_sent",
        // The id goes where the method, then where the upstream's name stands.
        guest: r#"
            (data (i32.const 1024) "auth\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00")
            (func $call (param $ret i32) (call $report (call $proxy_http_call
                (i32.const 1024) (i32.const 4) (i32.const 1028) (i32.const 61) (i32.const 1028) (i32.const 61)
                (i32.const 0) (i32.const 0) (i32.const 0) (local.get $ret))))
            (func (export "proxy_on_tick") (param i32)
                (call $call (i32.const 1064))
                (call $dump (i32.const 1056) (i32.const 12))
                (call $call (i32.const 1024))
                (call $dump (i32.const 1024) (i32.const 4)))
        "#,
        hostcalls: &[proxy_http_call],
        spec: "portcullis#overlapping ranges",
        run: |case, engine| {
            let mut guest = case.start(engine);
            guest.tick().unwrap();
            assert_eq!(guest.seen(), ["0", r":method\x00\x04\x00\x00\x00", "2", r"\x00\x00\x00\x00"]);
            let [Action::HttpCall { request, .. }] = &guest.actions()[..] else { panic!("no callout") };
            assert_eq!(request.headers.get_str(":method"), Some("GET"), "it was read before");
        },
    },
];

/// Checks that each malformed map is answered like this and starts nothing, and that a good one starts something.
fn calls_out(case: &Case, engine: &dyn AnyEngine, answer: &str, failed: &str, id: &str) {
    let mut guest = case.start(engine);
    let root = guest.root;
    each_malformed(&mut guest, root, answer, failed, |guest| assert_eq!(guest.actions(), []));
    assert_eq!(handed(&mut guest, root, PAIRS), ["0", id], "the control");
    assert_eq!(guest.actions().len(), 1);
}

fn each_malformed(guest: &mut Running, context: ContextId, answer: &str, word: &str, check: impl Fn(&mut Running)) {
    for (what, bytes) in malformed() {
        assert_eq!(handed(guest, context, &bytes), [answer, word], "{what}");
        check(guest);
    }
}

/// Hands bytes to the guest; what it is answered when it hands them back, and its word at 1108 then.
fn handed(guest: &mut Running, context: ContextId, bytes: &[u8]) -> Vec<String> {
    guest.vm.on_foreign_function(context, 0, Bytes::copy_from_slice(bytes)).unwrap();
    guest.seen()
}

/// Maps that are none.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = vec![
        ("one byte that is not 0", vec![1]),
        ("two zeros", vec![0; 2]),
        ("five zeros", vec![0; 5]),
        ("a count alone", words(&[1])),
        ("all that can be counted", words(&[u32::MAX])),
        ("all that can be counted, and something", [words(&[u32::MAX]), vec![0; 4096]].concat()),
        ("a count whose lengths overflow", [words(&[0x2000_0000]), vec![0; 64]].concat()),
        ("a count whose lengths overflow to one", [words(&[0x2000_0001, 1, 1]), b"a\0b\0".to_vec()].concat()),
        ("a negative count", [words(&[0x8000_0001, 1, 1]), b"a\0b\0".to_vec()].concat()),
        ("a count that is too large by one", [words(&[2, 1, 1]), b"a\0b\0".to_vec()].concat()),
        ("a count that is too small by one", [words(&[1, 1, 1, 1, 1]), b"a\0b\0c\0d\0".to_vec()].concat()),
        ("a count of 0 and a map", [words(&[0, 1, 1]), b"a\0b\0".to_vec()].concat()),
        ("a name as long as can be", [words(&[1, u32::MAX, 1]), b"a\0b\0".to_vec()].concat()),
        ("a value as long as can be", [words(&[1, 1, u32::MAX]), b"a\0b\0".to_vec()].concat()),
        ("lengths whose sum overflows", [words(&[1, 0x8000_0000, 0x8000_0004]), b"a\0b\0".to_vec()].concat()),
        ("lengths with zeros that overflow", [words(&[1, u32::MAX, u32::MAX]), b"a\0b\0".to_vec()].concat()),
        ("a name to the end", [words(&[1, 4, 0]), b"a\0b\0".to_vec()].concat()),
        ("a value beyond the end by one", [words(&[1, 1, 2]), b"a\0b\0".to_vec()].concat()),
        ("a value that ends one too early", [words(&[1, 1, 0]), b"a\0b\0".to_vec()].concat()),
        ("lengths that overlap", [words(&[2, 1, 3, 1, 1]), b"a\0b\0c\0d\0".to_vec()].concat()),
        ("no zero behind a name", [words(&[1, 1, 1]), b"a=b\0".to_vec()].concat()),
        ("no zero behind a value", [words(&[1, 1, 1]), b"a\0b;".to_vec()].concat()),
        ("1025 entries", entries(1025, 0)),
        ("a byte more than 1 MiB", entries(1, (1 << 20) - 14 + 1)),
        ("1 MiB of zeros", vec![0; 1 << 20]),
        ("2 MiB of ones", vec![0xff; 2 << 20]),
    ];
    all.extend((1..PAIRS.len()).map(|len| ("the beginning of a map", PAIRS[..len].to_vec())));
    all.push(("a map and a byte", [PAIRS, &[0]].concat()));
    all
}

/// Returns pairs with the most entries, and pairs with the most bytes.
fn most() -> [(Vec<u8>, usize); 2] {
    [(entries(1024, 0), 1024), (entries(1, (1 << 20) - 14), 1)]
}

/// Returns a number of entries without a name, with values of this length.
fn entries(count: u32, len: usize) -> Vec<u8> {
    let lengths = words(&[0, u32::try_from(len).unwrap()]).repeat(count as usize);
    let texts = [&[0][..], &vec![b'v'; len], &[0]].concat().repeat(count as usize);
    [words(&[count]), lengths, texts].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
