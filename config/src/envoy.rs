//! The configuration of Envoy's Wasm filters, with our keys at its side.

use crate::Plugin;
use crate::blocks::filter_entry;
use crate::blocks::plugin::{self, PLUGIN};
use crate::blocks::settings::{self, Settings};
use crate::reader::{Key, Read, Section, Type, Value};

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

/// Reads a filter in any of its forms. `default_name` is for a plugin without a name of its own.
pub(crate) fn read(root: &Value<'_>, default_name: &str) -> Read<(Plugin, Settings)> {
    let is_plugin = root.member("config").is_none() || root.member("vm_config").is_some();
    let (plugin, settings) = if ["typed_config", "config_discovery"].iter().any(|key| root.member(key).is_some()) {
        let entry = filter_entry::read(root)?;
        let name = entry.name.as_deref().unwrap_or(default_name);
        (plugin::read(&entry.config, name), Ok(Settings::default()))
    } else if is_plugin {
        (plugin::read(root, default_name), Ok(Settings::default()))
    } else {
        let mapping = root.mapping(&FILTER)?;
        let checked = mapping.or(FILTER_TYPE, (), filter_entry::check_type);
        let plugin =
            mapping.required(CONFIG, "add the plugin's keys below it", |config| plugin::read(config, default_name));
        (checked.and(plugin), settings::read(&mapping))
    };
    Ok((plugin?, settings?))
}
