//! `portcullis inspect`, and what `check` says of rights that do not fit a plugin.

use std::path::Path;

use crate::e2e::cli::{file, portcullis, text};
use crate::e2e::harness::wat::{module, plugin_of};
use crate::e2e::harness::{Setup, guest};

/// Returns its output, and its exit status.
fn inspect(plugin: &Path, arguments: &[&str]) -> (String, Option<i32>) {
    let output = portcullis(&[&["inspect", plugin.to_str().unwrap()], arguments].concat());
    (text(&output.stdout), output.status.code())
}

/// The names under a heading of the text.
fn section<'t>(text: &'t str, heading: &str) -> Vec<&'t str> {
    let lines = text.lines().skip_while(|line| !line.starts_with(heading)).skip(1);
    lines.take_while(|line| !line.is_empty()).map(str::trim).collect()
}

#[test]
fn a_plugin_of_the_rust_sdk_is_described() {
    let (text, status) = inspect(&guest("header_tour"), &[]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.lines().next().unwrap().ends_with("header_tour.wasm: a plugin for ABI 0.2.1"), "{text}");
    for row in ["\nallocator   proxy_on_memory_allocate\n", "\nstart       _initialize\n", "exported as \"memory\"\n"] {
        assert!(text.contains(row), "{row}: {text}");
    }
    assert!(text.lines().any(|line| line.starts_with("toolchain ") && line.contains("rustc")), "{text}");
    assert!(section(&text, "CALLBACKS").contains(&"proxy_on_request_headers"));
    let (reached, beyond) = (section(&text, "HOSTCALLS"), section(&text, "IMPORTED"));
    assert!(reached.contains(&"proxy_send_local_response") && beyond.contains(&"proxy_http_call"), "{text}");
    assert!(section(&text, "WASI").contains(&"fd_write"), "{text}");
    assert!(reached.iter().all(|name| !beyond.contains(name)), "{text}");
    let (text, _) = inspect(&guest("auth_callout"), &[]);
    assert!(section(&text, "HOSTCALLS").contains(&"proxy_http_call"), "{text}");
}

#[test]
fn json_says_the_same() {
    let (text, status) = inspect(&guest("c_headers"), &["--json"]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &report["abi"], &report["refused"]), (Some(0), &"0.2.1".into(), &serde_json::Value::Null));
    let size = std::fs::metadata(guest("c_headers")).unwrap().len();
    assert_eq!((&report["size"], &report["memory"]["export"]), (&size.into(), &"memory".into()));
    assert_eq!(report["start"], serde_json::json!({ "section": false, "functions": ["_initialize"] }));
    assert_eq!((&report["wasi"], &report["unreachable_imports"]), (&serde_json::json!([]), &serde_json::json!([])));
    let both = [report["hostcalls"].as_array().unwrap(), report["callbacks"].as_array().unwrap()];
    assert_eq!(report["capabilities"], serde_json::Value::from(both.map(Clone::clone).concat()));
    assert!(report["hostcalls"].as_array().unwrap().contains(&"proxy_log".into()), "{text}");
}

#[test]
fn a_module_that_would_be_refused_says_why_and_names_every_bad_import() {
    let wasm = module(
        r#"(import "env" "proxy_lgo" (func (param i32 i32 i32) (result i32)))
           (import "wasi_nn" "load" (func))
           (memory (export "memory") 1 2) (func (export "proxy_abi_version_0_2_1"))"#,
    );
    let reason = "imports env.proxy_lgo, which no ABI version has";
    let (text, status) = inspect(&wasm, &[]);
    assert_eq!(status, Some(1));
    assert!(text.lines().next().unwrap().contains(reason), "{text}");
    assert!(text.contains("64.0 KiB to 128.0 KiB"), "{text}");
    let refused = section(&text, "IMPORTS");
    assert!(refused.len() == 2 && refused[1].contains("wasi_nn.load"), "{text}");
    let (text, status) = inspect(&wasm, &["--json"]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, report["refused_imports"].as_array().unwrap().len()), (Some(1), 2));
    assert!(report["refused"].as_str().unwrap().contains(reason) && report["abi"].is_null(), "{text}");
    assert_eq!(inspect(&wasm, &["--yaml"]), (String::new(), Some(1)));
    assert_eq!(inspect(Path::new("/nowhere.wasm"), &[]), (String::new(), Some(1)));
}

/// The block of `--yaml`, fed back: the plugin has all that it needs, and nothing else.
#[test]
fn the_yaml_block_fits_the_plugin() {
    for name in ["header_tour", "auth_callout", "as_headers", "c_headers", "go_headers"] {
        let (block, status) = inspect(&guest(name), &["--yaml"]);
        assert!(status == Some(0) && block.starts_with("capability_restriction_config:\n"), "{block}");
        let indented: String = block.lines().map(|line| format!("        {line}\n")).collect();
        let config = format!(
            "workers: 1\nlisteners:\n  - address: 127.0.0.1:0\n    plugins:\n      - name: {name}\n        root_id: {name}\n        \
             configuration: backend\n        vm_config: {{vm_id: own, code: {{local: {{filename: {:?}}}}}}}\n{indented}    \
             routes: [{{cluster: backend}}]\nclusters: [{{name: backend, echo: {{}}}}]\n",
            guest(name).display().to_string()
        );
        let path = file(&format!("inspected-{name}.yaml"), &config);
        let output = portcullis(&["--log", "warn", "check", path.to_str().unwrap()]);
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{config}");
    }
}

