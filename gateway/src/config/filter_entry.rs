//! A whole entry of Envoy's `http_filters`, around the plugin that it holds.

use super::document::Read;
use super::value::{Value, quote};

/// The plugin in a filter entry, and the entry's own name.
pub(super) struct FilterEntry<'d> {
    pub(super) config: Value<'d>,
    pub(super) name: Option<String>,
}

/// Whether this is a filter entry and not a plugin by itself.
pub(super) fn is_entry(value: &Value<'_>) -> bool {
    value.node.data.as_mapping_get("typed_config").is_some()
}

/// Takes the plugin out of its entry.
pub(super) fn read<'d>(value: &Value<'d>) -> Read<FilterEntry<'d>> {
    let mapping = value.mapping(&["name", "typed_config"])?;
    let name = mapping.optional("name", Value::name);
    let config = mapping.required("typed_config", "add it, as in Envoy", |typed| {
        check_type(typed)?;
        typed.mapping(&["@type", "config"])?.required("config", "add the plugin's keys below it", |v| Ok(v.clone()))
    });
    Ok(FilterEntry { config: config?, name: name? })
}

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

/// The type decides about the other keys, so it is checked first.
fn check_type(typed: &Value<'_>) -> Read<()> {
    let mapping = typed.entries()?;
    let help = format!("add `\"@type\": {WASM}`");
    mapping.required("@type", &help, |name| {
        let text = name.string()?;
        let short = |name: &str| name.rsplit('/').next().map(str::to_owned);
        if short(text) == short(WASM) {
            return Ok(());
        }
        let help = match text.ends_with(".Router") {
            true => "remove this entry: the listener's routes do its work".to_owned(),
            false => format!("only {WASM} can be used here"),
        };
        Err(name.fail(format!("{} is not a Wasm plugin", quote(text)), help))
    })
}
