//! A whole entry of Envoy's `http_filters` or `filters`, around the plugin that it holds.

use super::plugin;
use crate::reader::{Key, Read, Refused, Section, Type, Value, quote};

/// The content of an entry of Envoy's filters.
pub(crate) struct FilterEntry<'d> {
    pub(crate) config: Value<'d>,
    pub(crate) name: Option<String>,
    pub(super) filter: Filter,
}

/// Which of Envoy's two filters an entry configures, and where that was written.
#[derive(Clone)]
pub(super) struct Filter {
    pub(super) is_network: bool,
    /// The `@type` or `type_url`.
    type_name: String,
}

/// The kind of traffic that a chain gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Requests and responses.
    Http,
    /// Bytes of connections.
    Tcp,
}

impl Filter {
    /// Reports a filter that a chain at `place` has no use for.
    pub(super) fn check(&self, traffic: Traffic, place: &Value<'_>) -> Read<()> {
        match (self.is_network, traffic) {
            (true, Traffic::Http) => {
                let message =
                    format!("{} is a filter for TCP, and this chain is fed with HTTP", quote(&self.type_name));
                Err(place.fail(message, "put it into a listener with tcp_proxy"))
            }
            (false, Traffic::Tcp) => {
                let message =
                    format!("{} is a filter for HTTP, and this chain is fed with TCP", quote(&self.type_name));
                place.notice(message, format!("write {NETWORK_WASM}: only the plugin's callbacks for TCP are called"));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Returns whether this is a filter entry, or the value in one, and not a plugin by itself.
pub fn is_entry(value: &Value<'_>) -> bool {
    ["typed_config", "config_discovery", "@type"].iter().any(|key| value.member(key).is_some())
}

/// Finds the plugin in an entry without reporting anything.
pub(super) fn peek<'d>(value: &Value<'d>) -> Option<Value<'d>> {
    let any = value.member("typed_config").unwrap_or_else(|| value.clone());
    any.member("value").unwrap_or(any).member("config")
}

/// The name of an entry.
pub const NAME: Key = Key::new("name", Type::Name, "The name of the plugin, if it has none of its own.");
const TYPED_CONFIG: Key =
    Key::new("typed_config", Type::Either(const { &[Type::Section(&TYPED), Type::Section(&STRUCT)] }), "The filter.")
        .required();
const DISABLED: Key = Key::new("disabled", Type::Boolean, "Envoy's key; only `false` is taken.").default("false");
const IS_OPTIONAL: Key = Key::new("is_optional", Type::Boolean, "Envoy's key, which changes nothing.");

pub(super) static ENTRY: Section = Section::new(
    "filter",
    "plugins[], listeners[].plugins[], listeners[].routes[].plugins[]",
    "A whole entry of Envoy's `http_filters` or `filters`, in place of a plugin.",
    &[NAME, TYPED_CONFIG, DISABLED, IS_OPTIONAL],
);

/// The type of an `Any`.
pub const TYPE: Key = Key::new("@type", Type::Name, "The type of Envoy's filter.").required();
const CONFIG: Key = Key::new("config", Type::Section(&plugin::PLUGIN), "The plugin.").required();

pub(super) static TYPED: Section = Section::new(
    "typed_filter",
    "listeners[].plugins[].typed_config",
    "Envoy's filter `envoy.extensions.filters.http.wasm.v3.Wasm`, or that of `network`.",
    &[TYPE, CONFIG],
);

/// The type in a `TypedStruct`.
pub const TYPE_URL: Key = Key::new("type_url", Type::Name, "The type of what is in it.").required();
const STRUCT_VALUE: Key = Key::new("value", Type::Section(&WRAPPED), "The content.").required();

pub(super) static STRUCT: Section = Section::new(
    "typed_struct",
    "listeners[].plugins[].typed_config",
    "A `TypedStruct` (`udpa.type.v1` or `xds.type.v3`) around Envoy's filter.",
    &[TYPE, TYPE_URL, STRUCT_VALUE],
);

static WRAPPED: Section = Section::new(
    "struct_value",
    "listeners[].plugins[].typed_config.value",
    "The content of a `TypedStruct`.",
    &[CONFIG],
);

/// Refuses what Envoy would fetch.
pub const DISCOVERY: Refused = (
    "config_discovery",
    "filters are not fetched from a management server",
    "write the filter's typed_config in its place",
);

/// Takes the plugin out of its entry, or out of an `Any` that is an item of a chain.
pub(crate) fn read<'d>(value: &Value<'d>) -> Read<FilterEntry<'d>> {
    if value.member("@type").is_some() {
        let (config, filter) = unwrap(value)?;
        return Ok(FilterEntry { config, name: None, filter });
    }
    let mapping = value.mapping_without(&ENTRY, &[DISCOVERY])?;
    let name = mapping.optional(NAME, Value::name);
    let disabled = mapping.optional(DISABLED, |flag| match flag.boolean()? {
        true => Err(flag.fail(
            "a filter that is off until a route turns it on is not supported",
            "remove it here, and write it into the plugins of the routes that want it",
        )),
        false => Ok(()),
    });
    let optional = mapping.optional(IS_OPTIONAL, |flag| {
        if flag.boolean()? {
            flag.notice("is_optional is ignored: a plugin that cannot be loaded is an error", "remove it");
        }
        Ok(())
    });
    let config = mapping.required(TYPED_CONFIG, "add it, as in Envoy", unwrap);
    let (config, filter) = config?;
    disabled?;
    optional?;
    Ok(FilterEntry { config, name: name?, filter })
}

