//! Chains of plugins, and the plugins at the top of the file that chains refer to by name.

use super::document::Read;
use super::filter_entry;
use super::mapping::Mapping;
use super::nearest;
use super::plugin::{self, Plugin};
use super::unique::Unique;
use super::value::{Kind, Value};

/// The named plugins at the top of the file. One that could not be read stays here, so that a reference to it is not
/// reported as well.
#[derive(Default)]
pub(super) struct Library {
    plugins: Vec<(String, Read<Plugin>)>,
}

impl Library {
    /// Reads the top-level `plugins`.
    pub(super) fn read(root: &Mapping<'_>) -> Self {
        let mut names = Unique::new("plugin name");
        let mut plugins = Vec::new();
        // Whatever is wrong is reported already; the plugins that can be read are of use to the chains.
        let _ = root.optional("plugins", |list| {
            list.list(|index, value| {
                value.entries()?;
                let plugin = Self::default().defined(index, value);
                let Some((place, name)) = declared_name(value) else {
                    return Err(value.fail("missing key \"name\"", "add a name for the chains to refer to"));
                };
                names.check(&place, name)?;
                plugins.push((name.to_owned(), plugin));
                Ok(())
            })
        });
        Self { plugins }
    }

    /// Reads a chain: plugins, and names of plugins.
    pub(super) fn chain(&self, value: &Value<'_>) -> Read<Vec<Plugin>> {
        value.list(|index, value| self.plugin(index, value))
    }

    fn plugin(&self, index: usize, value: &Value<'_>) -> Read<Plugin> {
        match value.kind() {
            Kind::String(name) => self.named(value, name),
            Kind::Mapping => self.defined(index, value),
            _ => Err(value.expected("a plugin or the name of one", "write a plugin's keys, or a name from plugins")),
        }
    }

    fn named(&self, value: &Value<'_>, name: &str) -> Read<Plugin> {
        if let Some((_, plugin)) = self.plugins.iter().find(|(known, _)| known == name) {
            return plugin.clone();
        }
        let known: Vec<&str> = self.plugins.iter().map(|(known, _)| known.as_str()).collect();
        let help = nearest::suggest(name, &known).unwrap_or_else(|| match known.as_slice() {
            [] => "define it under plugins at the top of the file".to_owned(),
            known => format!("the plugins at the top of the file are {}", known.join(", ")),
        });
        Err(value.fail(format!("no plugin is called {name:?}"), help))
    }

    fn defined(&self, index: usize, value: &Value<'_>) -> Read<Plugin> {
        let default_name = format!("plugin_{index}");
        if filter_entry::is_entry(value) {
            let entry = filter_entry::read(value)?;
            return plugin::read(&entry.config, &entry.name.unwrap_or(default_name));
        }
        let only_name = value.node.data.as_mapping().is_some_and(|mapping| mapping.len() == 1);
        match declared_name(value) {
            Some((_, name)) if only_name && self.plugins.iter().any(|(known, _)| *known == name) => {
                let message = format!("a reference to the plugin {name:?} is its name alone");
                Err(value.fail(message, format!("write `- {name}`")))
            }
            _ => plugin::read(value, &default_name),
        }
    }
}

/// The name that a plugin or filter entry declares, and where; without any finding about it.
fn declared_name<'d>(value: &Value<'d>) -> Option<(Value<'d>, &'d str)> {
    let own = |value: &Value<'d>| {
        let place = value.member("name")?;
        let name = place.node.data.as_str()?;
        Some((place, name))
    };
    let inner = value.member("typed_config").and_then(|typed| typed.member("config"));
    inner.as_ref().and_then(own).or_else(|| own(value))
}
