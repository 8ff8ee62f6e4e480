//! Configurations and modules that a gateway must refuse.

use crate::Failure;
use crate::fleet::Fleet;

/// A configuration that is refused.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) what: &'static str,
    pub(crate) fault: Fault,
    /// A part of the message.
    pub(crate) told: &'static str,
}

/// The place of a fault.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// In the configuration.
    Text { of: &'static str, by: String },
    /// In a module that one of the plugins has.
    Module(Vec<u8>),
}

/// Returns configurations with a fault each.
pub(crate) fn broken_configurations(fleet: &Fleet) -> Result<Vec<Broken>, Failure> {
    let taken = fleet.taken()?;
    let text = |what, of, by: &str, told| Broken { what, fault: Fault::Text { of, by: by.to_owned() }, told };
    Ok(vec![
        text("not YAML", "listeners:\n", "listeners: [\n", "gateway.yaml:"),
        text("an unknown key", "listeners:\n", "listener: 1\nlisteners:\n", "listener"),
        text("no cluster of that name", "cluster: echo", "cluster: eco", "eco"),
        text("no plugin of that name", "plugins: [p00]", "plugins: [p99]", "p99"),
        text("a name twice", "- name: p01", "- name: p00", "p00"),
        text("no module", "p00.wasm", "p00.gone.wasm", "p00.gone.wasm"),
        text("a number without its unit", "start_deadline: 500ms", "start_deadline: 500", "start_deadline"),
        text("no address", "address: 127.0.0.1:0", "address: 127.0.0.1", "address"),
        text(
            "an address that another program has",
            "listeners:\n",
            &format!("listeners:\n- {{ name: other, address: \"{taken}\", routes: [] }}\n"),
            "in use",
        ),
        text(
            "a certificate that is not there",
            "  routes:\n",
            "  tls: { certificate: gone.pem, private_key: gone.key }\n  routes:\n",
            "gone.pem",
        ),
        // The plugin refuses what a header cannot hold.
        text("a plugin that refuses its configuration", "configuration: w", "configuration: \"\\u0007\" # w", "p"),
        text("a limit beyond its range", "memory: 16MiB", "memory: 16TiB", "memory"),
    ])
}

/// Returns modules that do not become plugins.
pub(crate) fn broken_modules() -> Result<Vec<Broken>, Failure> {
    const ABI: &str = r#"(memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) i32.const 1024)"#;
    let module = |what, text: &str, told| {
        let module = wat::parse_str(format!("(module {ABI} {text})"))?;
        Ok::<_, Failure>(Broken { what, fault: Fault::Module(module), told })
    };
    let raw = |what, bytes: &[u8], told| Broken { what, fault: Fault::Module(bytes.to_vec()), told };
    Ok(vec![
        raw("an empty file", b"", "broken.wasm"),
        raw("no WebAssembly", b"#!/bin/sh\n", "broken.wasm"),
        raw("a module that was cut", b"\0asm\x01\0\0\0\x01\x05\x01\x60", "broken.wasm"),
        module("a trap at the start", r#"(func $start unreachable) (start $start)"#, "plugins[0]")?,
        module(
            "a trap at configure",
            r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) unreachable)"#,
            "plugins[0]",
        )?,
        module(
            "a loop at configure",
            r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) (loop (br 0)) unreachable)"#,
            "plugins[0]",
        )?,
        module(
            "a refusal",
            r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) i32.const 0)"#,
            "plugins[0]",
        )?,
        module("a loop at the start", r#"(func $start (loop (br 0))) (start $start)"#, "plugins[0]")?,
        module("too much memory", r#"(memory (export "other") 1000)"#, "broken.wasm")?,
        module(
            "a trap when the VM starts",
            r#"(func (export "proxy_on_vm_start") (param i32 i32) (result i32) unreachable)"#,
            "plugins[0]",
        )?,
        raw(
            "an import that no host has",
            &wat::parse_str(
                r#"(module (import "env" "no_such_call" (func)) (func (export "proxy_abi_version_0_2_1")))"#,
            )?,
            "no_such_call",
        ),
    ])
}
