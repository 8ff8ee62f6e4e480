//! Files that are no modules, or no valid ones. The verdict is the core's, so the words are the same on every engine.

use portcullis::engine::AnyEngine;
use portcullis::model::Limits;
use portcullis::module::Bytecode;

use super::binary::*;
use crate::engine::case::Case;
use crate::engine::running::{Running, Setup};

const BIG: [u8; 5] = [0xff, 0xff, 0xff, 0xff, 0x0f];

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a_plugin_that_ends_at_each_of_its_bytes",
        guest: "",
        hostcalls: &[],
        spec: "portcullis#verdicts",
        run: |_, engine| {
            let wasm = module(&plugin());
            assert_eq!(verdict(engine, &wasm), None, "the control");
            for len in 0..wasm.len() {
                let found = verdict(engine, &wasm[..len]).unwrap();
                let start = match len {
                    0 => "not a WebAssembly module: it is empty".to_owned(),
                    1..8 => format!("not a WebAssembly module: it ends after {len} bytes"),
                    // Nothing but whole sections.
                    8 | 19 => "the module has no ABI marker".to_owned(),
                    _ => "not valid WebAssembly 2.0: ".to_owned(),
                };
                assert!(found.starts_with(&start), "{len} bytes: {found}");
            }
        },
    },
    Case {
        name: "a_plugin_in_which_one_byte_is_another",
        guest: r#"
            (table 2 funcref) (elem (i32.const 1) $tick) (global $g (mut i64) (i64.const 5))
            (data (i32.const 64) "data")
            (func $tick (export "proxy_on_tick") (param i32) (local i64)
                (global.set $g (i64.extend_i32_u (i32.load (i32.const 64))))
                (if (local.get 0) (then (call $report (i32.wrap_i64 (global.get $g))))))
        "#,
        hostcalls: &[],
        spec: "portcullis#verdicts",
        run: |case, engine| {
            let wasm = wat::parse_str(case.wat()).unwrap();
            let (mut refused, mut ran) = (0, 0);
            for at in 0..wasm.len() {
                for other in [0xff, wasm[at] ^ 1] {
                    let mut changed = wasm.clone();
                    changed[at] = other;
                    match lives(engine, &changed) {
                        true => ran += 1,
                        false => refused += 1,
                    }
                }
            }
            assert!(refused > 50 && ran > 50, "{refused} refused, {ran} ran");
        },
    },
    Case {
        name: "what_begins_as_something_else",
        guest: "",
        hostcalls: &[],
        spec: "portcullis#verdicts",
        run: |_, engine| {
            for (bytes, reason) in [
                (&b"\0asm\x02\0\0\0"[..], r#"not a WebAssembly module: it starts with "\x00asm\x02\x00\x00\x00""#),
                (b"\0asn\x01\0\0\0", r#"not a WebAssembly module: it starts with "\x00asn\x01\x00\x00\x00""#),
                (b"\x7fELF\x02\x01\x01\0", r#"not a WebAssembly module: it starts with "\x7fELF\x02\x01\x01\x00""#),
                (b"\0asm\x0d\0\x01\0", "a WebAssembly component, but plugins are modules"),
                (b"\x1f\x8b\x08\0\0\0\0\0", "not a WebAssembly module: it is compressed with gzip"),
                (b"  (module)", "not a WebAssembly module: it is WebAssembly text"),
                (b"\0asm\x01\0\0\0\0asm\x01\0\0\0", "not valid WebAssembly 2.0: "),
            ] {
                let found = verdict(engine, bytes).unwrap();
                assert!(found.starts_with(reason), "{found}");
            }
        },
    },
    Case {
        name: "sections_out_of_order_twice_unknown_too_long_or_too_short",
        guest: "",
        hostcalls: &[],
        spec: "portcullis#verdicts",
        run: |_, engine| {
            let swapped = || {
                let mut sections = plugin();
                sections.swap(0, 1);
                module(&sections)
            };
            let twice = || {
                let mut sections = plugin();
                sections.insert(1, sections[0].clone());
                module(&sections)
            };
            refused(
                engine,
                [
                    (swapped(), "unknown type 0: type index out of bounds"),
                    (twice(), "section out of order"),
                    (followed_by(&[99, 0]), "malformed section id: 99"),
                    (followed_by(&[TYPES, 1, 0]), "section out of order"),
                    (followed_by(&[DATA, 9, 0]), "unexpected end"),
                    (followed_by(&[DATA, 0]), "unexpected end"),
                    (followed_by(&[DATA]), "unexpected end-of-file"),
                    (followed_by(&[DATA, 0xff, 0xff, 0xff, 0xff, 0x0f]), "unexpected end"),
                    (followed_by(&[0, 2, 9, 0]), "unexpected end"),
                    (with(TYPES, &[2, 0x60, 0, 0, 0x60, 1, 0x7f, 1, 0x7f, 0]), "section size mismatch"),
                    (with(FUNCTIONS, &[3, 0, 1, 0]), "function and code section have inconsistent lengths"),
                    (with(FUNCTIONS, &[2, 0, 7]), "unknown type 7"),
                ],
            );
        },
    },
    Case {
        name: "numbers_that_are_too_long_or_too_large",
        guest: "",
        hostcalls: &[],
        spec: "portcullis#verdicts",
        run: |_, engine| {
            refused(
                engine,
                [
                    (with(FUNCTIONS, &[0x82, 0x80, 0x80, 0x80, 0x80, 0x00, 0, 1]), "invalid var"),
                    (with(FUNCTIONS, &[0xff, 0xff, 0xff, 0xff, 0x1f, 0, 1]), "invalid var"),
                    (followed_by(&[DATA, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0]), "invalid var"),
                    (with_body(&[0, 0x41, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x1a, 0x0b]), "invalid var"),
                ],
            );
            let padded = with(FUNCTIONS, &[0x82, 0x80, 0x80, 0x80, 0x00, 0, 1]);
            assert_eq!(verdict(engine, &padded), None, "the control: as long as may be");
        },
    },
    Case {
        name: "more_of_anything_than_there_can_be",
        guest: "",
        hostcalls: &[],
        spec: "portcullis#verdicts",
        run: |_, engine| {
            let sections = [TYPES, FUNCTIONS, TABLES, MEMORIES, GLOBALS, EXPORTS, ELEMENTS, CODE, DATA];
            for id in sections {
                let wasm = with(id, &BIG);
                let found = verdict(engine, &wasm).unwrap();
                assert!(found.starts_with("not valid WebAssembly 2.0: "), "section {id}: {found}");
            }
            let locals = |count: &[u8]| with_body(&[&[1][..], count, &[0x7f, 0x0b]].concat());
            let parameters = |count: usize| {
                let many = vec![0x7f; count];
                with(TYPES, &[&[3, 0x60, 0, 0, 0x60, 1, 0x7f, 1, 0x7f, 0x60][..], &leb(count), &many, &[0]].concat())
            };
            refused(
                engine,
                [
                    (locals(&BIG), "too many locals"),
                    (locals(&leb(50_001)), "too many locals"),
                    (parameters(1001), "function params size is out of bounds"),
                    (with(MEMORIES, &[1, 0, 0x81, 0x80, 0x04]), "memory size must be at most 0x10000 65536-byte pages"),
                    // A branch table.
                    (
                        with_body(&[&[0, 0x41, 0, 0x0e][..], &BIG, &[0, 0x0b]].concat()),
                        "br_table size is out of bounds",
                    ),
                ],
            );
            let found = verdict(engine, &locals(&leb(30_001))).unwrap();
            assert!(
                found.contains("has 30001 parameters and locals, but not every engine takes more than 30000"),
                "{found}"
            );
            for wasm in [locals(&leb(30_000)), parameters(1000)] {
                assert_eq!(verdict(engine, &wasm), None, "the control: much, but not too much");
            }
        },
    },
    Case {
        name: "names_that_are_garbage_and_sections_that_are_long",
        guest: "",
        hostcalls: &[],
        spec: "portcullis#trap messages",
        run: |_, engine| {
            let long = vec![0xa5; 1 << 20];
            // Names of functions: cut, with a huge count, of functions that there are not, not in UTF-8, not in order.
            for names in [
                &[][..],
                &[1],
                &[1, 2, 1],
                &[1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f],
                &[1, 6, 1, 0xff, 0x01, 1, 1, 0x61],
                &[1, 4, 1, 0, 1, 0xff],
                &[1, 7, 2, 1, 1, 0x61, 0, 1, 0x62],
                &[0xff; 64],
                &long,
            ] {
                let mut sections = plugin();
                // The allocator fails.
                sections[4].1 = vec![2, 2, 0, 0x0b, 3, 0, 0, 0x0b];
                sections.push(custom("name", names));
                sections.extend([custom("anything", &long), custom("", &[]), custom("producers", &[0xff; 9])]);
                sections.insert(0, custom(".debug_info", &[0xff; 99]));
                sections.insert(0, custom(".debug_line", &[0xff; 99]));
                assert!(lives(engine, &module(&sections)));
            }
        },
    },
];

/// Returns whether a module can be started and told of a tick; it may fail there.
fn lives(engine: &dyn AnyEngine, wasm: &[u8]) -> bool {
    let Ok(bytecode) = Bytecode::judge(wasm) else { return false };
    let Ok(loaded) = engine.load(&bytecode) else { return false };
    let limits = Limits::default().with_memory(1 << 20).with_table_elements(1000);
    let Ok(mut guest) = Running::start(&*loaded, bytecode.abi, Setup { limits, ..Setup::default() }) else {
        return false;
    };
    let _ = guest.tick();
    true
}

fn refused<const N: usize>(engine: &dyn AnyEngine, modules: [(Vec<u8>, &str); N]) {
    let mut others = Vec::new();
    for (wasm, reason) in modules {
        let found = verdict(engine, &wasm).unwrap_or_else(|| "it is taken".to_owned());
        if !found.starts_with(&format!("not valid WebAssembly 2.0: {reason}")) {
            others.push((reason.to_owned(), found));
        }
    }
    assert!(others.is_empty(), "{others:#?}");
}
