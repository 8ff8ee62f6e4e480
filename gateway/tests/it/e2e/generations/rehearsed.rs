//! Plugins that are new in a reload: tried apart from those that serve, as they will find each other in a worker.

use std::path::{Path, PathBuf};

use crate::e2e::harness::wat::plugin_with;
use crate::e2e::harness::{Gate, Setup, get, plugin, run};

const IMPORTS: &str = r#"
    (import "env" "proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32)))
    (import "env" "proxy_resolve_shared_queue" (func $resolve (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_shared_data" (func $get (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))"#;

/// A plugin of a `vm_id` that does this when it is configured.
fn configured(body: &str, more: &str) -> PathBuf {
    let configure = format!("(func (export \"proxy_on_configure\") (param i32 i32) (result i32) {body} (i32.const 1))");
    plugin_with(IMPORTS, &format!("{configure}{more}"))
}

fn entry(name: &str, code: &Path, vm_id: &str, more: &str) -> String {
    format!("{{name: {name}, vm_config: {{vm_id: {vm_id}, {more}code: {{local: {{filename: {code:?}}}}}}}}}")
}

/// Registers a queue.
fn registers() -> PathBuf {
    configured(r#"(drop (call $register $"work" (i32.const 0)))"#, "")
}

/// Is configured only where it finds the queue.
fn resolves(vm_id: &str) -> PathBuf {
    configured(&format!(r#"(if (call $resolve $"{vm_id}" $"work" (i32.const 0)) (then (unreachable)))"#), "")
}

fn chain(plugins: &[String]) -> Setup {
    Setup::echo().listener(&format!("plugins: [{}]", plugins.join(", ")))
}

#[test]
fn new_plugins_find_the_queues_of_new_ones_and_of_services_first() {
    run(async {
        let gate = Setup::echo().start();
        let error = gate.reload(&chain(&[entry("resolves-none", &resolves("rehearsed-new"), "b", "")])).await;
        assert!(error.unwrap_err().contains("unreachable"), "nobody has registered it");
        let resolving = entry("resolves-new", &resolves("rehearsed-new"), "b", "");
        let registering = entry("registers-new", &registers(), "rehearsed-new", "");
        let text = format!("{}services:\n  - {{config: {registering}}}\n", chain(&[resolving]).text());
        let reloaded = gate.reload_text(&text).await.unwrap();
        assert_eq!((reloaded.started, reloaded.stayed), (2, 0));
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 200);
    });
}

#[test]
fn new_plugins_find_the_queues_of_those_that_stay() {
    run(async {
        let registering = entry("registers-before", &registers(), "rehearsed-before", "");
        let gate = chain(std::slice::from_ref(&registering)).start();
        let resolving = entry("resolves-before", &resolves("rehearsed-before"), "b", "");
        let reloaded = gate.reload(&chain(&[registering, resolving])).await.unwrap();
        assert_eq!((reloaded.started, reloaded.stayed), (1, 1));
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 200);
    });
}

#[test]
fn a_plugin_with_snapshots_sets_no_shared_data_in_a_reload_that_is_refused() {
    run(async {
        // Says in each response whether the data are there.
        let reads = r#"(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
            (if (i32.eqz (call $get $"k" (i32.const 16) (i32.const 20) (i32.const 24)))
                (then (call $header (i32.const 2) $"x-k" $"set")))
            (i32.const 0))"#;
        let reading = entry("snapshot-reads", &configured("", reads), "snapshots", "");
        let setting = configured(r#"(drop (call $set $"k" $"v" (i32.const 0)))"#, "");
        let setting = entry("snapshot-sets", &setting, "snapshots", "isolation: stream, ");
        let trapping = entry("snapshot-traps", &plugin(&[("configure", "(unreachable)")]), "t", "");
        let gate = chain(std::slice::from_ref(&reading)).start();
        let says = async |gate: &Gate| gate.h1().await.ask(get("/")).await.header("x-k");
        assert_eq!(says(&gate).await, "");
        let with = |more: &[&String]| {
            let all: Vec<_> = std::iter::once(&reading).chain(more.iter().copied()).cloned().collect();
            chain(&all)
        };
        let error = gate.reload(&with(&[&setting, &trapping])).await.unwrap_err();
        assert!(error.contains("unreachable"), "{error}");
        assert_eq!(says(&gate).await, "");
        assert_eq!(gate.reload(&with(&[&setting])).await.unwrap().started, 1);
        assert_eq!(says(&gate).await, "set");
    });
}
