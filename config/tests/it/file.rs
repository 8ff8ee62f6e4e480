//! Files of plugins.

use std::path::PathBuf;

use portcullis::sandbox::Sharing;
use portcullis_config::{Backoff, FailurePolicy, PluginsFile, Settings};

use super::VM;

fn parse(text: &str) -> PluginsFile {
    PluginsFile::parse("folder/plugins.yaml", text).unwrap_or_else(|error| panic!("{error}"))
}

/// Returns the findings in a file, one a line.
fn errors(text: &str) -> String {
    match PluginsFile::parse("plugins.yaml", text) {
        Ok(file) => panic!("no error in {file:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn plugins_keep_their_order_and_have_defaults() {
    let file = parse(&format!("plugins:\n  - {{name: b, {VM}}}\n  - {VM}\n  - {{name: a, {VM}, root_id: r}}\n"));
    let names: Vec<_> = file.plugins().iter().map(|plugin| plugin.name.as_str()).collect();
    assert_eq!(names, ["b", "plugin_1", "a"]);
    assert_eq!(file.plugins()[2].root_id, "r");
    assert_eq!(file.plugins()[0].failure_policy, FailurePolicy::Closed);
    assert_eq!(file.plugins()[0].reload_backoff, Backoff::default());
    assert_eq!(file.plugins()[1].origin.path, "plugins[1]");
    assert_eq!((file.settings(), file.notices()), (&Settings::default(), &[][..]));
}

#[test]
fn settings_of_all_plugins_stand_beside_them() {
    let file = parse(&format!("code_cache: cache\nsharing: isolate\nlimits: {{tick_share: 5%}}\nplugins: [{{{VM}}}]"));
    let Settings { tick_share, code_cache, sharing, .. } = file.settings();
    assert_eq!(code_cache.as_deref(), Some(PathBuf::from("folder/cache").as_path()), "beside the file");
    assert_eq!((tick_share.get(), *sharing), (5, Sharing::Isolate));
}

#[test]
fn json_and_camel_case_are_read_as_yaml_is() {
    let yaml = "plugins:\n  - name: a\n    root_id: r\n    configuration: {z: [1, {b: \"\\u00e9\\n\"}]}\n    vm_config:\n      \
                code: {local: {inline_string: (module)}}\n      limits: {memory: 1MiB}\n";
    let json = r#"{"plugins":[{"name":"a","rootId":"r","configuration":{"z":[1,{"b":"\u00e9\n"}]},
        "vmConfig":{"code":{"local":{"inlineString":"(module)"}},"limits":{"memory":"1MiB"}}}]}"#;
    assert_eq!(parse(json), parse(yaml));
    let text = format!(
        r#"{{"plugins": [{{"name": "\ud83d\ude00", {}}}]}}"#,
        r#""vm_config": {"code": {"local": {"inline_string": "x"}}}"#
    );
    assert_eq!(parse(&text).plugins()[0].name, "😀", "a character that is two escapes in JSON alone");
    assert_eq!(parse(json).plugins()[0].configuration, "{\"z\":[1,{\"b\":\"é\\n\"}]}".as_bytes());
}

#[test]
fn a_filter_of_envoy_can_stand_in_the_list() {
    let wasm = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
    let file = parse(&format!(
        "plugins:\n  - {{name: envoy.filters.http.wasm, typed_config: {{\"@type\": {wasm}, config: {{name: inner, {VM}}}}}}}\n  - \
         {{name: outer, typed_config: {{\"@type\": {wasm}, config: {{{VM}}}}}}}\n"
    ));
    assert_eq!(file.plugins().iter().map(|plugin| &*plugin.name).collect::<Vec<_>>(), ["inner", "outer"]);
}

#[test]
fn all_that_is_wrong_is_found_at_once() {
    let text = "sharng: reject\nplugins:\n  - name: a\n    vm_config:\n      code: {local: {filename: /no/such.wasm}}\n      limit: {}\n      \
                isolation: streams\n  - name: b\n    configration: {}\n    vm_config: {code: {local: {inline_string: x}}, limits: {cpu: 120%}}\n";
    let expected = "plugins.yaml:1:1: unknown key \"sharng\"; did you mean \"sharing\"?\n\
                    plugins.yaml:5:32: plugins[0].vm_config.code.local.filename: there is no file \"/no/such.wasm\"; build the plugin, or \
                    correct the path\n\
                    plugins.yaml:6:7: plugins[0].vm_config: unknown key \"limit\"; did you mean \"limits\"?\n\
                    plugins.yaml:7:18: plugins[0].vm_config.isolation: expected worker or stream, found \"streams\"; did you mean \"stream\"?\n\
                    plugins.yaml:9:5: plugins[1]: unknown key \"configration\"; did you mean \"configuration\"?\n\
                    plugins.yaml:10:66: plugins[1].vm_config.limits.cpu: expected a percentage such as 20%, found \"120%\"; write a whole number \
                    from 1 to 100, with %";
    assert_eq!(errors(text), expected);
}

#[test]
fn mistakes_have_a_remedy() {
    let twice = format!("plugins: [{{name: a, {VM}}}, {{name: a, {VM}}}]");
    for (text, expected) in [
        (
            "",
            "plugins.yaml: the file is empty; start from `plugins: [{name: NAME, vm_config: {code: {local: {filename: plugin.wasm}}}}]`",
        ),
        ("sharing: reject", "missing key \"plugins\"; list the plugins below `plugins`"),
        ("plugins: {name: a}", "plugins.yaml:1:10: plugins: expected a list, found a mapping"),
        ("plugins: [a]", "plugins[0]: expected a mapping, found \"a\""),
        ("[1]", "plugins.yaml:1:1: expected a mapping, found a list"),
        (&twice, "plugins[1].name: duplicate plugin name \"a\", first used in line 1; choose another one"),
    ] {
        let found = errors(text);
        assert!(found.contains(expected), "{text}: {found}");
    }
}

/// A block of a gateway's file can be copied; what belongs to the gateway is refused with the reason.
#[test]
fn keys_of_the_gateway_are_refused() {
    for key in [
        "workers",
        "admin",
        "shutdown_timeout",
        "max_upstream_connections",
        "max_callouts",
        "stats_config",
        "services",
        "bootstrap_extensions",
        "listeners",
        "clusters",
    ] {
        assert_eq!(
            errors(&format!("plugins: []\n{key}: 1\n")),
            "plugins.yaml:2:1: this key is the gateway's, and this is a file of plugins alone; remove it: the program that runs the plugins \
             decides it"
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_of_with_its_name() {
    let error = PluginsFile::read("/no/such/plugins.yaml").unwrap_err().to_string();
    assert!(error.starts_with("/no/such/plugins.yaml: cannot read the configuration: "), "{error}");
    let error = PluginsFile::read(env!("CARGO_MANIFEST_DIR")).unwrap_err().to_string();
    assert!(error.contains("name a regular file"), "{error}");
}
