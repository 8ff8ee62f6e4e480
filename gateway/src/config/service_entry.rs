//! A whole entry of Envoy's `bootstrap_extensions`, around the service that it holds.

use portcullis_config::blocks::filter_entry::{
    DISCOVERY, HTTP_WASM, NAME, NETWORK_WASM, TYPE, TYPE_URL, TYPED_STRUCTS, short,
};
use portcullis_config::blocks::plugin;
use portcullis_config::reader::{Key, Read, Section, Type, Value, quote};

pub(super) const CONFIG: Key = Key::new(
    "config",
    Type::Either(const { &[Type::Name, Type::Section(&plugin::PLUGIN)] }),
    "The plugin, or the name of one.",
)
.required();
pub(super) const SINGLETON: Key =
    Key::new("singleton", Type::Boolean, "Whether one worker alone runs it; else each does.").default("false");
const SERVICE_TYPE: Key =
    Key::new("@type", Type::Name, "Envoy's type, `type.googleapis.com/envoy.extensions.wasm.v3.WasmService`.");

pub(super) static SERVICE: Section = Section::new(
    "service",
    "services[]",
    "A plugin without traffic, if more is said than the plugin.",
    &[CONFIG, SINGLETON, SERVICE_TYPE],
);

const WASM_SERVICE: &str = "type.googleapis.com/envoy.extensions.wasm.v3.WasmService";

const TYPED_CONFIG: Key = Key::new(
    "typed_config",
    Type::Either(const { &[Type::Section(&SERVICE), Type::Section(&STRUCT)] }),
    "The service.",
)
.required();

pub(super) static ENTRY: Section = Section::new(
    "extension",
    "services[]",
    "A whole entry of Envoy's `bootstrap_extensions`, in place of a service.",
    &[NAME, TYPED_CONFIG],
);

const VALUE: Key = Key::new("value", Type::Section(&SERVICE), "The content.").required();

pub(super) static STRUCT: Section = Section::new(
    "service_struct",
    "services[].typed_config",
    "A `TypedStruct` around a service.",
    &[TYPE, TYPE_URL, VALUE],
);

/// Takes a `WasmService` out of its entry of Envoy's `bootstrap_extensions`, or out of an `Any` by itself; with the name of the entry.
pub(super) fn read<'d>(value: &Value<'d>) -> Read<(Value<'d>, Option<String>)> {
    if value.member("@type").is_some() {
        return Ok((unwrap_service(value)?, None));
    }
    let mapping = value.mapping_without(&ENTRY, &[DISCOVERY])?;
    let name = mapping.optional(NAME, Value::name);
    let service = mapping.required(TYPED_CONFIG, "add it, as in Envoy", unwrap_service);
    Ok((service?, name?))
}

fn unwrap_service<'d>(any: &Value<'d>) -> Read<Value<'d>> {
    let help = format!("add `\"@type\": {WASM_SERVICE}`");
    let place = any.entries()?.required(TYPE, &help, |name| Ok(name.clone()))?;
    let text = place.string()?;
    if !TYPED_STRUCTS.contains(&short(text)) {
        return check_service(&place, text).map(|()| any.clone());
    }
    let mapping = any.mapping(&STRUCT)?;
    let help = format!("add `type_url: {WASM_SERVICE}`");
    mapping.required(TYPE_URL, &help, |name| check_service(name, name.string()?))?;
    mapping.required(VALUE, "add `value: {config: ...}`", |value| Ok(value.clone()))
}

fn check_service(place: &Value<'_>, text: &str) -> Read<()> {
    match short(text) {
        name if name == short(WASM_SERVICE) => Ok(()),
        name if name == short(HTTP_WASM) || name == short(NETWORK_WASM) => {
            let message = format!("{} is a filter, which gets traffic", quote(text));
            Err(place.fail(message, "put it into the plugins of a listener"))
        }
        _ => {
            let help = format!("only {WASM_SERVICE} can be used here: remove this entry");
            Err(place.fail(format!("{} is not a Wasm service", quote(text)), help))
        }
    }
}