/// Returns the lines that `check` logs about a plugin with this key.
fn check(name: &str, plugin: &Path, more: &str) -> String {
    let path = file(&format!("{name}.yaml"), &Setup::echo().plugin("p", plugin, more).text());
    let output = portcullis(&["--log", "warn", "check", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains(": ok: "));
    text(&output.stderr)
}

#[test]
fn check_warns_of_rights_that_do_not_fit() {
    let wasm = plugin_of(
        r#"(func (export "proxy_on_request_headers") (param $id i32) (param $n i32) (param $end i32) (result i32)
             (call $header (i32.const 0) $"x" $"1") (call $say $"hello") (i32.const 0))
           (func (export "proxy_on_log") (param i32))"#,
    );
    let allowed = "proxy_log: {}, proxy_http_call: {}, proxy_on_tick: {}, pthread_equal: {}, proxy_on_log: {}";
    let more = format!("capability_restriction_config: {{allowed_capabilities: {{{allowed}}}}}");
    let log = check("misfit", &wasm, &more);
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 3, "{log}");
    for (line, names) in lines.iter().zip([
        // It imports proxy_http_call, as every plugin of the prelude does.
        "allowed, but the module neither calls nor exports: proxy_http_call, proxy_on_tick; remove",
        "exported, but not allowed, and so never called: proxy_on_request_headers; if",
        "within the module's reach, but not allowed, and so denied if it calls: proxy_add_header_map_value; if",
    ]) {
        assert!(line.contains("misfit.yaml:7:9: listeners[0].plugins[0]: ") && line.contains(names), "{log}");
    }
}

#[test]
fn check_warns_of_a_plugin_that_may_have_hidden_headers_shown_to_it() {
    let warned = |name: &str, rules: &str| {
        let more = format!("capability_restriction_config: {{preset: all, allowed_capabilities: {{{rules}}}}}");
        check(name, &guest("header_tour"), &more)
    };
    let hidden = "proxy_get_header_map_value: {request_headers: [\"*\", \"!cookie\"]}";
    let log = warned("reflects", hidden);
    let message = "listeners[0].plugins[0]: its rules hide headers of requests, but it may write :path, :method, :authority: an upstream";
    assert!(log.lines().count() == 1 && log.contains(message), "{log}");
    let remedy = "request_headers: [\"*\", \"!:path\", \"!:method\", \"!:authority\"]";
    assert!(log.contains(remedy), "{log}");
    assert_eq!(warned("reflects-not", &format!("{hidden}, proxy_replace_header_map_value: {{{remedy}}}")), "");
    assert_eq!(warned("hides-nothing", "proxy_get_header_map_value: {request_headers: [\"*\"]}"), "");
}

#[test]
fn check_says_nothing_of_plugins_that_have_every_right_and_each_thing_once() {
    assert_eq!(check("every", &guest("header_tour"), ""), "");
    let nothing = "capability_restriction_config: {allowed_capabilities: {proxy_log: {}}}";
    let log = check("some", &guest("header_tour"), nothing);
    assert!(log.lines().count() == 2 && log.lines().all(|line| line.contains(" more; ")), "{log}");
    // The same plugin in two chains.
    let library = format!("plugins:\n  - {}\n", Setup::plugin_entry("shared", &guest("header_tour"), nothing));
    let config = Setup::echo().route("match: {prefix: /a}, plugins: [shared], cluster: backend");
    let config = config.route("match: {prefix: /b}, plugins: [shared], cluster: backend").text();
    let path = file("shared-advice.yaml", &(library + &config));
    let output = portcullis(&["--log", "warn", "check", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr).lines().count(), 2, "{}", text(&output.stderr));
}

#[test]
fn check_advises_plugins_that_share_data_to_name_a_vm_id() {
    let sharing = |callback: &str| {
        module(&format!(
            r#"(import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))
               (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
               (func (export "malloc") (param i32) (result i32) (i32.const 1024))
               (func (export "{callback}") (param i32)
                 (drop (call $set (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0))))"#
        ))
    };
    let (wasm, other) = (sharing("proxy_on_log"), sharing("proxy_on_tick"));
    let advice =
        "has no vm_id, and so shares data and queues (proxy_set_shared_data) with every plugin that is without one";
    let allowed =
        "capability_restriction_config: {allowed_capabilities: {proxy_set_shared_data: {}, proxy_on_log: {}}}";
    let log = check("shares", &wasm, allowed);
    assert!(log.lines().count() == 1 && log.contains(&format!("{advice}: each reads and overwrites")), "{log}");
    let denied = "capability_restriction_config: {allowed_capabilities: {proxy_on_log: {}}}";
    assert!(!check("shares-denied", &wasm, denied).contains("vm_id"));
    assert_eq!(check("shares-alone", &wasm, ""), "", "with nobody");
    let said = |name: &str, config: &str| {
        let path = file(name, config);
        let output = portcullis(&["--log", "warn", "check", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    // With every right, beside another one.
    let two = Setup::echo().plugin("one", &wasm, "").plugin("other", &other, "").text();
    let log = said("shares-two.yaml", &two);
    assert!(log.lines().count() == 2 && log.contains("without one, as one is: "), "{log}");
    assert!(log.contains(&format!("{advice}, as other is: each reads and overwrites")), "{log}");
    for config in [&two, &Setup::echo().plugin("p", &wasm, allowed).text()] {
        // Each with an id of its own, as their names are.
        let named = config.replace("vm_config: {code", "vm_config: {vm_id: first, code").replacen("first", "second", 1);
        assert_eq!(said("shares-named.yaml", &named), "");
    }
}
