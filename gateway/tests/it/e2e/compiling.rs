//! Modules that are made to take their compiler long, or much memory: refused, by limits that the log names.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::e2e::cli::{file, portcullis, serve, text};
use crate::e2e::harness::wat::{module, plugin_of};
use crate::e2e::harness::{Client, Setup, engine, get, run};

/// Loops in each other: what a compiler knows of one depends on all around it.
fn loops() -> PathBuf {
    const DEPTH: usize = 20_000;
    plugin_of(&format!("(func (export \"slow\") {} {})", "loop ".repeat(DEPTH), "end ".repeat(DEPTH)))
}

/// One long function.
fn long() -> PathBuf {
    let step = "local.get 0 local.get 0 i32.load i32.const 7 i32.mul i32.store ";
    plugin_of(&format!("(func (export \"long\") (param i32) {})", step.repeat(100_000)))
}

/// A configuration whose plugin has these keys in its `vm_config`.
pub(crate) fn config(name: &str, code: &Path, keys: &str) -> PathBuf {
    let text = Setup::echo().plugin("p", code, "").text();
    file(name, &text.replace("vm_config: {", &format!("vm_config: {{{keys}, ")))
}

/// Returns the error that a command prints.
pub(crate) fn refusal(command: &str, config: &Path) -> String {
    let output = portcullis(&[command, config.to_str().unwrap()]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

/// The most memory that a process had, in KiB.
pub(crate) fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn time_and_memory_of_compiling_are_limited() {
    for command in ["check", "serve", "sandboxes"] {
        let config = config(&format!("slow-{command}.yaml"), &loops(), "limits: {compile: {time: 1s}}");
        let said = refusal(command, &config);
        assert!(
            said.contains("wasmtime cannot compile the module: compiling takes longer than 1s (limits.compile.time)")
                && said.contains("slow-")
                && said.contains("raise the limit"),
            "{command}: {said}"
        );
    }
    let said = refusal("check", &config("long.yaml", &long(), "limits: {compile: {memory: 32MiB}}"));
    let expected = "compiling takes more than 33554432 bytes of memory (limits.compile.memory)";
    assert!(said.contains(expected), "{said}");
}

/// A transcript of a plugin on wasmtime.
fn transcript(name: &str) -> PathBuf {
    let setup = Setup::echo().plugin(name, &plugin_of(""), "").text();
    let folder = super::record::folder(name);
    run(async {
        let config = file(&format!("{name}.yaml"), &setup);
        let server = serve(&config, &["--engine", "wasmtime", "--record", folder.to_str().unwrap()]);
        assert_eq!(Client::h1(server.address).await.ask(get("/")).await.status, 200);
        super::record::stop(server).await;
    });
    let recorded = super::record::files(&folder, "jsonl");
    assert_eq!(recorded.len(), 1);
    recorded[0].clone()
}

#[test]
fn compile_and_replay_are_limited_too() {
    let (loops, long) = (loops(), long());
    let (folder, transcript) = (super::record::folder("limited-cache"), transcript("limited"));
    let precompile = |plugin: &Path, limits: &[&str]| {
        let output = ["-o", "/dev/null", "--code-cache", folder.to_str().unwrap()];
        let plugin = ["compile", plugin.to_str().unwrap()];
        portcullis(&[&plugin, &output[..], limits].concat())
    };
    let replay = |plugin: &Path, limits: &[&str]| {
        let plugin = ["replay", transcript.to_str().unwrap(), "--plugin", plugin.to_str().unwrap()];
        portcullis(&[&plugin, limits].concat())
    };
    type Command<'a> = &'a dyn Fn(&Path, &[&str]) -> Output;
    for command in [&precompile as Command<'_>, &replay] {
        let said = |plugin: &Path, limits: &[&str]| {
            let output = command(plugin, limits);
            assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
            text(&output.stderr)
        };
        let slow = said(&loops, &["--compile-time", "1s"]);
        let expected =
            "cannot compile the module: compiling takes longer than 1s (limits.compile.time); raise --compile-time";
        assert!(slow.contains(loops.to_str().unwrap()) && slow.contains(expected), "{slow}");
        let large = said(&long, &["--compile-memory", "32MiB"]);
        let expected =
            "compiling takes more than 33554432 bytes of memory (limits.compile.memory); raise --compile-memory";
        assert!(large.contains(expected), "{large}");
    }
}

#[test]
fn the_state_of_a_plugin_with_a_vm_for_each_stream_is_compiled_within_limits() {
    let keys = "isolation: stream, runtime: wasmtime, limits: {compile: {memory: 80MiB}}";
    // Small enough itself, but not with what it writes while it is configured.
    let grows = plugin_of(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (local $at i32)
             (drop (memory.grow (i32.const 512)))
             (local.set $at (i32.const 65536))
             (loop $next
               (i32.store8 (local.get $at) (i32.const 1))
               (local.set $at (i32.add (local.get $at) (i32.const 16)))
               (br_if $next (i32.lt_u (local.get $at) (i32.const 33000000))))
             (i32.const 1))"#,
    );
    let said = refusal("check", &config("grows.yaml", &grows, keys));
    assert!(said.contains("isolation: stream") && said.contains("(limits.compile.memory)"), "{said}");
    let output = portcullis(&["check", config("same.yaml", &grows, "isolation: stream").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn a_module_that_is_no_plugin_has_the_same_message_as_ever() {
    let said = refusal("check", &config("no-plugin.yaml", &module("(memory 1)"), "tier: compiled"));
    assert!(said.contains("the module has no ABI marker"), "{said}");
}

#[test]
fn a_gateway_that_serves_goes_on_without_the_compiler() {
    if engine() == "wasmi" {
        return;
    }
    run(async {
        let keys = "tier: fast-start, limits: {compile: {memory: 32MiB}}";
        let server = serve(&config("goes-on.yaml", &long(), keys), &[]);
        let mut client = Client::h1(server.address).await;
        // The log has it before the process ends, and a line about it is written at once.
        let mut peaks = Vec::new();
        while !server.said("cannot be compiled and stays on wasmi") {
            assert_eq!(client.ask(get("/")).await.status, 200);
            peaks.push(peak(server.child.id()));
        }
        assert!(server.said("compiling takes more than 33554432 bytes of memory (limits.compile.memory)"));
        assert_eq!(client.ask(get("/")).await.status, 200);
        // The child had its memory, not this process.
        let grown = peak(server.child.id()).saturating_sub(peaks[0]);
        assert!(grown < 16 << 10, "{grown} KiB");
    });
}
