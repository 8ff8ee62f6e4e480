//! Files that are no files, and configurations that are no configurations: each command says so, and none waits.

use std::path::Path;

use crate::e2e::cli::{file, portcullis, text};
use crate::e2e::harness::{Setup, guest};

/// A path of each kind that is not read, and what is said of it.
fn odd() -> Vec<(String, &'static str)> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let pipe = folder.join("odd.pipe");
    let _ = std::fs::remove_file(&pipe);
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let sparse = folder.join("odd.sparse");
    std::fs::File::create(&sparse).unwrap().set_len(10 << 30).unwrap();
    vec![
        ("/dev/zero".to_owned(), "is a device"),
        (pipe.to_str().unwrap().to_owned(), "is a pipe"),
        (folder.to_str().unwrap().to_owned(), "is a directory"),
        (sparse.to_str().unwrap().to_owned(), "has 10737418240 bytes"),
    ]
}

#[test]
fn no_command_reads_what_is_no_file() {
    let wasm = guest("header_tour");
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("odd_cache");
    for (path, why) in odd() {
        let cache = kept.to_str().unwrap();
        let commands: [&[&str]; 7] = [
            &["check", &path],
            &["serve", &path],
            &["sandboxes", &path],
            &["learn", &path],
            &["inspect", &path],
            &["replay", &path],
            &["compile", &path, "-o", "/dev/null", "--code-cache", cache],
        ];
        for command in commands {
            // A sparse file is a transcript whose first line is too long.
            if command[0] == "replay" && why.starts_with("has") {
                continue;
            }
            let output = portcullis(command);
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
            assert!(said.contains(why) && said.contains(&path), "{command:?}: {said}");
        }
        let good = Setup::echo().plugin("p", &wasm, "").text();
        let config = file("odd.yaml", &good.replace(wasm.to_str().unwrap(), &path));
        let output = portcullis(&["check", config.to_str().unwrap()]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(why) && said.contains(&path) && said.contains("odd.yaml:"), "{said}");
    }
}

#[test]
fn a_configuration_that_is_nested_without_end_is_an_error() {
    let deep = |before: &str, open: &str, middle: &str, close: &str| {
        format!("{before}{}{middle}{}\n", open.repeat(20_000), close.repeat(20_000))
    };
    let good = Setup::echo().plugin("p", &guest("header_tour"), "configuration: CONFIGURATION").text();
    let configuration = |value: &str| good.replace("CONFIGURATION", value);
    let lists = deep("", "[", "", "]");
    for (name, config) in [
        ("lists", deep("listeners: ", "[", "", "]")),
        ("dashes", deep("listeners:\n  ", "- ", "x", "")),
        ("mappings", deep("listeners: ", "{a: ", "", "}")),
        ("json", deep("{\"listeners\": ", "{\"a\": ", "1", "}") + "}"),
        ("configuration", configuration(lists.trim())),
    ] {
        let path = file(&format!("deep-{name}.yaml"), &config);
        let output = portcullis(&["check", path.to_str().unwrap()]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains("deeper than 128 levels; make it flatter"), "{name}: {said}");
    }
    // Text is the plugin's affair, however deep the plugin may find it.
    let path = file("deep-text.yaml", &configuration(&format!("'{}'", lists.trim())));
    let output = portcullis(&["check", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}
