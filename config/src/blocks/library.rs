//! Chains of plugins, and the plugins at the top of the file that chains refer to by name.

use std::cell::Cell;

use super::filter_entry::{self, Filter, Traffic};
use super::plugin::{self, Plugin};
use crate::error::Origin;
use crate::reader::{Key, Kind, Mapping, Read, Reported, Type, Unique, Value, nearest};

/// A plugin at the top of the file.
pub const DEFINED: Type = Type::Either(
    const {
        &[
            Type::Section(&plugin::PLUGIN),
            Type::Section(&filter_entry::ENTRY),
            Type::Section(&filter_entry::TYPED),
            Type::Section(&filter_entry::STRUCT),
        ]
    },
);

/// The plugins at the top of the file.
pub const PLUGINS: Key =
    Key::new("plugins", Type::List(const { &DEFINED }), "Plugins with a name, for chains and services.").default("[]");

/// A plugin in a chain, or the name of one.
pub const CHAINED: Type = Type::Either(
    const {
        &[
            Type::Name,
            Type::Section(&plugin::PLUGIN),
            Type::Section(&filter_entry::ENTRY),
            Type::Section(&filter_entry::TYPED),
            Type::Section(&filter_entry::STRUCT),
        ]
    },
);

/// The named plugins at the top of the file. One that could not be read stays here, so that a reference to it is not
/// reported as well.
#[derive(Default)]
pub struct Library {
    plugins: Vec<Named>,
    /// The key is misspelt, which is reported: a reference to a name is not reported as well.
    misspelt: Option<Reported>,
}

/// A plugin at the top of the file, and the filter of Envoy that it was written as.
struct Named {
    name: String,
    plugin: Read<(Plugin, Option<Filter>)>,
    /// The place of the name.
    origin: Origin,
    /// A chain or service has it.
    is_used: Cell<bool>,
}

impl Library {
    /// Reads the top-level `plugins`.
    pub fn read(root: &Mapping<'_>) -> Self {
        let mut names = Unique::new("plugin name");
        let mut plugins = Vec::new();
        // Whatever is wrong is reported already; the plugins that can be read are of use to the chains.
        let _ = root.optional(PLUGINS, |list| {
            list.list(|index, value| {
                value.entries()?;
                let plugin = Self::default().defined(index, value);
                let Some((place, name)) = declared_name(value) else {
                    return Err(value.fail("missing key \"name\"", "add a name for the chains to refer to"));
                };
                names.check(&place, name)?;
                plugins.push(Named { name: name.to_owned(), plugin, origin: place.origin(), is_used: Cell::default() });
                Ok(())
            })
        });
        Self { plugins, misspelt: root.misspelt(PLUGINS) }
    }

    /// Reads the plugins of a file that has no chains: each is a plugin, or a filter of Envoy around one, with a name of its own.
    pub(crate) fn definitions(value: &Value<'_>) -> Read<Vec<Plugin>> {
        let mut names = Unique::new("plugin name");
        value.list(|index, value| {
            value.entries()?;
            let (plugin, _) = Self::default().defined(index, value)?;
            let place = declared_name(value).map_or_else(|| value.clone(), |(place, _)| place);
            names.check(&place, &plugin.name)?;
            Ok(plugin)
        })
    }

    /// Reads a chain: plugins, and names of plugins.
    pub fn chain(&self, value: &Value<'_>, traffic: Traffic) -> Read<Vec<Plugin>> {
        value.list(|index, value| {
            let (plugin, filter) = self.plugin(index, value)?;
            filter.map_or(Ok(()), |filter| filter.check(traffic, value))?;
            Ok(plugin)
        })
    }

    /// Reads the plugin of a service, or the name of one.
    pub fn service(&self, value: &Value<'_>, default_name: &str) -> Read<Plugin> {
        match value.kind() {
            Kind::String(name) => self.named(value, name).map(|(plugin, _)| plugin),
            Kind::Mapping => plugin::read(value, default_name),
            _ => Err(value.expected("a plugin or the name of one", "write a plugin's keys, or a name from plugins")),
        }
    }

    /// Notes each plugin that no chain has had, once all chains have been read.
    pub fn notice_unused(&self, file: &Value<'_>) {
        for unused in self.plugins.iter().filter(|known| !known.is_used.get()) {
            let message = format!("plugin {:?} is in no chain, so it never runs", unused.name);
            let help = "add its name to the plugins of a listener or route, or to services, or remove it";
            file.document.notice(unused.origin.diagnostic(message, help));
        }
    }

    fn plugin(&self, index: usize, value: &Value<'_>) -> Read<(Plugin, Option<Filter>)> {
        match value.kind() {
            Kind::String(name) => self.named(value, name),
            Kind::Mapping => self.defined(index, value),
            _ => Err(value.expected("a plugin or the name of one", "write a plugin's keys, or a name from plugins")),
        }
    }

    fn named(&self, value: &Value<'_>, name: &str) -> Read<(Plugin, Option<Filter>)> {
        if let Some(known) = self.plugins.iter().find(|known| known.name == name) {
            known.is_used.set(true);
            return known.plugin.clone();
        }
        if let Some(reported) = self.misspelt {
            return Err(reported);
        }
        let known: Vec<&str> = self.plugins.iter().map(|known| known.name.as_str()).collect();
        let help = nearest::suggest(name, &known).unwrap_or_else(|| match known.as_slice() {
            [] => "define it under plugins at the top of the file".to_owned(),
            known => format!("the plugins at the top of the file are {}", known.join(", ")),
        });
        Err(value.fail(format!("no plugin is called {name:?}"), help))
    }

    fn defined(&self, index: usize, value: &Value<'_>) -> Read<(Plugin, Option<Filter>)> {
        let default_name = format!("plugin_{index}");
        if filter_entry::is_entry(value) {
            let entry = filter_entry::read(value)?;
            let plugin = plugin::read(&entry.config, &entry.name.unwrap_or(default_name))?;
            return Ok((plugin, Some(entry.filter)));
        }
        let only_name = value.entry_count() == Some(1);
        match declared_name(value) {
            Some((_, name)) if only_name && self.plugins.iter().any(|known| known.name == name) => {
                let message = format!("a reference to the plugin {name:?} is its name alone");
                Err(value.fail(message, format!("write `- {name}`")))
            }
            _ => Ok((plugin::read(value, &default_name)?, None)),
        }
    }
}

/// Returns the name that a plugin or filter entry declares, and where; without any finding about it.
fn declared_name<'d>(value: &Value<'d>) -> Option<(Value<'d>, &'d str)> {
    let own = |value: &Value<'d>| {
        let place = value.member("name")?;
        let name = place.text()?;
        Some((place, name))
    };
    filter_entry::peek(value).as_ref().and_then(own).or_else(|| own(value))
}
