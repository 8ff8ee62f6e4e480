//! The text that is common to all guests of cases.

use portcullis::abi::HostcallId;

pub(crate) use crate::text_format::{import, import_from, types};

const MEMORY: &str = r#"(memory (export "memory") 1)"#;

const MARKER: &str = r#"(func (export "proxy_abi_version_0_2_1"))"#;

const MALLOC: &str = r#"
    (global $heap (mut i32) (i32.const 4096))
    (func (export "malloc") (param i32) (result i32)
        (global.get $heap)
        (global.set $heap (i32.add (global.get $heap) (local.get 0))))
"#;

/// Numbers travel as their bytes at level trace, other bytes at level debug.
const HELPERS: &str = r#"
    (func $report (param i32)
        (i32.store (i32.const 512) (local.get 0))
        (drop (call $proxy_log (i32.const 0) (i32.const 512) (i32.const 4))))
    (func $report64 (param i64)
        (i64.store (i32.const 512) (local.get 0))
        (drop (call $proxy_log (i32.const 0) (i32.const 512) (i32.const 8))))
    (func $dump (param i32 i32)
        (drop (call $proxy_log (i32.const 1) (local.get 0) (local.get 1))))
    (data (i32.const 0) "\ff\ff\ff\ff\ff\ff\ff\ff")
    (func $answer (param $status i32)
        (call $report (local.get $status))
        (call $report (i32.load (i32.const 4)))
        (if (i32.gt_s (i32.load (i32.const 4)) (i32.const 0))
            (then (call $dump (i32.load (i32.const 0)) (i32.load (i32.const 4)))))
        (i64.store (i32.const 0) (i64.const -1)))
"#;

/// Returns a whole module; [`Case::wat`](super::Case::wat) says what is added to a guest.
pub(crate) fn module(hostcalls: &[HostcallId], guest: &str) -> String {
    let mut text = String::from("(module\n");
    let logs = hostcalls.contains(&HostcallId::proxy_log);
    for id in hostcalls.iter().copied().chain((!logs).then_some(HostcallId::proxy_log)) {
        text.push_str(&import(id));
    }
    text.push_str(guest);
    for (defined, field) in [
        (guest.contains("(memory "), MEMORY),
        (guest.contains("proxy_abi_version_"), MARKER),
        (guest.contains("\"malloc\"") || guest.contains("\"proxy_on_memory_allocate\""), MALLOC),
        (false, HELPERS),
    ] {
        if !defined {
            text.push_str(field);
        }
    }
    text.push(')');
    text
}
