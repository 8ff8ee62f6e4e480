//! Files of other programs that are pasted as a whole: one finding names the program, and nothing else in the file is checked.

use portcullis_config::reader::{Read, Value, snake_case};

const EXAMPLE: &str = "copy its Wasm filters to the plugins of a listener; see examples/gateway.yaml";

/// Keys at the top of Envoy's files, and of parts of them.
const ENVOY: &[(&str, &str)] = &[
    ("static_resources", "this is a configuration for Envoy"),
    ("dynamic_resources", "this is a configuration for Envoy"),
    ("filter_chains", "this is a listener of a configuration for Envoy"),
    ("http_filters", "this is a part of a configuration for Envoy"),
    ("typed_config", "this is a part of a configuration for Envoy"),
];

/// Reports a file that is no configuration of this gateway.
pub(super) fn check(root: &Value<'_>) -> Read<()> {
    let mapping = root.entries()?;
    for (key, message) in ENVOY {
        if let Some(entry) = mapping.entries().iter().find(|entry| snake_case(&entry.key) == *key) {
            return Err(entry.fail(*message, EXAMPLE));
        }
    }
    if root.member("api_version").is_none() {
        return Ok(());
    }
    let kind = root.member("kind").and_then(|kind| kind.text()).unwrap_or_default();
    Err(match kind {
        "EnvoyFilter" => root
            .fail("this is an Istio EnvoyFilter", "paste what stands under patch.value into the plugins of a listener"),
        "WasmPlugin" => root.fail(
            "this is an Istio WasmPlugin",
            "download the module, name it in vm_config.code.local.filename, and write pluginConfig as configuration",
        ),
        "ConfigMap" => root.fail("this is a ConfigMap of Kubernetes", "use the file that stands under its data"),
        kind => root.fail(format!("this is an object of Kubernetes, of kind {kind:?}"), EXAMPLE),
    })
}
