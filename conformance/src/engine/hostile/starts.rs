//! Valid modules that do harm as soon as they are compiled or started.

use std::fmt::Write;
use std::time::Duration;

use portcullis::engine::AnyEngine;
use portcullis::model::Limits;
use portcullis::module::Bytecode;

use super::binary::{CODE, MEMORIES, TABLES, leb, plugin, verdict, with, with_body};
use crate::engine::case::Case;
use crate::engine::running::{Running, Setup};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a_start_section_that_fails_loops_or_recurses",
        guest: "",
        hostcalls: &[],
        spec: "portcullis#start section",
        run: |_, engine| {
            for (body, reason) in [
                ("unreachable", "trap: unreachable"),
                ("(loop (br 0))", "deadline: 50ms (limits.start_deadline) passed"),
                ("(call $start) (call $start)", "stack: more than 524288 bytes (limits.stack) were used"),
                ("(drop (i32.load (i32.const -1)))", "trap: out of bounds memory access"),
                (
                    "(drop (memory.grow (i32.const 1))) (i32.store (i32.const 65536) (i32.const 1)) (drop (i32.div_u (i32.const 1) (i32.const 0)))",
                    "trap: integer divide by zero",
                ),
            ] {
                let found = error(engine, &format!("(func $start {body}) (start $start)"));
                assert!(found.starts_with(&format!("the start section failed: {reason}")), "{found}");
            }
        },
    },
    Case {
        name: "segments_that_lie_outside",
        guest: "",
        hostcalls: &[],
        spec: "portcullis#start section",
        run: |_, engine| {
            for (fields, reason) in [
                (r#"(data (i32.const 65536) "x")"#, "trap: out of bounds memory access"),
                (r#"(data (i32.const -1) "x")"#, "trap: out of bounds memory access"),
                (r#"(data (i32.const 65537) "")"#, "trap: out of bounds memory access"),
                ("(table 1 funcref) (elem (i32.const 1) func 0)", "trap: out of bounds table access"),
                ("(table 1 funcref) (elem (i32.const -1) func 0)", "trap: out of bounds table access"),
                ("(table 1 funcref) (elem (i32.const 2) func)", "trap: out of bounds table access"),
            ] {
                let found = error(engine, fields);
                assert!(found.starts_with(&format!("the start section failed: {reason}")), "{fields}: {found}");
            }
            assert_eq!(error(engine, r#"(data (i32.const 65536) "")"#), "", "the control: none at the end of memory");
        },
    },
    Case {
        name: "more_memory_and_tables_than_any_machine_has",
        guest: "",
        hostcalls: &[],
        spec: "portcullis#limits",
        run: |_, engine| {
            let memory = with(MEMORIES, &[&[1, 0][..], &leb(65536)].concat());
            let tables = |count: u8, elements: usize| {
                let table = [&[0x70, 0][..], &leb(elements)].concat();
                with(TABLES, &[&[count][..], &table.repeat(count.into())].concat())
            };
            for (wasm, reason) in [
                (memory, "memory: the plugin begins with 4294967296 bytes, which is more than its limit of 1073741824"),
                (
                    tables(1, 0xffff_ffff),
                    "has 4294967295 elements in a table, but not every engine takes more than 1048576",
                ),
                (tables(100, 1), "has 100 tables, but not every engine takes more than 4"),
                (
                    tables(1, 1 << 20),
                    "table: the plugin begins with 1048576 elements, which is more than its limit of 100000",
                ),
                (
                    tables(4, 1 << 20),
                    "table: the plugin begins with 4194304 elements, which is more than its limit of 100000",
                ),
            ] {
                let found = started(engine, &wasm).err().unwrap_or_default();
                assert!(found.starts_with(reason), "{found}");
            }
        },
    },
    Case {
        name: "code_that_is_nested_deep_branches_wide_or_is_long",
        guest: "",
        hostcalls: &[],
        spec: "portcullis#verdicts",
        run: |_, engine| {
            let nested = |opens: u8, count: usize| {
                with_body(&[&[0][..], &[opens, 0x40].repeat(count), &[0x0b].repeat(count + 1)].concat())
            };
            // Branches, all to the one block that there is.
            let wide =
                with_body(&[&[0, 2, 0x40, 0x41, 0, 0x0e][..], &leb(50_000), &[0; 50_001], &[0x0b, 0x0b]].concat());
            // 1 + 1 + 1 and so on, first all operands, then all sums.
            let operands = [&[0][..], &[0x41, 1].repeat(20_000), &[0x6a].repeat(19_999), &[0x1a, 0x0b]].concat();
            let long = with_body(&[&[0][..], &[1].repeat(1 << 20), &[0x0b]].concat());
            for (what, wasm) in [
                ("blocks", nested(0x02, 4_000)),
                ("loops", nested(0x03, 500)),
                ("wide", wide),
                ("operands", with_body(&operands)),
                ("long", long),
            ] {
                assert_eq!(verdict(engine, &wasm), None, "{what}");
                assert_eq!(started(engine, &wasm).map(drop), Ok(()), "{what}");
            }
        },
    },
    Case {
        name: "thousands_of_functions_tables_and_globals",
        guest: "",
        hostcalls: &[],
        spec: "portcullis#verdicts",
        run: |_, engine| {
            let mut fields = String::new();
            for index in 0..2000 {
                let _ = write!(fields, "(func (export \"f{index}\") (result i32) (i32.const {index}))");
                let _ = write!(fields, "(global (export \"g{index}\") i32 (i32.const {index}))");
            }
            (0..4).for_each(|_| fields.push_str("(table 1 funcref)"));
            assert_eq!(error(engine, &fields), "");
        },
    },
    Case {
        name: "frames_that_are_larger_than_the_stack",
        // 30,000 locals of 8 bytes, all in use after a call.
        guest: "",
        hostcalls: &[],
        spec: "portcullis#limits",
        run: |_, engine| {
            let count = 30_000;
            let mut body = [&[1][..], &leb(count), &[0x7e]].concat();
            for local in (0..count).step_by(50) {
                body.extend([&[0x42, 1, 0x21][..], &leb(local)].concat());
            }
            // It calls itself.
            body.extend([0x10, 2]);
            for local in (0..count).step_by(50) {
                body.extend([&[0x20][..], &leb(local), &[0x1a]].concat());
            }
            body.push(0x0b);
            let mut sections = plugin();
            sections[1].1 = vec![3, 0, 1, 0];
            sections[3].1[0] = 4;
            sections[3].1.extend(b"\x0b_initialize\0\x02");
            sections[4].1 = [&[3, 2, 0, 0x0b, 4, 0, 0x41, 0, 0x0b][..], &leb(body.len()), &body].concat();
            assert_eq!(sections[4].0, CODE);
            let error = started(engine, &super::binary::module(&sections)).map(drop);
            let reason = "_initialize failed: stack: more than 524288 bytes (limits.stack) were used";
            assert!(error.as_ref().is_err_and(|error| error.starts_with(reason)), "{error:?}");
        },
    },
];

/// Returns why fields of a plugin keep it from starting, if they do.
fn error(engine: &dyn AnyEngine, fields: &str) -> String {
    let wasm = format!(
        r#"(module (func (export "proxy_abi_version_0_2_1")) (memory (export "memory") 1)
           (func (export "malloc") (param i32) (result i32) (i32.const 0)) {fields})"#
    );
    started(engine, &wat::parse_str(wasm).unwrap()).err().unwrap_or_default()
}

fn started(engine: &dyn AnyEngine, wasm: &[u8]) -> Result<Running, String> {
    let bytecode = Bytecode::judge(wasm).map_err(|error| error.to_string())?;
    let module = engine.load(&bytecode).map_err(|error| error.to_string())?;
    let limits = Limits::default().with_start_deadline(Duration::from_millis(50));
    Running::start(&*module, bytecode.abi, Setup { limits, ..Setup::default() }).map_err(|error| error.to_string())
}
