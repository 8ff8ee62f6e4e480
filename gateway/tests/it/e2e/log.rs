//! The log as a process writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use crate::e2e::cli::{file, serve};
use crate::e2e::harness::{Client, Setup, engine, get, guest, plugin, run, until, wat};

/// Reads what the plugin "loud" says for a request, in the log of a process with such arguments.
fn logged(name: &str, code: &Path, arguments: &'static [&'static str]) -> Vec<String> {
    let log = whole_log(name, code, arguments);
    log.lines().filter(|line| line.contains("loud")).map(str::to_owned).collect()
}

/// Reads the log of a process that has served one request.
fn whole_log(name: &str, code: &Path, arguments: &'static [&'static str]) -> String {
    let setup = Setup::echo().plugin("loud", code, "root_id: r");
    let config = file(&format!("{name}.yaml"), &setup.text().replace("vm_config: {", "vm_config: {vm_id: v, "));
    run(async move {
        let mut server = serve(&config, arguments);
        assert_eq!(Client::h1(server.address).await.ask(get("/x")).await.status, 200);
        let killed = Command::new("kill").arg("-TERM").arg(server.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        until(|| server.child.try_wait().unwrap().is_some()).await;
        server.log.join().unwrap()
    })
}

/// A plugin is compiled without a word of its compiler, unless somebody asks for it.
#[test]
fn debugging_the_gateway_is_not_debugging_its_engines() {
    let tour = guest("header_tour");
    let log = whole_log("log-debug", &tour, &["--log", "debug"]);
    assert!(log.lines().count() < 50, "{log}");
    for target in ["cranelift", "regalloc2", "wasmtime", "wasmer", "wasmi", "rayon", "gimli"] {
        let is_its = |line: &str| line.split_whitespace().nth(2).is_some_and(|word| word.starts_with(target));
        assert!(!log.lines().any(is_its), "{target}: {log}");
    }
    let place = |part: &str| log.find(part).unwrap_or_else(|| panic!("no {part:?} in {log}"));
    assert!(place(" compiling ") < place(" listening ") && place(" listening ") < place(" ready "), "{log}");
    if engine() == "wasmtime" {
        let log = whole_log("log-engines", &tour, &["--log", "info,engines=debug"]);
        assert!(log.contains(" DEBUG cranelift") && !log.contains(" DEBUG portcullis"), "{} bytes", log.len());
    }
}

/// In text, of which a terminal or a tool for lines would make something else.
#[test]
fn control_characters_of_plugins_are_escaped() {
    let code = wat::plugin_of(
        r#"(data (i32.const 64) "a\00b\01\1b[2J\0dc\0ad")
        (func (export "proxy_on_log") (param i32) (drop (call $log (i32.const 2) (i32.const 64) (i32.const 12))))"#,
    );
    let lines = logged("log-control", &code, &["--log", "info"]);
    assert!(lines.iter().any(|line| line.contains(r" plugin: a\x00b\x01\x1b[2J\rc\nd plugin=")), "{lines:?}");
    assert!(lines.iter().all(|line| !line.chars().any(char::is_control)), "{lines:?}");
    let lines = logged("log-control-json", &code, &["--log", "info", "--log-json"]);
    assert!(lines.iter().any(|line| line.contains(r"a\u0000b\u0001\u001b[2J\rc\nd")), "{lines:?}");
}

/// In all forms of the log: the same lines at the same levels, of the target that filters go by, to the last one.
#[test]
fn lines_of_plugins_have_their_level_target_and_fields() {
    let levels = [("TRACE", 0), ("DEBUG", 1), ("INFO", 2), ("WARN", 3), ("ERROR", 4), ("ERROR", 5)];
    let calls: String = levels
        .iter()
        .map(|(name, level)| format!("(drop (call $log (i32.const {level}) $\"said {name} {level}\"))"))
        .collect();
    // At the end of the stream, which is the last that it can say.
    let code = plugin(&[("log", &calls)]);
    for (name, arguments, json, first) in [
        ("log-text", &["--log", "trace"][..], &["--log", "trace", "--log-json"][..], 0),
        ("log-info", &["--log", "info"], &["--log", "info", "--log-json"], 2),
        ("log-target", &["--log", "info,plugin=warn"], &["--log", "info,plugin=warn", "--log-json"], 3),
        (
            "log-field",
            &["--log", "info,plugin[{nosuch}]=off"],
            &["--log", "info,plugin[{nosuch}]=off", "--log-json"],
            2,
        ),
        (
            "log-context",
            &["--log", "info,plugin[{context}]=off"],
            &["--log", "info,plugin[{context}]=off", "--log-json"],
            6,
        ),
        ("log-off", &["--log", "info,plugin=off"], &["--log", "info,plugin=off", "--log-json"], 6),
    ] {
        let lines: Vec<_> = logged(name, &code, arguments).into_iter().filter(|line| line.contains(" said ")).collect();
        let expected = levels.get(first..).unwrap_or_default();
        let tails: Vec<_> = lines.iter().filter_map(|line| line.split_once(' ')).collect();
        for ((level, number), (time, line)) in expected.iter().zip(&tails) {
            assert!(time.len() == 27 && time.ends_with('Z'), "{time}");
            let start =
                format!("{level:>5} plugin: said {level} {number} plugin=\"loud\" root=\"r\" vm=\"v\" context=");
            assert!(line.starts_with(&start), "{line}");
            let numbers = line.get(start.len()..).and_then(|line| line.strip_suffix(" worker=0"));
            let (context, stream) = numbers.and_then(|numbers| numbers.split_once(" stream=")).expect(line);
            assert!(context.parse::<u64>().is_ok() && stream == "1", "{line}");
        }
        assert_eq!(lines.len(), expected.len(), "{name} {lines:?}");
        let lines = logged(&format!("{name}-json"), &code, json);
        let lines: Vec<_> = lines.iter().filter(|line| line.contains("said ")).collect();
        for ((level, number), line) in expected.iter().zip(&lines) {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let message = format!("said {level} {number}");
            assert_eq!((&line["level"], &line["target"]), (&(*level).into(), &"plugin".into()), "{line}");
            assert_eq!((&line["fields"]["message"], &line["fields"]["vm"]), (&message.into(), &"v".into()), "{line}");
            assert_eq!((&line["fields"]["stream"], &line["fields"]["worker"]), (&1.into(), &0.into()), "{line}");
            assert!(line["fields"]["context"].is_u64(), "{line}");
        }
        assert_eq!(lines.len(), expected.len(), "{name} {lines:?}");
    }
}

/// A line of the host about a VM is an error of its own target.
#[test]
fn lines_about_a_vm_have_a_target_of_their_own() {
    let code = plugin(&[("log", "unreachable")]);
    let lines = logged("log-vm", &code, &["--log", "info"]);
    let line = lines.iter().find(|line| line.contains("proxy_on_log failed")).expect("it says so");
    assert!(line.contains(" ERROR portcullis::vm: proxy_on_log failed: trap: unreachable"), "{line}");
    assert!(line.contains(" plugin=\"loud\" root=\"r\" vm=\"v\" context="), "{line}");
}

/// Over workers, callouts and VMs that are started again: by one number the lines of a request are found, and no others.
#[test]
fn the_lines_of_a_request_share_a_number_that_no_other_has() {
    let code = wat::plugin_of(
        r#"(data (i32.const 64) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\04\00\00\00\01\00\00\00:method\00GET\00:path\00/\00host\00a\00")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (call $say $"began") (global.set $stream (local.get 0))
            (drop (call $call $"backend" (i32.const 64) (i32.const 55) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0) (i32.const 5000) (i32.const 16)))
            (i32.const 1))
        (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
            (call $say $"answered")
            (drop (call $effective (global.get $stream)))
            (drop (call $resume (i32.const 0)))
            (call $say $"resumed"))
        (func (export "proxy_on_log") (param $id i32)
            (call $say $"logged") (if (i32.eq (local.get $id) (i32.const 3)) (then (unreachable))))"#,
    );
    let reload = "failure_policy: FAIL_RELOAD, reload_config: {backoff: {base_interval: 1ms, max_interval: 1ms}}";
    let config = file("log-stream.yaml", &Setup::echo().workers(2).plugin("loud", &code, reload).text());
    let log = run(async move {
        let mut server = serve(&config, &["--log", "info", "--log-json"]);
        let mut served = 0;
        while served < 12 {
            // Where the plugin has just failed, a request may come before it has rested.
            served += i32::from(Client::h1(server.address).await.ask(get("/")).await.status == 200);
        }
        assert!(Command::new("kill").arg("-TERM").arg(server.child.id().to_string()).status().unwrap().success());
        until(|| server.child.try_wait().unwrap().is_some()).await;
        server.log.join().unwrap()
    });
    let mut said: BTreeMap<u64, Vec<(u64, String)>> = BTreeMap::new();
    let (mut workers, mut revived) = (BTreeSet::new(), 0);
    for line in log.lines().filter(|line| line.starts_with('{')) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let fields = &line["fields"];
        let (message, worker) = (fields["message"].as_str().unwrap(), fields["worker"].as_u64());
        revived += usize::from(message == "it has been started again");
        if line["target"] == "plugin" {
            workers.extend(worker);
            said.entry(fields["stream"].as_u64().expect(message))
                .or_default()
                .push((worker.unwrap(), message.to_owned()));
        }
    }
    assert!(revived > 0 && !workers.is_empty(), "{log}");
    let whole: Vec<_> = said.values().filter(|lines| lines.len() > 1).collect();
    assert!(whole.len() >= 12, "{log}");
    for lines in whole {
        let texts: Vec<_> = lines.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["began", "answered", "resumed", "logged"], "{log}");
        assert!(lines.iter().all(|(worker, _)| Some(worker) == lines.first().map(|(worker, _)| worker)), "{lines:?}");
    }
}
