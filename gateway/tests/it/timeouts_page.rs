//! The page of all time limits says what the code does.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use portcullis_gateway::config::Config;
use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/timeouts.md");

/// The rows of the tables of a section, as cells.
fn rows(section: &str) -> Vec<Vec<&'static str>> {
    let start = PAGE.find(&format!("\n## {section}\n")).unwrap_or_else(|| panic!("there is no section {section}"));
    let text = &PAGE[start + 4..];
    let text = &text[..text.find("\n## ").unwrap_or(text.len())];
    text.lines().filter_map(|line| Some(line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect())).collect()
}

/// The defaults that a section gives, by key.
fn defaults(section: &str) -> BTreeMap<String, Duration> {
    let rows = rows(section).into_iter().filter(|cells| cells.len() == 5);
    rows.filter_map(|cells| Some((cells[0].trim_matches('`').to_owned(), duration(cells[1])?))).collect()
}

/// All durations below a value, by the path to them.
fn durations(value: &Value) -> BTreeMap<String, Duration> {
    let mut found = BTreeMap::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        found.extend(value.as_str().and_then(duration).map(|duration| (name.clone(), duration)));
        found.extend(durations(value).into_iter().map(|(path, duration)| (format!("{name}.{path}"), duration)));
    }
    found
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let scale =
        [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)].into_iter().find(|(name, _)| *name == unit)?.1;
    Some(Duration::from_millis(number.parse::<u64>().ok()? * scale))
}

#[test]
fn its_defaults_are_those_of_the_code_and_none_is_missing() {
    let code = "vm_config: {code: {local: {inline_string: (module)}}}";
    let text = format!(
        "listeners:
  - address: 127.0.0.1:0
    routes: [{{cluster: servers}}]
    plugins: [{{{code}}}]
  - address: 127.0.0.1:0
    tcp_proxy: {{cluster: servers}}
clusters: [{{name: servers, endpoints: [\"a:80\"], protocol: http2}}]"
    );
    let config = Config::parse("gateway.yaml", &text).unwrap().to_json();
    let [http, tcp] = config["listeners"].as_array().unwrap().as_slice() else { panic!() };
    let mut gateway = config.clone();
    gateway.as_object_mut().unwrap().retain(|_, value| !value.is_array());
    let limits = serde_json::json!({ "limits": http["plugins"][0]["vm_config"]["limits"] });
    for (section, value) in [
        ("A listener", http),
        ("A TCP listener", tcp),
        ("A route and its cluster", &config["clusters"][0]),
        ("A plugin", &limits),
        ("The gateway", &gateway),
    ] {
        let expected = durations(value);
        assert!(!expected.is_empty(), "{section}");
        assert_eq!(defaults(section), expected, "{section}");
    }
}

#[test]
fn every_limit_has_a_test_that_exists() {
    let mut sources = String::new();
    for folder in ["tests/it/e2e", "tests/it/e2e/generations"] {
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                sources += &std::fs::read_to_string(path).unwrap();
            }
        }
    }
    for section in ["A listener", "A TCP listener", "A route and its cluster", "A plugin", "The gateway"] {
        let mut tested = String::new();
        for cells in rows(section).into_iter().filter(|cells| cells.len() == 4 && cells[0] != "key") {
            tested += cells[0];
            for test in cells[3].split(", ").map(|test| test.trim_matches('`')) {
                assert!(sources.contains(&format!("fn {test}()")), "there is no test {test}");
            }
        }
        for key in defaults(section).keys() {
            let key = key.strip_prefix("connection_keepalive.").map_or(key.as_str(), |_| "connection_keepalive");
            assert!(tested.contains(&format!("`{key}`")), "{section}: {key}");
        }
    }
}
