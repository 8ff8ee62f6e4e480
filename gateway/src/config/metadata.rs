//! `metadata` of routes, clusters and endpoints: Envoy's `envoy.config.core.v3.Metadata`.

use std::sync::Arc;

use portcullis::model::{MetadataList, MetadataMap, MetadataValue, ResourceMetadata};
use portcullis_config::reader::{Entry, Key, Kind, Read, Refused, Section, Type, Value};
use serde_json::{Map, Value as Json};

const TYPED: Refused = (
    "typed_filter_metadata",
    "typed metadata is not supported: its messages are not known here",
    "write it as filter_metadata, whose values are text, numbers, true, false, lists and mappings",
);

const FILTER_METADATA: Key = Key::new(
    "filter_metadata",
    Type::Map(&Type::Map(&Type::Free)),
    "Namespaces, each with names and values: text, numbers, true, false, lists and mappings.",
)
.default("{}");

pub(super) static METADATA: Section = Section::new(
    "metadata",
    "listeners[].routes[].metadata, clusters[].metadata, clusters[].endpoints[].metadata",
    "Metadata of a route, cluster or endpoint, for plugins to read.",
    &[FILTER_METADATA],
);

/// The deepest nesting of lists and mappings.
const DEEPEST: usize = 32;

/// Reads metadata.
pub(super) fn read(value: &Value<'_>) -> Read<Arc<ResourceMetadata>> {
    let mapping = value.mapping_without(&METADATA, &[TYPED])?;
    let namespaces = mapping.or(FILTER_METADATA, Vec::new(), |namespaces| {
        let read = |entry: &Entry<'_>| Ok((entry.key.clone(), members(&entry.value, 0)?));
        let read: Vec<Read<_>> = namespaces.entries()?.entries().iter().map(read).collect();
        read.into_iter().collect()
    });
    Ok(Arc::new(ResourceMetadata::new(namespaces?)))
}

fn members(value: &Value<'_>, depth: usize) -> Read<MetadataMap> {
    let entries = value.entries()?;
    let read: Vec<Read<_>> =
        entries.entries().iter().map(|entry| Ok((entry.key.clone(), read_value(&entry.value, depth)?))).collect();
    Ok(MetadataMap::new(read.into_iter().collect::<Read<Vec<_>>>()?))
}

fn read_value(value: &Value<'_>, depth: usize) -> Read<MetadataValue> {
    if depth > DEEPEST {
        let message = format!("metadata is deeper than {DEEPEST} levels");
        return Err(value.fail(message, "make it flatter"));
    }
    match value.kind() {
        Kind::Null => Ok(MetadataValue::Null),
        Kind::Bool(flag) => Ok(MetadataValue::Bool(flag)),
        // Numbers are doubles, as in protobuf.
        #[expect(clippy::cast_precision_loss, reason = "the precision of a double is the format's")]
        Kind::Integer(number) => Ok(MetadataValue::number(number as f64)),
        Kind::Float(number) if number.is_finite() => Ok(MetadataValue::number(number)),
        Kind::Float(_) => Err(value.expected("a finite number", "put it in quotes")),
        Kind::String(text) => Ok(MetadataValue::Text(text.into())),
        Kind::List => {
            value.list(|_, item| read_value(item, depth + 1)).map(|items| MetadataValue::List(MetadataList::new(items)))
        }
        Kind::Mapping => members(value, depth + 1).map(MetadataValue::Map),
        Kind::Tagged(_) | Kind::Bad => {
            Err(value.expected("text, a number, true, false, a list or a mapping", "remove the tag"))
        }
    }
}

/// Returns the metadata as JSON; None if it is empty. `redact` replaces values whose names are those of secrets.
pub(super) fn to_json(metadata: &ResourceMetadata, redact: impl FnOnce(Json) -> Json) -> Option<Json> {
    let namespaces = map_to_json(metadata.namespaces());
    (!namespaces.is_empty()).then(|| serde_json::json!({ "filter_metadata": redact(namespaces.into()) }))
}

fn map_to_json(map: &MetadataMap) -> Map<String, Json> {
    map.members().map(|(name, value)| (name.to_owned(), value_to_json(value))).collect()
}

fn value_to_json(value: &MetadataValue) -> Json {
    match value {
        MetadataValue::Null => Json::Null,
        MetadataValue::Number(bytes) => f64::from_le_bytes(*bytes).into(),
        MetadataValue::Text(text) => (&**text).into(),
        MetadataValue::Bool(flag) => (*flag).into(),
        MetadataValue::Map(map) => map_to_json(map).into(),
        MetadataValue::List(list) => list.items().iter().map(value_to_json).collect(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use portcullis_config::reader::Document;

    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        let document = Document::parse("test.yaml", text, "an example").map_err(|error| error.to_string())?;
        let result =
            read(document.root().entries().unwrap().entry(Key::new("metadata", Type::Section(&METADATA), "")).unwrap());
        let (metadata, _) = document.finish(result).map_err(|error| error.to_string())?;
        Ok(to_json(&metadata, |json| json).unwrap_or_default().to_string())
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let text = "metadata: {filter_metadata: {envoy.lb: {canary: true, n: 2, f: 1.5, z: null, t: \"7\", l: [a, {b: []}]}, none: {}}}";
        let expected = r#"{"filter_metadata":{"envoy.lb":{"canary":true,"f":1.5,"l":["a",{"b":[]}],"n":2.0,"t":"7","z":null},"none":{}}}"#;
        assert_eq!(shown(text).unwrap(), expected);
        assert_eq!(shown("metadata: {filterMetadata: {a: {b: c}}}").unwrap(), r#"{"filter_metadata":{"a":{"b":"c"}}}"#);
        assert_eq!(shown("metadata: {}").unwrap(), "null");
    }

    #[test]
    fn mistakes_are_named() {
        let deep = format!("metadata: {{filter_metadata: {{a: {{b: {}1{}}}}}}}", "[".repeat(40), "]".repeat(40));
        for (text, expected) in [
            (
                "metadata: {typed_filter_metadata: {}}",
                "test.yaml:1:12: metadata: typed metadata is not supported: its messages are not known here; write it as \
                 filter_metadata, whose values are text, numbers, true, false, lists and mappings",
            ),
            (
                "metadata: {filter_metadata: {a: b}}",
                "test.yaml:1:33: metadata.filter_metadata.a: expected a mapping, found \"b\"; write `key: value` lines \
                 below, indented",
            ),
            (
                "metadata: {filter_metadata: {a: {b: .nan}}}",
                "test.yaml:1:37: metadata.filter_metadata.a.b: expected a finite number, found the number .nan; put it in \
                 quotes",
            ),
            (
                "metadata: {filter_metadata: {a: {b: 1, b: 2}}}",
                "test.yaml:1:40: metadata.filter_metadata.a: duplicate key \"b\", first written in line 1; keep one of the \
                 two",
            ),
        ] {
            assert_eq!(shown(text).unwrap_err(), expected, "{text}");
        }
        assert!(shown(&deep).unwrap_err().contains("metadata is deeper than 32 levels; make it flatter"));
    }
}
