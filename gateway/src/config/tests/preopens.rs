//! `preopens` of plugins.

use std::path::PathBuf;

use portcullis::resources::Preopen;

use crate::config::Config;

/// Returns a file whose plugin has these directories.
fn with(preopens: &str) -> String {
    format!(
        "clusters: [{{name: e, echo: {{}}}}]\nlisteners:\n  - address: 127.0.0.1:8080\n    routes: [{{cluster: e}}]\n    \
         plugins: [{{vm_config: {{code: {{local: {{inline_string: x}}}}, preopens: [{preopens}]}}}}]"
    )
}

#[test]
fn they_are_read_in_their_order() {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let text = with("{guest: /data/, host: src}, {guest: ., host: tests, write: true}, {guest: /, host: src}");
    // Beside the configuration, wherever the tests run.
    let config = Config::parse(here.join("gateway.yaml").to_str().unwrap(), &text).unwrap();
    let found = &config.listeners[0].plugins[0].vm.preopens;
    let expected: Vec<(&str, bool)> = vec![("/data", false), (".", true), ("/", false)];
    assert_eq!(found.iter().map(|p| (p.guest.as_str(), p.write)).collect::<Vec<_>>(), expected);
    assert!(found.iter().all(|Preopen { host, .. }| host.is_dir()));
    let json = config.to_json();
    let shown = &json["listeners"][0]["plugins"][0]["vm_config"]["preopens"][1];
    assert_eq!((&shown["guest"], &shown["write"]), (&".".into(), &true.into()));
}

#[test]
fn mistakes_have_a_remedy() {
    for (preopens, expected) in [
        ("{guest: /a}", "vm_config.preopens[0]: missing key \"host\"; add where it is: `host: ./data`"),
        ("{host: /}", "vm_config.preopens[0]: missing key \"guest\"; add what the plugin calls it: `guest: /data`"),
        (
            "{guest: /a, host: /no/such}",
            "preopens[0].host: there is no directory \"/no/such\"; make the directory, or correct the path",
        ),
        ("{guest: /a, host: ./no}", "there is no directory \"./no\", neither in the working directory"),
        (
            "{guest: /a, host: Cargo.toml}",
            "preopens[0].host: \"Cargo.toml\" is a file; name the directory that it is in",
        ),
        ("{guest: ./a, host: /}", "preopens[0].guest: the guest path \"./a\" is not absolute; write \"/a\", or \".\""),
        ("{guest: /a/../b, host: /}", "preopens[0].guest: \"/a/../b\" cannot be what a plugin calls a directory"),
        (
            "{guest: /a, host: /}, {guest: /a/, host: /}",
            "preopens[1].guest: duplicate guest path \"/a\", first used in line 5; choose another one",
        ),
        ("{guest: /a, host: /, write: yes please}", "preopens[0].write: expected true or false"),
        ("{guest: /a, host: /, writ: true}", "unknown key \"writ\"; did you mean \"write\"?"),
    ] {
        let errors = Config::parse("gateway.yaml", &with(preopens)).unwrap_err().to_string();
        assert!(errors.contains(expected), "{preopens}: {errors}");
    }
}
