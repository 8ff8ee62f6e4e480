//! A file for each section, in which the section's keys can be written.

use portcullis_config::reader::{Absent, Section};

/// Where a section stands.
pub(super) struct Place {
    /// The section's name.
    pub(super) section: &'static str,
    /// The keys that it has in any case.
    keys: &'static [(&'static str, &'static str)],
    /// The file: `KEYS` stands for the keys, `$name` for one of [`PARTS`].
    file: &'static str,
}

impl Place {
    /// Returns the file with one more key, or with another value of one.
    pub(super) fn text(&self, key: Option<(&str, &str)>) -> String {
        let own = self.keys.iter().filter(|(name, _)| key.is_none_or(|(key, _)| key != *name));
        self.with(own.map(|(name, value)| (*name, *value)).chain(key))
    }

    /// Returns the file with a key and those that the section needs: others may be alternatives to it.
    pub(super) fn alone(&self, section: &Section, key: &str, value: &str) -> String {
        let is_needed =
            |name: &str| section.keys.iter().any(|own| own.name == name && matches!(own.absent, Absent::Error));
        let own = self.keys.iter().copied().filter(|(name, _)| *name != key && is_needed(name));
        self.with(own.chain([(key, value)]))
    }

    /// Returns the file without a key.
    pub(super) fn without(&self, key: &str) -> String {
        self.with(self.keys.iter().copied().filter(|(name, _)| *name != key))
    }

    fn with<'a>(&self, keys: impl Iterator<Item = (&'a str, &'a str)>) -> String {
        let keys: Vec<String> = keys.map(|(name, value)| format!("'{name}': {value}")).collect();
        let file = self.file.replace("KEYS", &keys.join(", "));
        PARTS.iter().fold(file, |file, (name, text)| file.replace(name, text))
    }
}

/// Parts of several files, each after those that have it.
const PARTS: &[(&str, &str)] = &[
    ("$file", "listeners: [{$listener}], $clusters"),
    ("$listener", "address: '127.0.0.1:0', routes: [{cluster: e}]"),
    ("$clusters", "clusters: [{name: e, echo: {}}]"),
    ("$plugin", "{vm_config: $vm}"),
    ("$vm", "{code: $code}"),
    ("$code", "{local: {inline_string: x}}"),
    ("$wasm", "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"),
    ("$service", "type.googleapis.com/envoy.extensions.wasm.v3.WasmService"),
];

const fn at(section: &'static str, keys: &'static [(&'static str, &'static str)], file: &'static str) -> Place {
    Place { section, keys, file }
}

