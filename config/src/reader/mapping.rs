//! The entries of a mapping: known keys, unknown keys, duplicate keys.

use super::document::{Read, Reported};
use super::key::{Key, Section};
use super::nearest;
use super::value::{Kind, Value};
use crate::error::Origin;

/// A mapping that is being read.
pub struct Mapping<'d> {
    value: Value<'d>,
    /// Its keys; None if it may have any.
    section: Option<&'static Section>,
    entries: Vec<Entry<'d>>,
    /// Known keys for which the operator was told to have written something else: they are not reported as missing.
    misspelt: Vec<(String, Reported)>,
}

/// One key and its value.
pub struct Entry<'d> {
    /// The key, in snake case if the section lists it so.
    pub key: String,
    /// The place of the key; its path is the mapping's.
    pub origin: Origin,
    /// The value.
    pub value: Value<'d>,
}

/// A key that an operator may well try: its name, why it is refused and the remedy.
pub type Refused = (&'static str, &'static str, &'static str);

impl Entry<'_> {
    /// Notes an error about the key.
    pub fn fail(&self, message: impl Into<String>, help: impl Into<String>) -> Reported {
        self.value.document.fail(self.origin.diagnostic(message, help))
    }
}

impl<'d> Mapping<'d> {
    /// Takes a mapping apart, and reports duplicate keys.
    pub(super) fn open(value: &Value<'d>) -> Read<Self> {
        let Some(nodes) = value.node.entries() else {
            return Err(value.expected("a mapping", mapping_help(value)));
        };
        let document = value.document;
        let mut entries: Vec<Entry<'d>> = Vec::with_capacity(nodes.len());
        for (key_node, node) in nodes {
            let origin = document.origin(key_node, &value.path);
            let Some(key) = key_node.name(document.text) else {
                document.fail(origin.diagnostic("a key cannot be a list or a mapping", "write a single word"));
                continue;
            };
            if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                let message = format!("duplicate key {key:?}, first written in line {}", first.origin.line);
                document.fail(origin.diagnostic(message, "keep one of the two"));
                continue;
            }
            let value = Value::new(document, node, join(&value.path, &key));
            entries.push(Entry { key, origin, value });
        }
        Ok(Self { value: value.clone(), section: None, entries, misspelt: Vec::new() })
    }

    /// Reports each key that the section does not have. An error if there is one of the `refused`.
    pub(super) fn check_keys(&mut self, section: &'static Section, refused: &[Refused]) -> Read<()> {
        self.section = Some(section);
        let known = &section.names()[..];
        let document = self.value.document;
        self.take_camel_case(|key| known.contains(&key) || refused.iter().any(|(name, ..)| *name == key));
        let mut result = Ok(());
        for entry in self.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let key = entry.key.as_str();
            if let Some((_, why, remedy)) = refused.iter().find(|(name, ..)| *name == key) {
                result = Err(document.fail(entry.origin.diagnostic(*why, *remedy)));
            } else if key == "<<" {
                let help = "write the keys out, or name a plugin at the top of the file and refer to it";
                result = Err(document.fail(entry.origin.diagnostic("merge keys (<<) are not supported", help)));
            } else {
                let help = match nearest::suggest(key, known) {
                    Some(help) => help,
                    None if known.is_empty() => "no keys are expected here: write {}".to_owned(),
                    None => format!("the keys here are {}", known.join(", ")),
                };
                let reported = document.fail(entry.origin.diagnostic(format!("unknown key {key:?}"), help));
                let meant = nearest::find(key, known).map(|meant| (meant.to_owned(), reported));
                self.misspelt.extend(meant);
            }
        }
        result
    }

    /// Renames keys that are written as protobuf's JSON has them: `vmConfig` is `vm_config`.
    fn take_camel_case(&mut self, is_known: impl Fn(&str) -> bool) {
        let document = self.value.document;
        for index in 0..self.entries.len() {
            let Some(entry) = self.entries.get(index).filter(|entry| !is_known(&entry.key)) else { continue };
            let key = snake_case(&entry.key);
            if !is_known(&key) {
                continue;
            }
            let first = self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.origin.line);
            let Some(entry) = self.entries.get_mut(index) else { continue };
            match first {
                None => entry.key = key,
                Some(line) => {
                    let message = format!("{:?} is another name of {key:?}, written in line {line}", entry.key);
                    document.fail(entry.origin.diagnostic(message, "keep one of the two"));
                    // Whatever it says, there is nothing more to report about it.
                    self.entries.remove(index);
                    return self.take_camel_case(is_known);
                }
            }
        }
    }

    /// Returns the finding about a key whose name resembles `key`.
    pub fn misspelt(&self, key: Key) -> Option<Reported> {
        self.misspelt.iter().find(|(meant, _)| meant == key.name).map(|(_, reported)| *reported)
    }

    /// Returns its entries, in the order of the file.
    pub fn entries(&self) -> &[Entry<'d>] {
        &self.entries
    }

    /// Returns the value of a key, where a key without a value counts as absent.
    pub fn get(&self, key: Key) -> Option<&Value<'d>> {
        self.entry(key).filter(|value| !value.is_null())
    }

    /// Returns the value of a key, also if it is empty.
    pub fn entry(&self, key: Key) -> Option<&Value<'d>> {
        debug_assert!(
            self.section.is_none_or(|section| section.has(key)),
            "the section {:?} does not list the key {:?}: add it there",
            self.section.map(|section| section.name),
            key.name
        );
        self.entries.iter().find(|entry| entry.key == key.name).map(|entry| &entry.value)
    }

    /// Reads the value of a key that has to be there. `help` is the remedy if it is not.
    pub fn required<T>(&self, key: Key, help: &str, read: impl FnOnce(&Value<'d>) -> Read<T>) -> Read<T> {
        match self.get(key) {
            Some(value) => read(value),
            None => Err(self.missing(key, help)),
        }
    }

    /// Reads the value of a key that may be absent.
    pub fn optional<T>(&self, key: Key, read: impl FnOnce(&Value<'d>) -> Read<T>) -> Read<Option<T>> {
        self.get(key).map(read).transpose()
    }

    /// Reads the value of a key; `default` where it is absent.
    pub fn or<T>(&self, key: Key, default: T, read: impl FnOnce(&Value<'d>) -> Read<T>) -> Read<T> {
        self.get(key).map_or(Ok(default), read)
    }

    /// Returns the one key of several that is there; an error if there are more, None if there is none.
    pub fn at_most_one(&self, keys: &[Key]) -> Read<Option<(&'static str, &Value<'d>)>> {
        let mut found = keys.iter().filter_map(|key| Some((key.name, self.get(*key)?)));
        let first = found.next();
        match (first, found.next()) {
            (Some((one, _)), Some((other, value))) => {
                Err(value.fail(format!("both {one:?} and {other:?} are given"), "keep one of them"))
            }
            _ => Ok(first),
        }
    }

    fn missing(&self, key: Key, help: &str) -> Reported {
        if let Some(reported) = self.misspelt(key) {
            return reported;
        }
        match self.entry(key) {
            Some(empty) => empty.fail("there is nothing behind this key", help),
            None => self.value.fail(format!("missing key {:?}", key.name), help),
        }
    }
}

/// Returns the name of a field whose name in protobuf's JSON is `key`.
pub fn snake_case(key: &str) -> String {
    let mut name = String::with_capacity(key.len() + 4);
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

fn mapping_help(value: &Value<'_>) -> &'static str {
    match value.kind() {
        Kind::Null => "write its keys below, indented, or remove it",
        Kind::List => "remove the \"- \" before the keys",
        _ => "write `key: value` lines below, indented",
    }
}

/// Adds a key to a path.
pub(super) fn join(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    match (plain, path) {
        (true, "") => key.to_owned(),
        (true, path) => format!("{path}.{key}"),
        (false, path) => format!("{path}[{key:?}]"),
    }
}
