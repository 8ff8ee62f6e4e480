//! Values that a configuration refers to.

use std::path::{Path, PathBuf};

use portcullis_config::{Plugin, PluginsFile};

/// A folder of its own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("portcullis-secrets-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), content).unwrap();
    }

    /// Reads a file of plugins in this folder, with one plugin that has this configuration, and these keys in its VM.
    fn read(&self, configuration: &str, vm: &str) -> Result<Plugin, String> {
        let text = format!(
            "plugins:\n  - name: p\n    vm_config: {{code: {{local: {{inline_string: (module)}}}}{vm}}}\n    configuration: {configuration}\n"
        );
        let name = self.0.join("plugins.yaml").display().to_string();
        let file = PluginsFile::parse(&name, &text).map_err(|error| error.to_string())?;
        Ok(file.plugins()[0].clone())
    }

    fn configuration(&self, configuration: &str) -> String {
        let plugin = self.read(configuration, "").unwrap_or_else(|error| panic!("{error}"));
        String::from_utf8(plugin.configuration).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn references_are_texts_anywhere_in_a_configuration() {
    let folder = Folder::new("anywhere");
    folder.write("key", "k\"1\n");
    folder.write("windows", "two\r\nlines\r\n");
    let home = env!("CARGO_MANIFEST_DIR");
    for (configuration, expected) in [
        ("{file: key}", "k\"1".to_owned()),
        ("{file: windows}", "two\r\nlines".to_owned()),
        ("{env: CARGO_MANIFEST_DIR}", home.to_owned()),
        ("{a: {file: key}, b: 1}", r#"{"a":"k\"1","b":1}"#.to_owned()),
        ("[x, {list: [{env: CARGO_MANIFEST_DIR}, {file: key}]}]", format!(r#"["x",{{"list":["{home}","k\"1"]}}]"#)),
    ] {
        assert_eq!(folder.configuration(configuration), expected, "{configuration}");
    }
}

#[test]
fn other_mappings_stay_and_so_do_all_beside_a_type() {
    let folder = Folder::new("others");
    folder.write("key", "k");
    for (configuration, expected) in [
        ("{a: {file: key, more: 1}}", r#"{"a":{"file":"key","more":1}}"#),
        ("{a: {file: 1}}", r#"{"a":{"file":1}}"#),
        ("{a: {env: {x: y}}}", r#"{"a":{"env":{"x":"y"}}}"#),
        ("{a: {credential: null}}", r#"{"a":{"credential":null}}"#),
        ("{a: {File: key}}", r#"{"a":{"File":"key"}}"#),
        (r#"{"@type": google.protobuf.Struct, value: {a: {file: key}}}"#, r#"{"a":{"file":"key"}}"#),
    ] {
        assert_eq!(folder.configuration(configuration), expected);
    }
}

#[test]
fn a_configuration_shows_its_references_and_debug_no_value() {
    let folder = Folder::new("shown");
    folder.write("key", "HUSH-1");
    let variables =
        ", configuration: {b: {file: key}}, environment_variables: {key_values: {KEY: {file: key}, PLAIN: HUSH-2}}";
    let plugin = folder.read("{api: {file: key}, mode: fast}", variables).unwrap();
    assert_eq!(plugin.configuration, br#"{"api":"HUSH-1","mode":"fast"}"#);
    let shown = plugin.configuration_secrets.shown(&plugin.configuration);
    assert_eq!(shown, br#"{"api":{"file":"key"},"mode":"fast"}"#);
    assert_eq!(plugin.vm.configuration, br#"{"b":"HUSH-1"}"#);
    assert_eq!(plugin.vm.configuration_secrets.shown(&plugin.vm.configuration), br#"{"b":{"file":"key"}}"#);
    let variables: Vec<_> = plugin.vm.environment.iter().collect();
    assert_eq!(variables, [("KEY", "HUSH-1"), ("PLAIN", "HUSH-2")]);
    assert_eq!(plugin.secrets().collect::<Vec<_>>(), ["HUSH-1"; 3], "those that stand elsewhere");
    let debug =
        format!("{:?} {:?} {:?}", plugin.configuration_secrets, plugin.vm.configuration_secrets, plugin.vm.environment);
    assert!(!debug.contains("HUSH"), "{debug}");
    let debug = format!("{plugin:?}");
    assert!(debug.contains("\"p\"") && !debug.contains("HUSH") && !debug.contains("72, 85, 83, 72"), "{debug}");
}

/// A reload finds another plugin.
#[test]
fn another_value_is_another_plugin() {
    let folder = Folder::new("changed");
    for vm in ["", ", configuration: {a: {file: vm}}", ", environment_variables: {key_values: {KEY: {file: vm}}}"] {
        folder.write("key", "one");
        folder.write("vm", "one");
        let read = || folder.read("{a: {file: key}}", vm).unwrap();
        let before = read();
        assert_eq!(read(), before);
        folder.write(if vm.is_empty() { "key" } else { "vm" }, "two");
        assert_ne!(read(), before, "{vm}");
    }
}

#[test]
fn mistakes_name_key_place_and_remedy_and_show_no_value() {
    let folder = Folder::new("mistakes");
    folder.write("empty", "\n");
    folder.write("binary", b"HUSH\xff");
    folder.write("large", "HUSH".repeat(1 << 19));
    std::fs::create_dir(folder.0.join("folder")).unwrap();
    for (configuration, expected) in [
        (
            "{a: {file: nowhere}}",
            "plugins[0].configuration.a.file: there is no file \"nowhere\", neither in the working directory",
        ),
        ("{a: {file: nowhere}}", "gets its configuration as `value`, beside `\"@type\": google.protobuf.Struct`"),
        ("{a: [{file: folder}]}", "plugins[0].configuration.a[0].file: \"folder\" is a directory; name the file in it"),
        ("{a: {file: ''}}", "plugins[0].configuration.a.file: expected a name"),
        ("{a: {file: empty}}", "plugins[0].configuration.a: the file "),
        ("{a: {file: empty}}", "/empty is empty; write the value there"),
        ("{a: {file: binary}}", "/binary is not valid UTF-8; save it as UTF-8"),
        ("{a: {file: large}}", "/large cannot be read: it has 2097152 bytes, and at most 1048576 are read here"),
        (
            "{a: {env: NO_SUCH_VARIABLE}}",
            "configuration.a: the environment variable NO_SUCH_VARIABLE is not set; set it where",
        ),
        ("{a: {env: 'A=B'}}", "the environment variable A=B cannot be set"),
        (
            "{a: {credential: key}}",
            "configuration.a.credential: there are no credentials: CREDENTIALS_DIRECTORY is not set",
        ),
    ] {
        let error = folder.read(configuration, "").unwrap_err();
        assert!(error.contains("plugins.yaml:4:") && error.contains(expected), "{error}");
        assert!(!error.contains("HUSH"), "{error}");
    }
    for (variable, expected) in [
        ("{}", "key_values.KEY: no value is referred to; write `file: PATH`"),
        ("{file: a, env: PATH}", "both \"file\" and \"env\" are given"),
        ("{fil: a}", "unknown key \"fil\"; did you mean \"file\"?"),
        ("[a]", "the value of a variable must be text"),
    ] {
        let vm = format!(", environment_variables: {{key_values: {{KEY: {variable}}}}}");
        let error = folder.read("''", &vm).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn all_values_together_are_bounded_and_one_is_read_once() {
    let folder = Folder::new("bounded");
    for number in 0..17 {
        folder.write(&format!("{number}"), vec![b'a'; 1 << 20]);
    }
    let list = |numbers: std::ops::Range<usize>| {
        let references: Vec<_> = numbers.map(|number| format!("{{file: '{number}'}}")).collect();
        format!("[{}]", references.join(", "))
    };
    assert_eq!(folder.configuration(&list(0..16)).len(), (16 << 20) + 16 * 3 + 1);
    assert_eq!(folder.configuration("[{file: '0'}, {file: '0'}]").len(), (2 << 20) + 7);
    let error = folder.read(&list(0..17), "").unwrap_err();
    assert!(
        error.contains("configuration[16]: all values that stand elsewhere have more than 16777216 bytes"),
        "{error}"
    );
}

/// The filter of Envoy's has them, too: it is read by the same reader.
#[test]
fn a_filter_of_envoy_has_references() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let text = format!(
        r#"{{"config": {{"vm_config": {{"code": {{"local": {{"inline_string": "(module)"}}}}}}, "configuration": {{"a": {{"file": {:?}}}}}}}}}"#,
        path.display().to_string()
    );
    let filter = PluginsFile::from_envoy(&text, "listener 8080").unwrap();
    let configuration: serde_json::Value = serde_json::from_slice(&filter.plugins()[0].configuration).unwrap();
    let file = std::fs::read_to_string(path).unwrap();
    assert_eq!(configuration["a"], file.trim_end_matches('\n'));
}
