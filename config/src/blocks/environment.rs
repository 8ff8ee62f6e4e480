//! The environment variables of a VM.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::reader::{Key, Kind, Read, Section, Type, Value, secret};

/// Environment variables for the code in a VM, in the order of their names. `Debug` shows the names alone.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// The names of those whose values stand elsewhere.
    secret: BTreeSet<String>,
}

impl Environment {
    /// Returns the names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the values that stand elsewhere, and that nobody is to see.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secret.iter().filter_map(|name| self.variables.get(name)).map(String::as_str)
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

const HOST_ENV_KEYS: Key = Key::new(
    "host_env_keys",
    Type::List(&Type::Name),
    "Variables of the gateway's own environment; one that is not set is left out.",
)
.default("[]");
const KEY_VALUES: Key = Key::new(
    "key_values",
    Type::Map(const { &Type::Either(const { &[Type::Text, Type::Section(&secret::SECRET)] }) }),
    "Variables and their values.",
)
.default("{}");

pub(super) static ENVIRONMENT: Section = Section::new(
    "environment_variables",
    "vm_config.environment_variables",
    "Environment variables of a VM; each name once.",
    &[HOST_ENV_KEYS, KEY_VALUES],
);

/// Reads `environment_variables`: names to take from this process, and names with their values.
pub(super) fn read(value: &Value<'_>) -> Read<Environment> {
    let mapping = value.mapping(&ENVIRONMENT)?;
    let inherited = mapping.or(HOST_ENV_KEYS, Vec::new(), |keys| keys.list(|_, key| Ok((key.clone(), name(key)?))));
    let given = mapping.or(KEY_VALUES, Vec::new(), key_values);

    let mut names = Vec::new();
    let mut environment = Environment::default();
    for (place, name) in inherited? {
        unique(&place, &mut names, &name)?;
        if let Some(text) = inherit(&place, &name)? {
            environment.variables.insert(name, text);
        }
    }
    for Given { place, name, text, is_secret } in given? {
        unique(&place, &mut names, &name)?;
        environment.secret.extend(is_secret.then(|| name.clone()));
        environment.variables.insert(name, text);
    }
    Ok(environment)
}

/// A variable with its value.
struct Given<'d> {
    place: Value<'d>,
    name: String,
    text: String,
    is_secret: bool,
}

fn key_values<'d>(value: &Value<'d>) -> Read<Vec<Given<'d>>> {
    let mapping = value.entries()?;
    let variables = mapping.entries().iter().map(|entry| {
        let place = entry.value.clone();
        check_name(&place, &entry.key)?;
        // The value may be a secret, so no message may show it.
        let (text, is_secret) = match place.kind() {
            Kind::String(text) => (text.to_owned(), false),
            Kind::Mapping => (secret::read(&place)?.text.clone(), true),
            _ => return Err(place.fail("the value of a variable must be text", "put it in quotes")),
        };
        match text.contains('\0') {
            true => Err(place.fail("the value contains a NUL character", "remove it")),
            false => Ok(Given { name: entry.key.clone(), place, text, is_secret }),
        }
    });
    let results: Vec<Read<_>> = variables.collect();
    results.into_iter().collect()
}

fn name(value: &Value<'_>) -> Read<String> {
    let name = value.name()?;
    check_name(value, &name)?;
    Ok(name)
}

fn check_name(value: &Value<'_>, name: &str) -> Read<()> {
    match name.is_empty() || name.contains(['=', '\0']) {
        true => Err(value.fail(format!("{name:?} cannot name an environment variable"), "use letters, digits and _")),
        false => Ok(()),
    }
}

fn unique(place: &Value<'_>, names: &mut Vec<String>, name: &str) -> Read<()> {
    if names.iter().any(|known| known == name) {
        let message = format!("the environment variable {name:?} is given twice; all keys must be unique");
        return Err(place.fail(message, "keep it in host_env_keys or in key_values"));
    }
    names.push(name.to_owned());
    Ok(())
}

/// Returns the variable of this process; one that is not set is left out, as Envoy does.
fn inherit(place: &Value<'_>, name: &str) -> Read<Option<String>> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            let message = format!("the environment variable {name:?} is not valid UTF-8");
            Err(place.fail(message, "change its value, or remove it here"))
        }
    }
}
