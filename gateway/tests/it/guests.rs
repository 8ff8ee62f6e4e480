//! The committed plugins are those that their sources say: the manifest's digests hold.

use std::path::Path;

use sha2::{Digest, Sha256};

#[test]
fn sources_and_binaries_have_the_digests_of_the_manifest() {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests");
    let digest = |path: &str| {
        let bytes = std::fs::read(guests.join(path)).unwrap_or_else(|error| panic!("guests/{path}: {error}"));
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let manifest = std::fs::read_to_string(guests.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let plugins = manifest["plugins"].as_object().expect("the manifest lists plugins");
    assert!(plugins.len() >= 4);
    for (name, plugin) in plugins {
        for (path, expected) in plugin["sources"].as_object().unwrap() {
            assert_eq!(digest(path), *expected, "{name}: {path} has changed; run guests/build.sh");
        }
        let binary = plugin["binary"].as_str().unwrap();
        assert_eq!(
            digest(binary),
            plugin["sha256"],
            "{name}: {binary} is not the one that was built; run guests/build.sh"
        );
    }
}
