//! Refusals at the start: always with the place in the configuration, and the remedy.

use std::path::{Path, PathBuf};

use portcullis_gateway::config::Config;
use portcullis_gateway::serve::server::Gateway;

use crate::e2e::harness::wat::{module, write};
use crate::e2e::harness::{Gate, Setup, get, guest, logs, plugin, run};

/// A plugin at line 7 of its file, and the finding about it.
fn refusal(code: &Path) -> String {
    let error = Setup::echo().plugin("bad", code, "").refusal();
    assert!(error.starts_with("gateway.yaml:7:") && error.contains(": listeners[0].plugins[0]"), "{error}");
    error
}

/// A module of a plugin that is refused where its file is named.
fn module_refusal(code: &Path) -> String {
    let error = refusal(code);
    assert!(error.starts_with("gateway.yaml:7:58: listeners[0].plugins[0].vm_config.code.local.filename: "), "{error}");
    error
}

const ALLOCATOR: &str = r#"(memory (export "memory") 1)
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 0))"#;
const MARKER: &str = r#"(func (export "proxy_abi_version_0_2_1"))"#;

#[test]
fn modules_that_are_no_plugins() {
    let cases: [(PathBuf, &str); 8] = [
        (write(b"#!/bin/sh\necho no\n"), "not a WebAssembly module"),
        (write(b""), "not a WebAssembly module"),
        (write(b"\0asm\x01\0\0\0\xff\xff\xff"), "not valid WebAssembly"),
        (write(b"\0asm\x0d\0\x01\0"), "a WebAssembly component"),
        (module(ALLOCATOR), "has no ABI marker"),
        (module(MARKER), "exports no memory"),
        (module(&format!("{MARKER} (memory (export \"memory\") 1)")), "exports no allocator"),
        (
            module(&format!("{MARKER} {ALLOCATOR} (func (export \"proxy_on_log\") (param i64))")),
            "exports proxy_on_log as",
        ),
    ];
    for (code, message) in cases {
        let error = module_refusal(&code);
        assert!(error.contains(message), "{error}\nshould say: {message}");
        assert!(error.contains(&code.display().to_string()), "the file is named: {error}");
    }
}