/// The type of Envoy's filter for HTTP.
pub const HTTP_WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
/// The type of Envoy's filter for TCP.
pub const NETWORK_WASM: &str = "type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm";
/// The types of `TypedStruct`, without the server in front of them.
pub const TYPED_STRUCTS: &[&str] = &["udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct"];

/// Checks that a type is one of Envoy's Wasm filters.
pub(crate) fn check_type(place: &Value<'_>) -> Read<()> {
    let text = place.string()?;
    filter(place, text, &quote(text)).map(drop)
}

/// Takes the plugin out of an `Any`. The type decides about the other keys, so it is checked first.
fn unwrap<'d>(any: &Value<'d>) -> Read<(Value<'d>, Filter)> {
    let mapping = any.entries()?;
    let help = format!("add `\"@type\": {HTTP_WASM}`");
    let place = mapping.required(TYPE, &help, |name| Ok(name.clone()))?;
    let text = place.string()?;
    if !TYPED_STRUCTS.contains(&short(text)) {
        let filter = filter(&place, text, &quote(text))?;
        return Ok((plugin(any, &TYPED)?, filter));
    }
    let mapping = any.mapping(&STRUCT)?;
    let filter = mapping.required(TYPE_URL, &format!("add `type_url: {HTTP_WASM}`"), |name| {
        let text = name.string()?;
        filter(name, text, &format!("a TypedStruct of type_url {}", quote(text)))
    })?;
    let value = mapping.required(STRUCT_VALUE, "add `value: {config: ...}`", |value| plugin(value, &WRAPPED))?;
    Ok((value, filter))
}

fn plugin<'d>(value: &Value<'d>, section: &'static Section) -> Read<Value<'d>> {
    value.mapping(section)?.required(CONFIG, "add the plugin's keys below it", |config| Ok(config.clone()))
}

/// Returns which filter a type is. `what` is the type as messages call it.
fn filter(place: &Value<'_>, text: &str, what: &str) -> Read<Filter> {
    let is = |known: &str| short(text) == short(known);
    if is(HTTP_WASM) || is(NETWORK_WASM) {
        return Ok(Filter { is_network: is(NETWORK_WASM), type_name: text.to_owned() });
    }
    let help = match text.rsplit('.').next() {
        Some("Router") => "remove this entry: the listener's routes do its work".to_owned(),
        Some("TcpProxy") => "remove this entry, and write `tcp_proxy: {cluster: NAME}` into the listener".to_owned(),
        Some("HttpConnectionManager") => {
            "copy its http_filters to plugins, and the routes of its route_config to routes".to_owned()
        }
        Some("WasmService") => {
            "this is a plugin without traffic: move the entry to services at the top of the file".to_owned()
        }
        _ => format!("only {HTTP_WASM} (or network.wasm in a listener with tcp_proxy) can be used here"),
    };
    Err(place.fail(format!("{what} is not a Wasm plugin"), help))
}

/// Returns the name of a type without the server in front of it.
pub fn short(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
