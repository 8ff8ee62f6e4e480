//! The log as a process writes it.

use std::path::Path;
use std::process::Command;

use crate::e2e::cli::{file, serve};
use crate::e2e::harness::{Client, Setup, engine, get, guest, plugin, run, until};

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
    let place = |part: &str| log.find(part).unwrap_or_else(|| panic!("no {part:?} in {log}"));
    assert!(place(" compiling ") < place(" listening ") && place(" listening ") < place(" ready "), "{log}");
    if engine() == "wasmtime" {
        let log = whole_log("log-engines", &tour, &["--log", "info,engines=debug"]);
        assert!(log.contains(" DEBUG cranelift") && !log.contains(" DEBUG portcullis"), "{} bytes", log.len());
    }
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
        }
        assert_eq!(lines.len(), expected.len(), "{name} {lines:?}");
        let lines = logged(&format!("{name}-json"), &code, json);
        let lines: Vec<_> = lines.iter().filter(|line| line.contains("said ")).collect();
        for ((level, number), line) in expected.iter().zip(&lines) {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let message = format!("said {level} {number}");
            assert_eq!((&line["level"], &line["target"]), (&(*level).into(), &"plugin".into()), "{line}");
            assert_eq!((&line["fields"]["message"], &line["fields"]["vm"]), (&message.into(), &"v".into()), "{line}");
        }
        assert_eq!(lines.len(), expected.len(), "{name} {lines:?}");
    }
}

/// What the host says about a VM is an error of its own target.
#[test]
fn lines_about_a_vm_have_a_target_of_their_own() {
    let code = plugin(&[("log", "unreachable")]);
    let lines = logged("log-vm", &code, &["--log", "info"]);
    let line = lines.iter().find(|line| line.contains("proxy_on_log failed")).expect("it says so");
    assert!(line.contains(" ERROR portcullis::vm: proxy_on_log failed: trap: unreachable"), "{line}");
    assert!(line.contains(" plugin=\"loud\" root=\"r\" vm=\"v\" context="), "{line}");
}