/// The places of all sections.
pub(super) const PLACES: &[Place] = &[
    at("file", &[("listeners", "[{address: '127.0.0.1:0'}]")], "{KEYS}"),
    at("admin", &[("address", "'unix:a'")], "{$file, admin: {KEYS}}"),
    at("reload", &[], "{$file, reload: {KEYS}}"),
    at("worker_limits", &[], "{$file, limits: {KEYS}}"),
    at("stats_config", &[], "{$file, stats_config: {KEYS}}"),
    at("stats_tag", &[("tag_name", "a"), ("fixed_value", "b")], "{$file, stats_config: {stats_tags: [{KEYS}]}}"),
    at("listener", &[("address", "'127.0.0.1:0'")], "{listeners: [{KEYS}], $clusters}"),
    at(
        "tls",
        &[("certificate", "Cargo.toml"), ("private_key", "Cargo.toml")],
        "{listeners: [{$listener, tls: {KEYS}}], $clusters}",
    ),
    at("tcp_proxy", &[("cluster", "e")], "{listeners: [{address: '127.0.0.1:0', tcp_proxy: {KEYS}}], $clusters}"),
    at("connection_keepalive", &[], "{listeners: [{$listener, connection_keepalive: {KEYS}}], $clusters}"),
    at("route", &[("cluster", "e")], "{listeners: [{address: '127.0.0.1:0', routes: [{KEYS}]}], $clusters}"),
    at("forward", &[("cluster", "e")], "{listeners: [{address: '127.0.0.1:0', routes: [{route: {KEYS}}]}], $clusters}"),
    at("match", &[], "{listeners: [{address: '127.0.0.1:0', routes: [{cluster: e, match: {KEYS}}]}], $clusters}"),
    at(
        "header_match",
        &[("name", "a"), ("exact", "b")],
        "{listeners: [{address: '127.0.0.1:0', routes: [{cluster: e, match: {headers: [{KEYS}]}}]}], $clusters}",
    ),
    at(
        "string_match",
        &[("exact", "b")],
        "{listeners: [{address: '127.0.0.1:0', routes: [{cluster: e, match: {headers: [{name: a, string_match: \
         {KEYS}}]}}]}], $clusters}",
    ),
    at(
        "safe_regex",
        &[("regex", "/a")],
        "{listeners: [{address: '127.0.0.1:0', routes: [{cluster: e, match: {safe_regex: {KEYS}}}]}], $clusters}",
    ),
    at(
        "weighted_clusters",
        &[("clusters", "[{name: e, weight: 1}]")],
        "{listeners: [{address: '127.0.0.1:0', routes: [{weighted_clusters: {KEYS}}]}], $clusters}",
    ),
    at(
        "weighted_cluster",
        &[("name", "e"), ("weight", "1")],
        "{listeners: [{address: '127.0.0.1:0', routes: [{weighted_clusters: {clusters: [{KEYS}, {name: e, weight: 1}]}}]}], \
         $clusters}",
    ),
    at(
        "direct_response",
        &[("status", "200")],
        "{listeners: [{address: '127.0.0.1:0', routes: [{direct_response: {KEYS}}]}], $clusters}",
    ),
    at(
        "body",
        &[("inline_string", "a")],
        "{listeners: [{address: '127.0.0.1:0', routes: [{direct_response: {status: 200, body: {KEYS}}}]}], $clusters}",
    ),
    at(
        "redirect",
        &[("host_redirect", "a")],
        "{listeners: [{address: '127.0.0.1:0', routes: [{redirect: {KEYS}}]}], $clusters}",
    ),
    at("cluster", &[("name", "e"), ("endpoints", "['a:1']")], "{listeners: [{$listener}], clusters: [{KEYS}]}"),
    at("upstream_tls", &[], "{listeners: [{$listener}], clusters: [{name: e, endpoints: ['a:1'], tls: {KEYS}}]}"),
    at("endpoint", &[("address", "'a:1'")], "{listeners: [{$listener}], clusters: [{name: e, endpoints: [{KEYS}]}]}"),
    at("metadata", &[], "{listeners: [{$listener}], clusters: [{name: e, echo: {}, metadata: {KEYS}}]}"),
    at("plugin", &[("vm_config", "$vm")], "{listeners: [{$listener, plugins: [{KEYS}]}], $clusters}"),
    at(
        "reload_config",
        &[],
        "{listeners: [{$listener, plugins: [{vm_config: $vm, reload_config: {KEYS}}]}], $clusters}",
    ),
    at(
        "recycle",
        &[("memory", "1MiB")],
        "{listeners: [{$listener, plugins: [{vm_config: {code: $code, limits: {memory: 4GiB}, recycle: {KEYS}}}]}], $clusters}",
    ),
    at(
        "backoff",
        &[("base_interval", "1s")],
        "{listeners: [{$listener, plugins: [{vm_config: $vm, reload_config: {backoff: {KEYS}}}]}], $clusters}",
    ),
    at(
        "bool_value",
        &[],
        "{listeners: [{$listener, plugins: [{vm_config: $vm, allow_on_headers_stop_iteration: {KEYS}}]}], $clusters}",
    ),
    at(
        "capability_restriction_config",
        &[("preset", "all")],
        "{listeners: [{$listener, plugins: [{vm_config: $vm, capability_restriction_config: {KEYS}}]}], $clusters}",
    ),
    at(
        "typed_value",
        &[("@type", "google.protobuf.StringValue")],
        "{listeners: [{$listener, plugins: [{vm_config: $vm, configuration: {KEYS}}]}], $clusters}",
    ),
    at("vm_config", &[("code", "$code")], "{listeners: [{$listener, plugins: [{vm_config: {KEYS}}]}], $clusters}"),
    at(
        "code",
        &[("local", "{inline_string: x}")],
        "{listeners: [{$listener, plugins: [{vm_config: {code: {KEYS}}}]}], $clusters}",
    ),
    at(
        "local_code",
        &[("inline_string", "x")],
        "{listeners: [{$listener, plugins: [{vm_config: {code: {local: {KEYS}}}}]}], $clusters}",
    ),
    at(
        "verification",
        &[(
            "module_signature",
            "{public_keys: {inline_string: d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a}}",
        )],
        "{listeners: [{$listener, plugins: [{vm_config: $vm, verify: [{KEYS}]}]}], $clusters}",
    ),
    at(
        "module_signature",
        &[("public_keys", "{inline_string: d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a}")],
        "{listeners: [{$listener, plugins: [{vm_config: $vm, verify: [{module_signature: {KEYS}}]}]}], $clusters}",
    ),
    at(
        "public_keys",
        &[("inline_string", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")],
        "{listeners: [{$listener, plugins: [{vm_config: $vm, verify: [{module_signature: {public_keys: {KEYS}}}]}]}], $clusters}",
    ),
    at(
        "environment_variables",
        &[],
        "{listeners: [{$listener, plugins: [{vm_config: {code: $code, environment_variables: {KEYS}}}]}], $clusters}",
    ),
    at(
        "secret",
        &[("env", "PATH")],
        "{listeners: [{$listener, plugins: [{vm_config: {code: $code, environment_variables: {key_values: {A: {KEYS}}}}}]}], $clusters}",
    ),
    at(
        "preopen",
        &[("guest", "/a"), ("host", "src")],
        "{listeners: [{$listener, plugins: [{vm_config: {code: $code, preopens: [{KEYS}]}}]}], $clusters}",
    ),
    at(
        "vm_limits",
        &[],
        "{listeners: [{$listener, plugins: [{vm_config: {code: $code, limits: {KEYS}}}]}], $clusters}",
    ),
    at(
        "compile_limits",
        &[],
        "{listeners: [{$listener, plugins: [{vm_config: {code: $code, limits: {compile: {KEYS}}}}]}], $clusters}",
    ),
    at(
        "filter",
        &[("typed_config", "{'@type': $wasm, config: $plugin}")],
        "{listeners: [{$listener, plugins: [{KEYS}]}], $clusters}",
    ),
    at(
        "typed_filter",
        &[("@type", "$wasm"), ("config", "$plugin")],
        "{listeners: [{$listener, plugins: [{name: a, typed_config: {KEYS}}]}], $clusters}",
    ),
    at(
        "typed_struct",
        &[("@type", "udpa.type.v1.TypedStruct"), ("type_url", "$wasm"), ("value", "{config: $plugin}")],
        "{listeners: [{$listener, plugins: [{name: a, typed_config: {KEYS}}]}], $clusters}",
    ),
    at(
        "struct_value",
        &[("config", "$plugin")],
        "{listeners: [{$listener, plugins: [{typed_config: {'@type': udpa.type.v1.TypedStruct, type_url: $wasm, value: \
         {KEYS}}}]}], $clusters}",
    ),
    at("service", &[("config", "$plugin")], "{$file, services: [{KEYS}]}"),
    at("extension", &[("typed_config", "{'@type': $service, config: $plugin}")], "{$file, services: [{KEYS}]}"),
    at(
        "service_struct",
        &[("@type", "udpa.type.v1.TypedStruct"), ("type_url", "$service"), ("value", "{config: $plugin}")],
        "{$file, services: [{name: a, typed_config: {KEYS}}]}",
    ),
];