#[test]
fn imports_that_nobody_has() {
    let importing = |import: &str| module(&format!("(import {import}) {MARKER} {ALLOCATOR}"));
    for (import, parts) in [
        (
            r#""env" "proxy_logg" (func (param i32 i32 i32) (result i32))"#,
            &["env.proxy_logg", "did you mean", "proxy_log"][..],
        ),
        (r#""env" "proxy_log" (func (param i32 i32) (result i32))"#, &["proxy_log", "(i32, i32, i32)"]),
        (r#""env" "table" (table 1 funcref)"#, &["env.table", "may import functions alone"]),
        (r#""wasi_snapshot_preview1" "fd_wrote" (func)"#, &["fd_wrote", "did you mean", "fd_write"]),
    ] {
        let error = module_refusal(&importing(import));
        for part in parts {
            assert!(error.contains(part), "{error}\nshould say: {part}");
        }
    }
}

#[test]
fn a_file_that_is_not_there() {
    let error = Setup::echo().plugin("bad", Path::new("/nowhere/plugin.wasm"), "").refusal();
    assert!(error.starts_with("gateway.yaml:7:"), "{error}");
    assert!(error.contains("there is no file \"/nowhere/plugin.wasm\""), "{error}");
}

#[test]
fn plugins_that_do_not_start() {
    run(async {
        for (callback, code, message) in [
            ("configure", "(i32.const 0)", "refused its configuration"),
            ("vm_start", "(i32.const 0)", "refused to start"),
            ("configure", "(unreachable)", "proxy_on_configure failed: trap"),
            ("vm_start", "(call $exit (i32.const 1)) (i32.const 1)", "proxy_exit"),
            ("context_create", "(unreachable)", "proxy_on_context_create failed"),
        ] {
            let error = refusal(&plugin(&[(callback, code)]));
            let message = if message == "proxy_exit" { "called proc_exit(1)" } else { message };
            assert!(error.contains(message), "{error}\nshould say: {message}");
        }
        let said = plugin(&[("configure", r#"(call $say $"I want more") (i32.const 0)"#)]);
        let error = Setup::echo().plugin("says_why", &said, "").refusal();
        assert!(error.contains("as the plugin's log lines above say"), "{error}");
        logs::wait("says_why", "I want more").await;
    });
}

#[test]
fn a_plugin_of_a_route_is_named_by_its_place() {
    let bad = Setup::plugin_entry("bad", &plugin(&[("configure", "(i32.const 0)")]), "");
    let good = Setup::plugin_entry("good", &plugin(&[]), "");
    let setup = Setup::echo().route(&format!("cluster: backend, match: {{path: /x}}, plugins: [{good}, {bad}]"));
    let error = setup.refusal();
    assert!(error.contains("listeners[0].routes[0].plugins[1]"), "{error}");
    assert!(error.starts_with("gateway.yaml:7:"), "{error}");
}

#[test]
fn capabilities_and_engines_that_do_not_exist() {
    let wat = plugin(&[]);
    let more = "capability_restriction_config: {allowed_capabilities: {proxy_logg: {}}}";
    let error = Setup::echo().plugin("bad", &wat, more).refusal();
    assert!(error.starts_with("gateway.yaml:7:") && error.contains("proxy_logg"), "{error}");
    let text = Setup::echo().plugin("bad", &wat, "").text().replace("vm_config: {", "vm_config: {runtime: wasm3, ");
    let config = Config::parse("gateway.yaml", &text).unwrap();
    let error = Gateway::prepare(config.clone()).err().unwrap().to_string();
    assert!(error.starts_with("gateway.yaml:7:") && error.contains("there is no engine \"wasm3\""), "{error}");
    assert!(
        Gateway::prepare_on(config.clone(), Some("wasmtime")).is_ok(),
        "an engine for all is the only one asked for"
    );
    let error = Gateway::prepare_on(config, Some("wasm4")).err().unwrap().to_string();
    assert!(error.starts_with("there is no engine \"wasm4\"; this binary has wasmtime"), "{error}");
}

/// Envoy's own runtimes mean the default engine.
#[test]
fn envoys_runtimes_are_taken_for_the_default() {
    run(async {
        let text = Setup::echo().plugin("envoys", &guest("header_tour"), "").text();
        let gate = Gate::start(&text.replace("vm_config: {", "vm_config: {runtime: envoy.wasm.runtime.v8, "));
        assert_eq!(gate.h1().await.ask(get("/hello")).await.status, 200);
    });
}

/// A capability that is not allowed is denied, and the plugin runs on.
#[test]
fn what_is_not_allowed_is_denied() {
    run(async {
        let wat = plugin(&[
            (
                "request_headers",
                r#"(call $header (i32.const 0) $"x-denied" $"1") (call $say $"still here") (i32.const 0)"#,
            ),
            ("response_headers", "(unreachable)"),
        ]);
        let allowed =
            ["proxy_log", "proxy_on_context_create", "proxy_on_request_headers"].map(|name| format!("{name}: {{}}"));
        let more = format!("capability_restriction_config: {{allowed_capabilities: {{{}}}}}", allowed.join(", "));
        let gate = Setup::echo().plugin("allowed", &wat, &more).start();
        let answer = gate.h1().await.ask(get("/")).await;
        assert_eq!(answer.status, 200, "the callback that is not allowed is not called");
        assert!(answer.json()["headers"].get("x-denied").is_none());
        logs::wait("allowed", "still here").await;
    });
}

#[test]
fn code_may_stand_in_the_configuration() {
    run(async {
        let wat = plugin(&[("request_headers", r#"(call $header (i32.const 0) $"x-inline" $"1") (i32.const 0)"#)]);
        let base64 = base64(&std::fs::read(&wat).unwrap());
        let text = Setup::echo().plugin("inline", &wat, "").text();
        let text =
            text.replace(&format!("filename: {:?}", wat.display().to_string()), &format!("inline_bytes: {base64}"));
        assert!(text.contains("inline_bytes"), "{text}");
        let gate = Gate::start(&text);
        assert_eq!(gate.h1().await.ask(get("/")).await.json()["headers"]["x-inline"], "1");
    });
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let letter = |index: usize| char::from(LETTERS[(bits >> (18 - 6 * index)) as usize & 63]);
        (0..4).map(|index| if index > chunk.len() { '=' } else { letter(index) }).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}
