//! `capability_restriction_config`: what a plugin may do.

use portcullis::rights::OnDenial;
use serde_json::{Map, json};

use crate::error::Located;
use crate::reader::{Key, Kind, Read, Section, Type, Value};

/// The rights of a plugin, as they were written: names and rules are judged where capabilities are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RightsConfig {
    /// A set of capabilities to start from.
    pub preset: Option<Located>,
    /// The capabilities, besides those of the preset.
    pub allowed: Vec<Allowed>,
    /// The answer when the plugin does something else.
    pub on_denial: OnDenial,
}

impl RightsConfig {
    /// Returns the block as JSON, under the names of the configuration.
    pub fn to_json(&self) -> serde_json::Value {
        let allowed = self.allowed.iter().map(|allowed| {
            let rules = allowed.rules.iter().map(|rule| {
                let values: Vec<_> = rule.values.iter().map(|value| value.value.as_str()).collect();
                (rule.key.value.clone(), json!(values))
            });
            (allowed.name.value.clone(), Map::from_iter(rules).into())
        });
        json!({
            "preset": self.preset.as_ref().map(|preset| preset.value.as_str()),
            "allowed_capabilities": Map::from_iter(allowed),
            "on_denial": self.on_denial.name(),
        })
    }
}

/// One capability, and what it may be used with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Allowed {
    /// Its name.
    pub name: Located,
    /// Its rules; none allow any argument.
    pub rules: Vec<ArgumentRule>,
}

/// One rule of a capability.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArgumentRule {
    /// Its key.
    pub key: Located,
    /// Its values: one, or a list.
    pub values: Vec<Located>,
}

/// The key of the block.
pub(crate) const KEY: &str = "capability_restriction_config";

const PRESET: Key =
    Key::new("preset", Type::Preset, "A set of capabilities to start from (`portcullis presets`).").computed("none");
const ALLOWED: Key = Key::new(
    "allowed_capabilities",
    Type::Capabilities,
    "Capabilities besides those of the preset, each with nothing, `{}` or rules for its arguments behind it.",
)
.computed("none with a preset; else everything");
const ON_DENIAL_KEY: Key = Key::new(
    "on_denial",
    Type::Words(&["answer", "trap"]),
    "The answer to any other call: an error, or the end of the VM.",
)
.default("answer");

pub(super) static RIGHTS: Section = Section::new(
    "capability_restriction_config",
    "plugins[].capability_restriction_config, vm_config.capability_restriction_config",
    "Rights of a plugin.",
    &[PRESET, ALLOWED, ON_DENIAL_KEY],
)
.page("rights.md");

/// Reads the block. A block that takes no right away is none.
pub(crate) fn read(value: &Value<'_>) -> Read<Option<RightsConfig>> {
    let mapping = value.mapping(&RIGHTS)?;
    let preset = mapping.optional(PRESET, located)?;
    let on_denial = mapping.or(ON_DENIAL_KEY, OnDenial::Answer, |choice| choice.one_of(ON_DENIAL))?;
    let Some(allowed) = mapping.entry(ALLOWED) else {
        if preset.is_none() && mapping.get(ON_DENIAL_KEY).is_some() {
            return Err(value.fail("on_denial alone takes no right away", "add `preset: all` or allowed_capabilities"));
        }
        if preset.is_none() {
            value.notice("this takes no right away", "add allowed_capabilities or preset, or remove the key");
            return Ok(None);
        }
        return Ok(Some(RightsConfig { preset, allowed: Vec::new(), on_denial }));
    };
    if allowed.is_null() {
        return Err(allowed.expected(
            "a mapping of capability names",
            "write {} to allow nothing, or remove capability_restriction_config to allow everything",
        ));
    }
    let mapping = allowed.entries()?;
    if mapping.entries().is_empty() && preset.is_none() {
        allowed.notice("an empty allowed_capabilities allows nothing, where Envoy allows everything", ALLOW_ALL);
    }
    let results = mapping.entries().iter().map(|entry| {
        let name = Located { value: entry.key.clone(), origin: entry.origin.clone() };
        Ok(Allowed { name, rules: rules(&entry.value)? })
    });
    let results: Vec<Read<Allowed>> = results.collect();
    let allowed = results.into_iter().collect::<Read<_>>()?;
    Ok(Some(RightsConfig { preset, allowed, on_denial }))
}

const ALLOW_ALL: &str = "to allow everything, remove capability_restriction_config";

const ON_DENIAL: &[(&str, OnDenial)] = &[("answer", OnDenial::Answer), ("trap", OnDenial::Trap)];

/// Reads the value of a capability: nothing, `{}`, or rules.
fn rules(value: &Value<'_>) -> Read<Vec<ArgumentRule>> {
    match value.kind() {
        Kind::Null => Ok(Vec::new()),
        Kind::Mapping => {
            let mapping = value.entries()?;
            let rules = mapping.entries().iter().map(|entry| {
                let key = Located { value: entry.key.clone(), origin: entry.origin.clone() };
                Ok(ArgumentRule { key, values: values(&entry.value)? })
            });
            let results: Vec<Read<_>> = rules.collect();
            results.into_iter().collect()
        }
        _ => Err(value.expected("{} or rules", "write {} after the capability")),
    }
}

fn values(value: &Value<'_>) -> Read<Vec<Located>> {
    match value.kind() {
        Kind::List => value.list(|_, item| located(item)),
        _ => located(value).map(|value| vec![value]),
    }
}

/// Reads text, or a number as it was written.
fn located(value: &Value<'_>) -> Read<Located> {
    let text = match value.kind() {
        Kind::Integer(number) => number.to_string(),
        Kind::String(text) => text.to_owned(),
        Kind::Null => return Err(value.expected("a value", "write one, or [] for none")),
        _ => return Err(value.expected("text or a number", "write a single value, or a list of them")),
    };
    Ok(Located { value: text, origin: value.origin() })
}
