//! As much of JSON Schema as the schema uses.

use regex::bytes::Regex;
use serde_json::Value as Json;

/// Returns the violations of the schema by a configuration, as sentences.
pub(super) fn violations(config: &Json) -> Vec<String> {
    let schema: Json = serde_json::from_str(&super::schema()).unwrap();
    let mut found = Vec::new();
    check(&schema, &schema, config, "", &mut found);
    found
}

/// Returns whether a part of a configuration is as some section says, but for keys that it lacks; else what the best one says.
pub(super) fn fits_some_section(part: &Json) -> Result<(), String> {
    let mut root: Json = serde_json::from_str(&super::schema()).unwrap();
    root.as_object_mut().unwrap().remove("required");
    for section in root["$defs"].as_object_mut().unwrap().values_mut() {
        section.as_object_mut().unwrap().remove("required");
    }
    let sections = root["$defs"].as_object().unwrap().values().chain([&root]);
    let judged = sections.map(|section| {
        let mut found = Vec::new();
        check(&root, section, part, "", &mut found);
        found
    });
    match judged.min_by_key(Vec::len).unwrap() {
        found if found.is_empty() => Ok(()),
        found => Err(found.join("; ")),
    }
}

fn check(root: &Json, schema: &Json, value: &Json, path: &str, found: &mut Vec<String>) {
    for (keyword, rule) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "$ref" => {
                check(root, root.pointer(rule.as_str().unwrap().trim_start_matches('#')).unwrap(), value, path, found)
            }
            "type" => {
                let types = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
                if !types.iter().any(|own| is(value, own.as_str().unwrap())) {
                    found.push(format!("{path}: {value} is no {rule}"));
                }
            }
            "enum" if !rule.as_array().unwrap().contains(value) => {
                found.push(format!("{path}: {value} is none of {rule}"))
            }
            "pattern" => {
                if let Some(text) = value.as_str()
                    && !Regex::new(&format!("(?-u){}", rule.as_str().unwrap())).unwrap().is_match(text.as_bytes())
                {
                    found.push(format!("{path}: {text:?} does not match {rule}"));
                }
            }
            "minLength" if value.as_str() == Some("") => found.push(format!("{path}: empty")),
            "minimum" if value.as_u64().is_some_and(|number| number < rule.as_u64().unwrap()) => {
                found.push(format!("{path}: {value} is less than {rule}"));
            }
            "maximum" if value.as_u64().is_none_or(|number| number > rule.as_u64().unwrap()) && value.is_number() => {
                found.push(format!("{path}: {value} is more than {rule}"));
            }
            "anyOf" => {
                let fits = |schema: &Json| {
                    let mut found = Vec::new();
                    check(root, schema, value, path, &mut found);
                    found.is_empty()
                };
                if !rule.as_array().unwrap().iter().any(fits) {
                    found.push(format!("{path}: {value} fits no form"));
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, item, &format!("{path}[{index}]"), found);
                }
            }
            "required" => {
                let has =
                    |key: &Json| value.as_object().is_none_or(|object| object.contains_key(key.as_str().unwrap()));
                found.extend(
                    rule.as_array().unwrap().iter().filter(|key| !has(key)).map(|key| format!("{path}: lacks {key}")),
                );
            }
            "maxProperties" if value.as_object().is_some_and(|object| object.len() as u64 > rule.as_u64().unwrap()) => {
                found.push(format!("{path}: has keys"));
            }
            "properties" | "additionalProperties" => {}
            "enum" | "minLength" | "minimum" | "maximum" | "maxProperties" => {}
            "description" | "default" | "title" | "$schema" | "$defs" => {}
            other => panic!("{other} is not understood"),
        }
    }
    let known = schema.get("properties").and_then(Json::as_object);
    for (key, member) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        match (known.and_then(|known| known.get(key)), schema.get("additionalProperties")) {
            (Some(schema), _) => check(root, schema, member, &path, found),
            (None, Some(Json::Bool(false))) => found.push(format!("{path}: unknown")),
            (None, Some(schema)) if schema.is_object() => check(root, schema, member, &path, found),
            _ => {}
        }
    }
}

fn is(value: &Json, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other} is not understood"),
    }
}
