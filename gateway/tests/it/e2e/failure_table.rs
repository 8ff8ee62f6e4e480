//! The table of docs/failures.md: every failure with every policy.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_gateway::config::Config;

use crate::e2e::harness::wat::{plugin_with, write};
use crate::e2e::harness::{Gate, Setup, get, guest, logs, plugin, run};

/// The limits that plugins run into.
const LIMITS: &str = "limits: {deadline: 100ms, start_deadline: 200ms, memory: 1MiB, stack: 64KiB}";

/// Code that asks for all memory that there is, and traps when there is no more.
const GREEDY: &str = "(loop $more (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable))) (br $more)) (i32.const 0)";

/// Plugins that do not start.
fn not_started(failure: &str) -> PathBuf {
    let configure = |code: &str| plugin(&[("configure", code)]);
    match failure {
        "there is no file" => PathBuf::from("/nowhere/plugin.wasm"),
        "the file is no module" => write(b"#!/bin/sh\n"),
        "it traps" => configure("(unreachable)"),
        "it returns false" => configure("(i32.const 0)"),
        "it runs longer than `start_deadline`" => configure("(loop $on (br $on)) (i32.const 1)"),
        other => panic!("no plugin fails so: {other}"),
    }
}

/// Plugins that fail at a request with `x-fail`, which has one header more than others.
fn fragile(failure: &str) -> PathBuf {
    let headers = |code: &str| {
        format!("(if (i32.gt_u (local.get $n) (i32.const 7)) (then (drop (block (result i32) {code})))) (i32.const 0)")
    };
    let fails = |code: &str| plugin(&[("request_headers", &headers(code))]);
    match failure {
        "it traps" => fails("(unreachable)"),
        "it runs longer than `deadline`" => fails("(loop $on (br $on)) (i32.const 1)"),
        "it needs more memory than `memory`, and traps" => fails(GREEDY),
        "it needs more stack than `stack`" => plugin_with(
            "",
            &format!(
                "(func $deep (param i32) (result i32) (i32.add (local.get 0) (call $deep (i32.add (local.get 0) (i32.const 1)))))
                 (func (export \"proxy_on_request_headers\") (param $id i32) (param $n i32) (param $end i32) (result i32) {})",
                headers("(call $deep (i32.const 0))")
            ),
        ),
        "it ends itself" => fails("(call $exit (i32.const 3)) (i32.const 1)"),
        "it traps, and again when it is started again" => plugin_with(
            r#"(import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))"#,
            // The first to write the key with no version that fits another one succeeds; the second start finds it.
            &format!(
                "(func (export \"proxy_on_configure\") (param $id i32) (param $n i32) (result i32)
                   (if (call $set $\"started\" (i32.const 1024) (i32.const 1) (i32.const 4294967295)) (then (unreachable)))
                   (i32.const 1))
                 (func (export \"proxy_on_request_headers\") (param $id i32) (param $n i32) (param $end i32) (result i32) {})",
                headers("(unreachable)")
            ),
        ),
        other => panic!("no plugin fails so: {other}"),
    }
}

fn setup(name: &str, code: &Path, policy: &str) -> Setup {
    let more =
        format!("failure_policy: {policy}, reload_config: {{backoff: {{base_interval: 20ms, max_interval: 20ms}}}}");
    let entry = format!(
        "{{name: {name}, vm_config: {{{LIMITS}, code: {{local: {{filename: {:?}}}}}}}, {more}}}",
        code.display().to_string()
    );
    Setup::echo().chain_entry(&entry)
}

async fn status(gate: &Gate, fails: bool) -> u16 {
    let mut request = get("/");
    if fails {
        request.headers_mut().insert("x-fail", http::HeaderValue::from_static("1"));
    }
    gate.h1().await.ask(request).await.status
}

/// Does what a row says, and returns what comes of it in the words of the table.
async fn outcome(when: &str, failure: &str, policy: &str, name: &str) -> String {
    match when {
        "start" => match Gate::try_start(&setup(name, &not_started(failure), policy).text()) {
            Ok(_) => "started".to_owned(),
            Err(_) => "refused".to_owned(),
        },
        "traffic" => {
            let gate = setup(name, &fragile(failure), policy).start();
            assert_eq!(status(&gate, false).await, 200, "before the failure");
            let first = status(&gate, true).await;
            let mut then = status(&gate, false).await;
            while policy == "FAIL_RELOAD" && then != 200 && logs::count(name, "it cannot be started again") == 0 {
                // It rests.
                tokio::time::sleep(Duration::from_millis(5)).await;
                then = status(&gate, false).await;
            }
            format!("{first}, then {then}")
        }
        "reload" => {
            let gate = setup(name, &guest("c_headers"), policy).start();
            let config = Config::parse("gateway.yaml", &setup(name, &not_started(failure), policy).text());
            let reloaded = match config {
                Ok(config) => gate.running.reload(config).map(drop).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            let first = if reloaded.is_ok() { "reloaded" } else { "refused" };
            format!("{first}, then {}", status(&gate, false).await)
        }
        other => panic!("no failure comes then: {other}"),
    }
}

#[test]
fn the_table_says_what_happens() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/failures.md")).unwrap();
    let (_, table) = page.split_once("| when | failure |").unwrap();
    let mut lines = table.lines();
    let policies: Vec<_> =
        lines.next().unwrap().split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
    let policies: Vec<_> = policies.into_iter().filter(|policy| policy.starts_with("FAIL_")).collect();
    assert_eq!(policies, ["FAIL_CLOSED", "FAIL_OPEN", "FAIL_RELOAD"]);
    let rows: Vec<Vec<_>> = lines
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect();
    let kinds: BTreeSet<_> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(kinds, BTreeSet::from(["reload", "start", "traffic"]));
    assert_eq!(rows.len(), 16);
    let mut wrong = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        for (policy, told) in policies.iter().zip(&row[2..]) {
            let name = format!("table_{number}_{}", policy.to_lowercase());
            let found = run(outcome(&row[0], &row[1], policy, &name));
            if found != *told {
                wrong.push(format!("{}, {}, {policy}: {found}, and the table says {told}", row[0], row[1]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
