//! Every hook of `ProxyHttp` is the wrapped proxy's, too.

use std::process::Command;

#[test]
fn every_hook_of_the_trait_is_forwarded() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        // A build has downloaded what this platform needs, and no more.
        .args(["metadata", "--format-version", "1", "--offline", "--filter-platform", "host-tuple", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let pingora = packages.iter().find(|package| package["name"] == "pingora-proxy").unwrap();
    let manifest = pingora["manifest_path"].as_str().unwrap();
    let path = manifest.replace("Cargo.toml", "src/proxy_trait.rs");
    let text = std::fs::read_to_string(&path).unwrap();
    let (_, rest) = text.split_once("pub trait ProxyHttp {").unwrap();
    let (hooks, _) = rest.split_once("\n}\n").unwrap();
    let ours = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/plugged.rs")).unwrap();
    let names: Vec<_> = hooks
        .lines()
        .filter_map(|line| line.trim_start().trim_start_matches("async ").strip_prefix("fn "))
        .filter_map(|rest| rest.split('(').next())
        .collect();
    assert!(names.len() > 40, "{names:?}");
    for name in names {
        assert!(ours.contains(&format!("fn {name}(")), "{name} is not in src/plugged.rs");
        assert!(ours.contains(&format!("self.proxy.{name}(")), "{name} is not forwarded");
    }
}
