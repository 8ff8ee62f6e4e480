//! Names that plugins have looked up.

use crate::e2e::harness::wat::plugin_with;
use crate::e2e::harness::{Setup, get, run};

#[test]
fn a_plugin_has_names_looked_up() {
    run(async {
        let gate = Setup::echo().plugin("dns", &plugin_with(IMPORTS, PLUGIN), "").start();
        let mut client = gate.h1().await;
        for (path, expected) in [
            ("/192.0.2.1", &b"\x01\0\0\0\x3c\0\0\x00192.0.2.1:0\0"[..]),
            ("/2001:db8::1", b"\x01\0\0\0\x3c\0\0\0[2001:db8::1]:0\0"),
            // A label has up to 63 bytes; nobody need be asked about this one.
            (&format!("/{}.test", "a".repeat(64)), b""),
        ] {
            let answer = client.ask(get(path)).await;
            assert_eq!((answer.status, answer.text().as_bytes()), (200, expected), "{path}");
        }
    });
}

const IMPORTS: &str = r#"
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $read (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "envoy_resolve_dns" (func $resolve (param i32 i32 i32) (result i32)))
"#;

/// Looks up what the path names, and answers with what it is told.
const PLUGIN: &str = r#"
  (func $must (param i32) (if (local.get 0) (then unreachable)))
  (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
    (global.set $stream (local.get $id))
    (call $must (call $get (i32.const 0) $":path" (i32.const 512) (i32.const 516)))
    (call $must (call $resolve
      (i32.add (i32.load (i32.const 512)) (i32.const 1)) (i32.sub (i32.load (i32.const 516)) (i32.const 1))
      (i32.const 520)))
    (i32.const 1))
  (func (export "envoy_on_resolve_dns") (param i32 i32 i32)
    (if (i32.ne (local.get 1) (i32.load (i32.const 520))) (then unreachable))
    (call $must (call $read (i32.const 8) (i32.const 0) (local.get 2) (i32.const 512) (i32.const 516)))
    (if (i32.ne (local.get 2) (i32.load (i32.const 516))) (then unreachable))
    (call $must (call $effective (global.get $stream)))
    (call $answer (i32.const 200) (i32.load (i32.const 512)) (i32.load (i32.const 516))))
"#;
