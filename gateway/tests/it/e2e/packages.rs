//! Plugins that are signed and request rights, from `portcullis package` to a reload.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::e2e::cli::{file, portcullis, text};
use crate::e2e::harness::wat::{plugin_of, write};
use crate::e2e::harness::{Setup, get, guest, run};

/// The first test keys of RFC 8032.
pub(crate) const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/// The second.
const OTHER_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7
-----END PRIVATE KEY-----
";

/// Packages a plugin with rights and a key; returns its file.
fn package(plugin: &Path, name: &str, rights: &str, key: &str) -> PathBuf {
    let (rights, key) = (file(&format!("{name}.rights.yaml"), rights), file(&format!("{name}.pem"), key));
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.signed.wasm"));
    let paths = [plugin, &out, &rights, &key].map(|path| path.to_str().unwrap());
    let [plugin, out_name, rights, key] = paths;
    let output = portcullis(&["package", plugin, "-o", out_name, "--rights", rights, "--key", key]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).ends_with(", requests rights, is signed\n"), "{}", text(&output.stdout));
    out
}

const RIGHTS: &str = "{allowed_capabilities: {proxy_add_header_map_value: {}, proxy_on_response_headers: {}}}";

/// Writes its version into `x-version` of each response.
fn version(version: u8) -> PathBuf {
    plugin_of(&format!(
        r#"(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
            (call $header (i32.const 2) $"x-version" $"{version}") (i32.const 0))"#
    ))
}

/// A gateway's configuration with the module, which has to be signed.
fn with(module: &Path) -> Setup {
    let verify = format!("verify: [{{module_signature: {{public_keys: {{inline_string: \"{PUBLIC}\"}}}}}}]");
    let rights = format!("capability_restriction_config: {RIGHTS}");
    Setup::echo().plugin("packaged", module, &format!("{verify}, {rights}"))
}

#[test]
fn an_update_that_is_not_signed_or_asks_for_more_is_refused_and_the_old_code_serves_on() {
    run(async {
        let first = package(&version(1), "packages-1", RIGHTS, PRIVATE);
        let second = package(&version(2), "packages-2", RIGHTS, PRIVATE);
        let more = RIGHTS.replace("proxy_on_response", "proxy_log: {}, proxy_on_response");
        let asks = package(&version(2), "packages-more", &more, PRIVATE);
        let of_another = package(&version(2), "packages-other", RIGHTS, OTHER_PRIVATE);
        let mut altered = std::fs::read(&second).unwrap();
        let place = altered.windows(9).position(|bytes| bytes == b"x-version").unwrap();
        altered[place] = b'y';
        let gate = with(&first).start();
        let config = gate.admin("/config").await;
        let shown = config.text();
        assert!(shown.contains(PUBLIC) && shown.contains("\"requested_rights\": \"enforce\""), "{shown}");
        let wrong = [
            (version(2), "it is not signed: it has no custom section \"signature\""),
            (write(&altered), "none of the public keys fits its signature: it was altered, or signed with another key"),
            (of_another, "none of the public keys fits its signature"),
            (asks, "the module requests rights that the plugin \"packaged\" is not allowed: proxy_log; allow them in"),
        ];
        for (module, expected) in &wrong {
            let error = gate.reload(&with(module)).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            let answer = gate.h1().await.ask(get("/")).await;
            assert_eq!((answer.status, answer.header("x-version")), (200, "1".to_owned()), "{expected}");
            assert_eq!(gate.admin("/ready").await.status, 200);
        }
        gate.reload(&with(&second)).await.unwrap();
        assert_eq!(gate.h1().await.ask(get("/")).await.header("x-version"), "2");
        // Nor does a gateway start with them.
        for (module, expected) in &wrong {
            let error = with(module).refusal();
            assert!(error.contains(expected), "{error}");
        }
    });
}

#[test]
fn a_plugin_is_laid_out_as_an_image_whose_digests_are_right() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages-oci");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages-image.wasm");
    let (plugin, rights) = (guest("header_tour"), file("packages-image.yaml", RIGHTS));
    let paths = [&plugin, &out, &rights, &folder].map(|path| path.to_str().unwrap().to_owned());
    let [plugin, out_name, rights, folder_name] = &paths;
    let output = portcullis(&["package", plugin, "-o", out_name, "--rights", rights, "--oci", folder_name]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
    let blob = |descriptor: &serde_json::Value| {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
        let bytes = std::fs::read(folder.join("blobs/sha256").join(&digest)).unwrap();
        let own: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((own, descriptor["size"].as_u64()), (digest, Some(bytes.len() as u64)));
        bytes
    };
    let layout = json(&std::fs::read(folder.join("oci-layout")).unwrap());
    assert_eq!(layout["imageLayoutVersion"], "1.0.0");
    let index = json(&std::fs::read(folder.join("index.json")).unwrap());
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    assert!(text(&output.stdout).ends_with(&format!("{folder_name}: {digest}\n")), "{}", text(&output.stdout));
    let manifest = json(&blob(&index["manifests"][0]));
    let layer = &manifest["layers"][0];
    assert_eq!(blob(layer), std::fs::read(&out).unwrap());
    assert_eq!(layer["mediaType"], "application/wasm");
    assert_eq!(json(&blob(&manifest["config"]))["layerDigests"], serde_json::json!([layer["digest"]]));
    let asked = json(manifest["annotations"]["portcullis.rights"].as_str().unwrap().as_bytes());
    assert_eq!(asked["allowed_capabilities"]["proxy_add_header_map_value"], serde_json::json!({}));
}

#[test]
fn what_cannot_be_packaged_is_told_and_nothing_is_written() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages-none.wasm");
    let _ = std::fs::remove_file(&out);
    let signed = package(&version(3), "packages-3", RIGHTS, PRIVATE);
    let (rights, key) = (file("packages-good.yaml", RIGHTS), file("packages-good.pem", PRIVATE));
    let unknown = file("packages-bad.yaml", "allowed_capabilities: {proxy_lgo: {}}");
    let no_module = file("packages-bad.wasm", "(module)");
    for (plugin, option, value, expected) in [
        (&signed, "--rights", &rights, "it requests rights already; begin with the module as it was built"),
        (&signed, "--key", &key, "it has a custom section \"signature\" already; sign the module as it was built"),
        (&version(3), "--rights", &unknown, "unknown capability \"proxy_lgo\""),
        (&version(3), "--key", &rights, "this is no private key of Ed25519 in PEM; make one with `openssl genpkey"),
        (&no_module, "--key", &key, "it cannot be read as a module"),
        (&version(3), "--key", &PathBuf::from("/nowhere.pem"), "cannot read /nowhere.pem"),
    ] {
        let paths = [plugin, &out, value].map(|path| path.to_str().unwrap().to_owned());
        let output = portcullis(&["package", &paths[0], "-o", &paths[1], option, &paths[2]]);
        let error = text(&output.stderr);
        assert!(output.status.code() == Some(1) && error.contains(expected), "{error}");
        assert!(!out.exists(), "{expected}");
    }
}
