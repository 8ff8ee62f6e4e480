//! The configuration of Envoy's Wasm filters, with our keys at its side.

use crate::Plugin;
use crate::blocks::filter_entry;
use crate::blocks::plugin::{self, PLUGIN};
use crate::blocks::settings::{self, Settings};
use crate::reader::{Key, Read, Refused, Section, Type, Value};

/// A filter to start from.
pub(crate) const EXAMPLE: &str = "`{config: {vm_config: {code: {local: {filename: plugin.wasm}}}}}`";

const FILTER_TYPE: Key = Key::new("@type", Type::Name, "Envoy's type of the filter, which changes nothing.");
const CONFIG: Key = Key::new("config", Type::Section(&PLUGIN), "The plugin.").required();

/// Envoy's message `Wasm`.
static FILTER: Section = Section::new(
    "envoy_filter",
    "",
    "The configuration of Envoy's filter `envoy.extensions.filters.http.wasm.v3.Wasm`, or that of `network`.",
    &[FILTER_TYPE, CONFIG, settings::CODE_CACHE, settings::SHARING, settings::LIMITS],
);

const IN_VM: &str = "this key stands in vm_config";
const MOVE: &str = "move it there";

/// Keys of our own where they are looked for in vain: beside Envoy's keys of a plugin.
const MISPLACED: &[Refused] = &[
    plugin::OLD_FORM,
    ("code", IN_VM, MOVE),
    ("vm_id", IN_VM, MOVE),
    ("runtime", IN_VM, MOVE),
    ("environment_variables", IN_VM, MOVE),
    ("preopens", IN_VM, MOVE),
    ("limits", IN_VM, MOVE),
    ("isolation", IN_VM, MOVE),
    ("snapshot_randomness", IN_VM, MOVE),
    ("tier", IN_VM, MOVE),
    ("sharing", IN_VM, MOVE),
    ("effective_context", IN_VM, MOVE),
    ("engine", "the engine is the runtime of vm_config", "write `vm_config: {runtime: NAME}`"),
    ("rights", "rights are Envoy's capability_restriction_config", "rename it"),
    ("code_cache", "this key stands beside config", "write `{config: {...}, code_cache: FOLDER}`"),
];

/// Reads a filter in any of its forms. `default_name` is for a plugin without a name of its own.
pub(crate) fn read(root: &Value<'_>, default_name: &str) -> Read<(Plugin, Settings)> {
    let has = |key: &str| root.member(key).is_some();
    if has("typed_config") || has("config_discovery") {
        let entry = filter_entry::read(root)?;
        let name = entry.name.as_deref().unwrap_or(default_name);
        return Ok((read_plugin(&entry.config, name)?, Settings::default()));
    }
    if !has("config") || has("vm_config") {
        return Ok((read_plugin(root, default_name)?, Settings::default()));
    }
    let mapping = root.mapping(&FILTER)?;
    let checked = mapping.or(FILTER_TYPE, (), filter_entry::check_type);
    let plugin = mapping.required(CONFIG, "add the plugin's keys below it", |config| read_plugin(config, default_name));
    let settings = settings::read(&mapping);
    checked?;
    Ok((plugin?, settings?))
}

fn read_plugin(value: &Value<'_>, default_name: &str) -> Read<Plugin> {
    plugin::read_without(value, default_name, MISPLACED)
}
