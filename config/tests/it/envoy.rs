//! Filters of Envoy.

use portcullis::chain::Isolation;
use portcullis::sandbox::Sharing;
use portcullis_config::{FailurePolicy, Plugin, PluginsFile};

use super::VM;

fn read(text: &str) -> PluginsFile {
    PluginsFile::from_envoy(text, "filter auth").unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn plugin(text: &str) -> Plugin {
    let file = read(text);
    assert_eq!(file.plugins().len(), 1);
    file.plugins()[0].clone()
}

fn errors(text: &str) -> String {
    match PluginsFile::from_envoy(text, "filter auth") {
        Ok(file) => panic!("no error in {file:?}"),
        Err(error) => error.to_string(),
    }
}

/// As protobuf writes a `Struct` that has been read from Envoy's YAML.
const CONFIG: &str = r#"{"name":"auth","root_id":"auth_root","vm_config":{"vm_id":"v","runtime":"envoy.wasm.runtime.v8",
    "code":{"local":{"inline_string":"(module)"}},"allow_precompiled":false,"configuration":{"@type":
    "type.googleapis.com/google.protobuf.StringValue","value":"vm"},"isolation":"stream","limits":{"memory":"1MiB"}},
    "configuration":{"@type":"type.googleapis.com/google.protobuf.Struct","value":{"realm":"\u003cx\u003e","n":3}},
    "failure_policy":"FAIL_RELOAD","reload_config":{"backoff":{"base_interval":"0.5s"}},
    "capability_restriction_config":{"preset":"headers","allowed_capabilities":{"proxy_http_call":{"upstreams":["auth"]}}},
    "allow_on_headers_stop_iteration":{"value":true}}"#;

#[test]
fn every_form_of_a_filter_is_the_same_plugin() {
    let own = plugin(CONFIG);
    assert_eq!((own.name.as_str(), own.root_id.as_str(), own.vm.vm_id.as_str()), ("auth", "auth_root", "v"));
    assert_eq!(own.configuration, br#"{"realm":"<x>","n":3}"#);
    assert_eq!((own.vm.configuration.as_slice(), own.vm.isolation), (&b"vm"[..], Isolation::Stream));
    assert_eq!((own.vm.limits.memory, own.failure_policy), (1 << 20, FailurePolicy::Reload));
    assert_eq!(own.vm.runtime.as_ref().map(|runtime| runtime.value.as_str()), Some("envoy.wasm.runtime.v8"));
    assert!(own.allow_on_headers_stop_iteration);
    let rights = own.rights.as_ref().unwrap();
    assert_eq!((rights.preset.as_ref().unwrap().value.as_str(), rights.allowed.len()), ("headers", 1));
    let wasm = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
    for text in [
        format!("{{\"config\":{CONFIG}}}"),
        format!("{{\"@type\":\"{wasm}\",\"config\":{CONFIG}}}"),
        format!(
            "{{\"name\":\"envoy.filters.http.wasm\",\"typed_config\":{{\"@type\":\"{wasm}\",\"config\":{CONFIG}}}}}"
        ),
        format!(
            "{{\"name\":\"w\",\"typedConfig\":{{\"@type\":\"type.googleapis.com/xds.type.v3.TypedStruct\",\"type_url\":\"{wasm}\",\
             \"value\":{{\"config\":{CONFIG}}}}}}}"
        ),
    ] {
        assert_eq!(plugin(&text), own, "{text}");
    }
}

#[test]
fn a_plugin_without_a_name_is_called_like_its_filter() {
    assert_eq!(plugin(&format!("{{{VM}}}")).name, "filter auth");
    assert_eq!(plugin(&format!("{{config: {{{VM}}}}}")).name, "filter auth");
    let wasm = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
    let text = format!("{{name: entry, typed_config: {{\"@type\": {wasm}, config: {{{VM}}}}}}}");
    assert_eq!(plugin(&text).name, "entry");
}

#[test]
fn settings_stand_beside_config() {
    let file = read(&format!("config: {{{VM}}}\ncode_cache: /cache\nsharing: isolate\nlimits: {{tick_share: 7%}}\n"));
    let settings = file.settings();
    assert_eq!(settings.code_cache.as_deref(), Some("/cache".as_ref()));
    assert_eq!((settings.sharing, settings.tick_share.get()), (Sharing::Isolate, 7));
}

#[test]
fn old_keys_are_told_of() {
    let file = read(&format!("{{fail_open: true, {VM}}}"));
    assert_eq!(file.plugins()[0].failure_policy, FailurePolicy::Open);
    let notices: Vec<_> = file.notices().iter().map(ToString::to_string).collect();
    assert_eq!(notices, ["filter auth:1:13: fail_open: fail_open is deprecated; write `failure_policy: FAIL_OPEN`"]);
}

/// Our keys have their places, and each other place says where.
#[test]
fn keys_at_other_places_are_told_theirs() {
    for key in ["limits: {}", "isolation: stream", "tier: compiled", "runtime: wasmi", "sharing: reject"] {
        for text in [format!("{{{VM}, {key}}}"), format!("{{config: {{{VM}, {key}}}}}")] {
            let found = errors(&text);
            assert!(found.ends_with("this key stands in vm_config; move it there"), "{text}: {found}");
        }
        let inside = VM.replace("vm_config: {", &format!("vm_config: {{{key}, "));
        assert_eq!(read(&format!("{{{inside}}}")).plugins().len(), 1, "{key}");
    }
    for (key, expected) in [
        ("engine: wasmi", "the engine is the runtime of vm_config; write `vm_config: {runtime: NAME}`"),
        ("rights: {}", "rights are Envoy's capability_restriction_config; rename it"),
        ("codeCache: x", "this key stands beside config; write `{config: {...}, code_cache: FOLDER}`"),
        ("config: {}", "this is Envoy's form before 1.18"),
    ] {
        let found = errors(&format!("{{{VM}, {key}}}"));
        assert!(found.contains(expected), "{key}: {found}");
    }
}

#[test]
fn mistakes_are_found_with_place_and_remedy() {
    let tcp = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
    for (text, expected) in [
        (
            "".to_owned(),
            "filter auth: the filter has no configuration; write `{config: {vm_config: {code: {local: {filename: plugin.wasm}}}}}`",
        ),
        ("{}".to_owned(), "filter auth:1:1: missing key \"vm_config\"; add `vm_config:"),
        (format!("{{\"root_ID\":\"x\",{VM}}}"), "filter auth:1:2: unknown key \"root_ID\"; did you mean \"root_id\"?"),
        (
            format!("{{config: {{{VM}}}, isolation: stream}}"),
            "unknown key \"isolation\"; the keys here are @type, config, code_cache",
        ),
        (
            format!("{{config: {{{VM}, fail_opn: true}}}}"),
            "config: unknown key \"fail_opn\"; did you mean \"fail_open\"?",
        ),
        ("{vm_config: {code: {remote: {}}}}".to_owned(), "remote code is not fetched; download the file"),
        (format!("{{\"@type\": {tcp}, config: {{{VM}}}}}"), "TcpProxy\" is not a Wasm plugin; remove this entry"),
        (format!("{{config: {{{VM}}}, config: {{}}}}"), "duplicate key \"config\""),
        ("{\"config\": ".to_owned(), "not valid YAML"),
        ("just text".to_owned(), "expected a mapping, found \"just text\""),
    ] {
        let found = errors(&text);
        assert!(found.contains(expected), "{text}: {found}");
    }
    let both = errors("{config: {vm_config: {cod: {}}}, sharng: reject}");
    assert_eq!(both.lines().count(), 2, "{both}");
}
