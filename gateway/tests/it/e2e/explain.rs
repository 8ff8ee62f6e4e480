//! The way of a request, and the effect of a reload, as they are told.

use std::process::Command;

use portcullis_gateway::config::Config;
use serde_json::Value;

use crate::e2e::cli::{file, portcullis, text};
use crate::e2e::harness::{Setup, guest, run};

/// Replaces digests, which are those of builds and versions.
fn without_digests(text: &str) -> String {
    let is_digest = |word: &str| word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = text.split_inclusive([' ', ':', '\n']).map(|word| {
        let bare = word.trim_end_matches([' ', ':', '\n']);
        if is_digest(bare) { word.replace(bare, "DIGEST") } else { word.to_owned() }
    });
    words.collect()
}

/// Each block of commands of the page prints the block of text behind it.
#[test]
fn the_page_shows_what_the_commands_print() {
    let top = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let page = std::fs::read_to_string(format!("{top}/docs/explain.md")).unwrap();
    let mut count = 0;
    for rest in page.split("```sh\n").skip(1) {
        let (commands, rest) = rest.split_once("```").unwrap();
        let (_, expected) = rest.split_once("```text\n").unwrap();
        let (expected, _) = expected.split_once("```").unwrap();
        let expected = expected.replace("wasmtime", portcullis::engine::all()[0].name);
        let commands = commands.replace("portcullis ", &format!("{} --log off ", env!("CARGO_BIN_EXE_portcullis")));
        let output =
            Command::new("bash").args(["-euo", "pipefail", "-c", &commands]).current_dir(top).output().unwrap();
        assert!(output.status.success(), "{commands}: {}", text(&output.stderr));
        assert_eq!(without_digests(&text(&output.stdout)), without_digests(&expected), "{commands}");
        count += 1;
    }
    assert_eq!(count, 2);
}

#[test]
fn a_question_without_an_answer_says_why() {
    let config = file("explain.yaml", &Setup::echo().text());
    for (url, told) in [("/path", "\"/path\" is no URL of HTTP"), ("http://a/ b", "is no URL of HTTP")] {
        let output = portcullis(&["explain", config.to_str().unwrap(), "--url", url]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(told), "{}", text(&output.stderr));
    }
}

#[test]
fn equal_configurations_differ_in_nothing() {
    let config = Setup::echo().plugin("p", &guest("c_headers"), "").text();
    let [old, same, other] =
        [("a.yaml", &config), ("b.yaml", &config), ("c.yaml", &config.replace("workers: 1", "workers: 2"))]
            .map(|(name, config)| file(&format!("diff-{name}"), config));
    let diff = |new: &std::path::Path| {
        let output = portcullis(&["diff", old.to_str().unwrap(), new.to_str().unwrap(), "--exit-code", "--json"]);
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), json)
    };
    let (code, json) = diff(&same);
    assert_eq!((code, &json["changes"], &json["vms"][0]["fate"]), (Some(0), &Value::Array(vec![]), &"stay".into()));
    let (code, json) = diff(&other);
    assert_eq!(
        (code, &json["changes"][0]["key"], &json["vms"][0]["fate"]),
        (Some(1), &"workers".into(), &"stay".into())
    );
}

#[test]
fn a_gateway_that_runs_explains_what_it_serves() {
    run(async {
        let gate = Setup::echo().plugin("shown", &guest("c_headers"), "").start();
        let answer = gate.admin("/explain?url=http://a.example/x%3Fy&header=x-a:1").await;
        let json: Value = serde_json::from_str(answer.text()).unwrap();
        assert_eq!(json["chain"]["plugins"][0]["name"], "shown", "{json:#}");
        assert_eq!(json["listener"]["why"], "it is the only one");
        let renamed = Setup::echo().plugin("renamed", &guest("c_headers"), "").text();
        gate.running.reload(Config::parse("gateway.yaml", &renamed).unwrap()).unwrap();
        let json: Value = serde_json::from_str(gate.admin("/explain?url=http://a.example/").await.text()).unwrap();
        assert_eq!(json["chain"]["plugins"][0]["name"], "renamed", "{json:#}");
        let answer = gate.admin("/explain").await;
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains("/explain?url=http://example.com/path"), "{}", answer.text());
    });
}
