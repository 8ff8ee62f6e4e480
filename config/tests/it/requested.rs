//! Modules that request rights.

use portcullis::package::with_requested_rights;
use portcullis_config::LoadOptions;

use crate::folder::{Folder, PLUGIN, host};

/// Loads a plugin whose module requests rights, with keys of its own.
fn load(folder: &Folder, requested: &str, keys: &str) -> Result<(), String> {
    let module = wat::parse_str(PLUGIN).unwrap();
    folder.write("plugin.wasm", with_requested_rights(&module, requested).unwrap());
    let file = format!("plugins:\n- name: p\n  vm_config: {{code: {{local: {{filename: plugin.wasm}}}}}}\n{keys}");
    let loaded = folder.file(&file).load(&LoadOptions::default(), &host);
    loaded.map(drop).map_err(|error| error.to_string())
}

fn allowed(capabilities: &str) -> String {
    format!("  capability_restriction_config: {{ allowed_capabilities: {{{capabilities}}} }}\n")
}

#[test]
fn a_module_that_requests_more_than_its_plugin_is_allowed_is_refused_with_the_difference() {
    let folder = Folder::new("requested", &[]);
    let call = r#"{"allowed_capabilities": {"proxy_log": {}, "proxy_http_call": {"upstreams": ["auth", "billing"]}}}"#;
    for (requested, keys, difference) in [
        (call, String::new(), None),
        (call, allowed("proxy_log: {}, proxy_http_call: {}"), None),
        (call, allowed("proxy_log: {}, proxy_http_call: { upstreams: [auth, billing], rate: 5/s }"), None),
        (
            call,
            allowed("proxy_log: {}, proxy_http_call: { upstreams: [auth] }"),
            Some("proxy_http_call.upstreams: billing"),
        ),
        (call, allowed("proxy_log: {}"), Some("proxy_http_call")),
        (call, allowed(""), Some("proxy_log; proxy_http_call")),
        (call, allowed("") + "  requested_rights: ignore\n", None),
        (r#"{"allowed_capabilities": {}}"#, allowed(""), None),
        (r#"{"preset": "all"}"#, allowed("proxy_log: {}"), Some("proxy_http_call")),
        // Of the VM, too.
        (
            r#"{"allowed_capabilities": {"proxy_log": {}}}"#,
            "  capability_restriction_config: { preset: all }\n".to_owned(),
            None,
        ),
    ] {
        let result = load(&folder, requested, &keys);
        let Some(difference) = difference else {
            assert_eq!(result, Ok(()), "{requested} {keys}");
            continue;
        };
        let error = result.unwrap_err();
        assert!(error.contains("plugins.yaml:3:40: plugins[0].vm_config.code.local.filename: the module requests rights that the plugin \"p\" is not allowed: "), "{error}");
        assert!(
            error.contains(difference) && error.contains("; allow them in capability_restriction_config, or write"),
            "{error}"
        );
    }
}

#[test]
fn rights_that_cannot_be_read_are_refused_unless_they_are_ignored() {
    let folder = Folder::new("requested-wrong", &[]);
    for (requested, expected) in [
        ("", "no JSON"),
        ("allowed_capabilities: {}", "no JSON"),
        ("[]", "expected a mapping"),
        (r#"{"allowed": {}}"#, "unknown key \"allowed\""),
        (r#"{"allowed_capabilities": {"proxy_nothing": {}}}"#, "unknown capability \"proxy_nothing\""),
        (r#"{"allowed_capabilities": {"proxy_log": {"rate": "many"}}}"#, "is no rate"),
        (
            &format!(
                r#"{{"allowed_capabilities": {{"proxy_http_call": {{"upstreams": [{}"a"]}}}}}}"#,
                "\"*\",".repeat(256)
            ),
            "has 257 values; at most 256 are read",
        ),
        (r#"{"preset": "none at all"}"#, "there is no preset"),
        (&format!("{}{}", "[".repeat(1000), "]".repeat(1000)), "no JSON"),
    ] {
        let error = load(&folder, requested, "").unwrap_err();
        assert!(error.contains(expected), "{requested}: {error}");
        assert!(error.contains("; package the module again, or write `requested_rights: ignore`"), "{error}");
        assert_eq!(load(&folder, requested, "  requested_rights: ignore\n"), Ok(()));
    }
}
