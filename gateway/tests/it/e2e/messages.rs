//! Messages of the command about a configuration or an option that does not fit, word for word.

use std::io::Write;
use std::process::{Command, Stdio};

use portcullis_gateway::config::Config;
use portcullis_gateway::serve::server::Gateway;

use crate::e2e::cli::{file, portcullis, text};
use crate::e2e::harness::{Setup, guest, plugin};

/// Returns the text that `check` prints of a configuration that cannot be served.
fn refused(name: &str, config: &str) -> String {
    let path = file(name, config);
    let output = portcullis(&["--log", "warn,plugin=info", "check", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    text(&output.stderr).replace(path.to_str().unwrap(), "FILE")
}

#[test]
fn several_capabilities_are_suggested() {
    let more = "capability_restriction_config: {allowed_capabilities: {proxy_get_header: {}}}";
    let said = refused("several.yaml", &Setup::echo().plugin("p", &guest("header_tour"), more).text());
    let expected = "allowed_capabilities: unknown capability \"proxy_get_header\"; did you mean \
                    \"proxy_get_header_map_value\", \"proxy_get_header_map_pairs\" or \"proxy_get_header_map_size\"?\n";
    assert!(said.ends_with(expected), "{said}");
}

/// The place is the file's name, and there is one remedy.
#[test]
fn a_file_that_is_no_plugin_is_pointed_at() {
    for (name, code, expected) in [
        ("text.wasm", b"<html>".as_slice(), "; build the module as a Proxy-Wasm plugin, or correct the path\n"),
        ("gzip.wasm", b"\x1f\x8b\x08\0", "it is compressed with gzip; decompress it with gunzip\n"),
        ("component.wasm", b"\0asm\x0d\0\x01\0", "; build it for wasm32-wasip1 rather than wasm32-wasip2\n"),
    ] {
        let wasm = file(name, "");
        std::fs::write(&wasm, code).unwrap();
        let config = format!(
            "listeners:\n- address: 127.0.0.1:0\n  routes: [{{cluster: e}}]\n  plugins:\n  - vm_config:\n      code:\n        local:\n          filename: {}\nclusters: [{{name: e, echo: {{}}}}]\n",
            wasm.display()
        );
        let said = refused("pointed.yaml", &config);
        assert!(said.starts_with("FILE:8:21: listeners[0].plugins[0].vm_config.code.local.filename: "), "{said}");
        assert!(said.ends_with(expected) && said.matches("; ").count() <= 1, "{said}");
    }
}

/// The plugin's own lines stand above the message, and the message points at what the plugin was given.
#[test]
fn a_plugin_that_refuses_its_configuration_is_quoted_first() {
    let refuses = plugin(&[("configure", r#"(call $say $"no such colour") (i32.const 0)"#)]);
    let said = refused("configure.yaml", &Setup::echo().plugin("p", &refuses, "configuration: pink").text());
    let (log, message) = said.split_once("FILE:").unwrap();
    assert!(log.contains("no such colour"), "{said}");
    assert!(
        message.contains("listeners[0].plugins[0].configuration: plugin \"p\" refused its configuration"),
        "{said}"
    );
    assert!(message.ends_with("returned false; correct it, as the plugin's log lines above say\n"), "{said}");
}

#[test]
fn a_root_id_that_a_plugin_fails_with_is_named() {
    let fails = plugin(&[("configure", "(unreachable)")]);
    let said = refused("root.yaml", &Setup::echo().plugin("p", &fails, "root_id: nonexistent").text());
    assert!(said.contains("listeners[0].plugins[0].root_id: root_id \"nonexistent\": "), "{said}");
}

#[test]
fn a_configuration_is_read_from_standard_input() {
    let check = |input: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["check", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let said = text(&check("listner: []").stderr);
    assert_eq!(said, "<stdin>:1:1: unknown key \"listner\"; did you mean \"listeners\"?\n");
    let said = text(&check(&Setup::echo().text()).stdout);
    assert!(said.starts_with("standard input: ok: 1 listener(s), "), "{said}");
}

#[test]
fn options_say_what_they_take() {
    let output = portcullis(&["serve", "x.yaml", "--record", "d", "--record-sample", "0"]);
    assert!(text(&output.stderr).contains("N is a whole number, 1 or more"), "{}", text(&output.stderr));
    let good = file("record.yaml", &Setup::echo().text());
    let output = portcullis(&["serve", good.to_str().unwrap(), "--record", "/dev/null/x"]);
    let said = text(&output.stderr);
    assert!(said.contains("--record: cannot create the folder /dev/null/x: "), "{said}");
    assert!(said.ends_with("name a folder that this user may make or write to\n"), "{said}");
}

#[test]
fn a_plugin_in_no_chain_is_a_warning_of_check() {
    let spare = Setup::plugin_entry("spare", &guest("header_tour"), "");
    let path = file("spare.yaml", &format!("{}plugins:\n  - {spare}\n", Setup::echo().text()));
    let output = portcullis(&["check", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stderr) + &text(&output.stdout);
    let line = said.lines().find(|line| line.contains("plugin \"spare\" is in no chain"));
    assert!(line.is_some_and(|line| line.contains("WARN")), "{said}");
}

/// Such a file looks as one from Envoy does, and is nothing to warn of.
#[test]
fn a_runtime_of_envoy_is_told_once_and_is_no_warning() {
    let text_of = |config: &str| {
        let path = file("v8.yaml", config);
        let output = portcullis(&["check", path.to_str().unwrap(), "--log", "info"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stderr) + &text(&output.stdout)
    };
    let setup = Setup::echo().plugin("a", &guest("header_tour"), "").plugin("b", &guest("header_tour"), "");
    let config = setup.text().replace("vm_config: {", "vm_config: {runtime: envoy.wasm.runtime.v8, ");
    let said = text_of(&config);
    let lines: Vec<_> = said.lines().filter(|line| line.contains("is Envoy's alone")).collect();
    assert!(lines.len() == 1 && lines[0].contains("INFO"), "{said}");
    assert!(Gateway::prepare(Config::parse("v8.yaml", &config).unwrap()).is_ok());
}
