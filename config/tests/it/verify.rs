//! Plugins whose code has to be signed.

use portcullis::package::{PrivateKey, sign};
use portcullis_config::{LoadOptions, PluginsFile};

use crate::folder::{Folder, PLUGIN, host};

/// The first test keys of RFC 8032.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const OTHER: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";

fn signed() -> Vec<u8> {
    sign(&wat::parse_str(PLUGIN).unwrap(), &PrivateKey::from_pem(PRIVATE).unwrap()).unwrap()
}

/// A file whose plugin runs `plugin.wasm`, and what has to hold of it.
fn file(verify: &str) -> String {
    format!("plugins:\n- name: p\n  vm_config: {{code: {{local: {{filename: plugin.wasm}}}}}}\n  verify: {verify}\n")
}

fn by(keys: &str) -> String {
    format!("[{{module_signature: {{public_keys: {keys}}}}}]")
}

#[test]
fn only_code_that_is_signed_with_one_of_the_keys_is_loaded() {
    let folder = Folder::new("verify", &[]);
    folder.write("keys.txt", format!("{OTHER}\n{PUBLIC}\n"));
    folder.write("other.txt", OTHER);
    let mut altered = signed();
    let name = altered.windows(9).position(|bytes| bytes == b"proxy_abi").unwrap();
    altered[name] ^= 1;
    let unsigned = wat::parse_str(PLUGIN).unwrap();
    let behind = [&signed()[..], b"\0\x02\x01a"].concat();
    let (known, other) = (by("{filename: keys.txt}"), by("{filename: other.txt}"));
    let both = format!("[{}, {}]", known.trim_matches(['[', ']']), other.trim_matches(['[', ']']));
    let inline = by(&format!("{{inline_string: \"{PUBLIC}\"}}"));
    for (code, verify, expected) in [
        (signed(), &known, None),
        (signed(), &inline, None),
        (
            signed(),
            &other,
            Some("none of the public keys fits its signature: it was altered, or signed with another key; "),
        ),
        (signed(), &both, Some("none of the public keys fits its signature")),
        (altered, &known, Some("none of the public keys fits its signature")),
        (
            unsigned,
            &known,
            Some("it is not signed: it has no custom section \"signature\"; get the module as it was signed, "),
        ),
        (behind, &known, Some("is not the last section")),
        (PLUGIN.into(), &known, Some("it cannot be read as a module")),
    ] {
        folder.write("plugin.wasm", code);
        let result = folder.file(&file(verify)).load(&LoadOptions::default(), &host);
        match (result, expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => {
                let error = error.to_string();
                assert!(error.contains(expected), "{error}");
                assert!(error.contains("plugins.yaml:3:") && error.contains("plugins.yaml:4"), "{error}");
            }
            (result, expected) => panic!("{verify}: {:?}, {expected:?}", result.err()),
        }
    }
}

#[test]
fn keys_that_cannot_be_read_and_lists_that_verify_nothing_are_refused() {
    let folder = Folder::new("verify-keys", &[("plugin.wasm", PLUGIN)]);
    folder.write("empty.txt", "");
    folder.write("binary.txt", [0xff, 0xfe]);
    folder.write("key.pem", PRIVATE);
    for (verify, expected) in [
        ("[]".to_owned(), "an empty list verifies nothing; add a verification, or remove the key"),
        ("[{}]".to_owned(), "missing key \"module_signature\"; add `module_signature: "),
        ("[{module_signature: {}}]".to_owned(), "missing key \"public_keys\""),
        (by("{}"), "no keys are given; add `filename: keys.pem` or inline_string"),
        (by("{filename: gone.txt}"), "there is no file \"gone.txt\""),
        (by("{filename: empty.txt}"), "there is no key: expected PEM"),
        (by("{filename: binary.txt}"), "is not valid UTF-8; write the keys in PEM"),
        (by("{filename: key.pem}"), "there is no key: expected PEM (-----BEGIN PUBLIC KEY-----)"),
        (by("{inline_string: abc}"), "line 1 is no key of Ed25519"),
        (by("{inline_string: abc, filename: empty.txt}"), "both \"filename\" and \"inline_string\" are given"),
    ] {
        let path = folder.write("plugins.yaml", file(&verify));
        let error = PluginsFile::read(path).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("plugins.yaml:4:"), "{verify}: {error}");
    }
}
