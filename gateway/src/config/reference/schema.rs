//! The JSON Schema, with which editors complete and check a configuration.

use portcullis::rights::{Capabilities, Preset};
use portcullis_config::reader::{Absent, Key, Section, Type};
use serde_json::{Map, Value as Json, json};

use super::super::file::FILE;
use super::{durations, sections};

/// Returns the configuration's JSON Schema (draft 2020-12) as text.
///
/// differs: the reader takes some files that the schema refuses: keys in camel case, keys with nothing behind them, and whatever
/// depends on two keys at once is judged by the reader alone.
pub fn schema() -> String {
    let mut definitions: Map<String, Json> =
        sections().into_iter().filter(|section| section.name != FILE.name).map(definition).collect();
    definitions.insert("capabilities".to_owned(), capabilities());
    definitions.insert("rules".to_owned(), rules());
    let mut root = object(&FILE);
    root.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    root.insert("title".to_owned(), "The configuration of portcullis".into());
    root.insert("$defs".to_owned(), definitions.into());
    format!("{:#}\n", Json::from(root))
}

fn definition(section: &'static Section) -> (String, Json) {
    (section.name.to_owned(), object(section).into())
}

fn object(section: &Section) -> Map<String, Json> {
    let properties: Map<String, Json> =
        section.keys.iter().map(|key| (key.name.to_owned(), property(*key).into())).collect();
    let required: Vec<&str> =
        section.keys.iter().filter(|key| matches!(key.absent, Absent::Error)).map(|key| key.name).collect();
    let mut object = Map::new();
    object.insert("type".to_owned(), "object".into());
    object.insert("description".to_owned(), section.about.into());
    object.insert("properties".to_owned(), properties.into());
    object.insert("additionalProperties".to_owned(), false.into());
    if !required.is_empty() {
        object.insert("required".to_owned(), required.into());
    }
    object
}

fn property(key: Key) -> Map<String, Json> {
    let mut property = values(key.values);
    let description = match key.absent {
        Absent::Computed(what) => format!("{} Default: {what}.", key.about),
        _ => key.about.to_owned(),
    };
    property.insert("description".to_owned(), description.into());
    if let Absent::Value(text) = key.absent {
        property.insert("default".to_owned(), default(text));
    }
    property
}

/// Returns a default as JSON has it.
fn default(text: &str) -> Json {
    match text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        Some(quoted) => quoted.into(),
        None => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
    }
}

/// Returns the schema of a type.
fn values(values: Type) -> Map<String, Json> {
    let schema = match values {
        Type::Text => json!({ "type": "string" }),
        Type::Name => json!({ "type": "string", "minLength": 1 }),
        Type::Form(_, pattern) => json!({ "type": "string", "pattern": pattern }),
        Type::Base64 => json!({ "type": "string", "pattern": r"^[A-Za-z0-9+/_\s-]*[=\s]*$" }),
        Type::Boolean => json!({ "type": "boolean" }),
        Type::Integer(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Type::Size(least, most) => json!({ "anyOf": [
            { "type": "integer", "minimum": least, "maximum": most },
            { "type": "string", "pattern": r"^\d+\s*([KMG]iB|B)?$" },
        ] }),
        Type::Duration => json!({ "type": "string", "pattern": r"^\d+(\.\d{1,9})?(us|ms|s|m|h)$" }),
        Type::Positive => {
            json!({ "type": "string", "pattern": r"^(\d*[1-9]\d*(\.\d{1,9})?|0+\.0{0,8}[1-9]\d{0,8})(us|ms|s|m|h)$" })
        }
        Type::Seconds(least, most) => json!({ "type": "string", "pattern": durations::pattern(least, most) }),
        Type::Percent => json!({ "type": "string", "pattern": r"^([1-9]\d?|100)\s*%$" }),
        Type::Words(words) => json!({ "enum": words }),
        Type::Preset => json!({ "enum": Preset::names().collect::<Vec<_>>() }),
        Type::Capabilities => json!({ "$ref": "#/$defs/capabilities" }),
        Type::List(item) => json!({ "type": "array", "items": self::values(*item) }),
        Type::Map(item) => json!({ "type": "object", "additionalProperties": self::values(*item) }),
        Type::Section(section) => json!({ "$ref": format!("#/$defs/{}", section.name) }),
        Type::Either(types) => json!({ "anyOf": types.iter().map(|one| self::values(*one)).collect::<Vec<_>>() }),
        Type::Nothing => json!({ "type": ["object", "null"], "maxProperties": 0 }),
        Type::Free => json!({}),
    };
    match schema {
        Json::Object(schema) => schema,
        _ => Map::new(),
    }
}

/// Returns the schema of a mapping of capabilities to their rules.
fn capabilities() -> Json {
    let rules = json!({ "$ref": "#/$defs/rules" });
    let names: Map<String, Json> = Capabilities::names().map(|name| (name.to_owned(), rules.clone())).collect();
    json!({
        "type": "object",
        "description": "Capabilities, each with nothing, `{}` or rules for its arguments behind it.",
        "properties": names,
        "additionalProperties": false,
    })
}

/// Returns the schema of the value of a capability.
fn rules() -> Json {
    let value = json!({ "type": ["string", "integer"] });
    json!({
        "type": ["object", "null"],
        "description": "Rules for the arguments of a capability; none allow any.",
        "additionalProperties": { "anyOf": [value.clone(), { "type": "array", "items": value }] },
    })
}
