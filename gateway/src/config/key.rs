//! Keys of the configuration: all that the reader, the schema and docs/configuration.md know of each, in one place.
//!
//! The reader asks a mapping for a [`Key`] and not for a name, and takes no mapping without the [`Section`] that lists its keys,
//! so that no key is read that is not described.

use std::ops::RangeInclusive;

/// A key of a mapping.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Its name.
    pub(super) name: &'static str,
    /// The values that it takes.
    pub(super) values: Type,
    /// Its default.
    pub(super) absent: Absent,
    /// One sentence about it, in Markdown.
    pub(super) about: &'static str,
}

/// Default of a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Absent {
    /// An error.
    Error,
    /// Nothing, or what the key's sentence says.
    Nothing,
    /// This value, as the file would have it.
    Value(&'static str),
    /// A value that depends on the place or the machine, in words.
    Computed(&'static str),
}

/// A mapping with fixed keys.
#[derive(Debug)]
pub(super) struct Section {
    /// Its name in the schema.
    pub(super) name: &'static str,
    /// The places of the section, as paths of keys.
    pub(super) at: &'static str,
    /// One sentence about it, in Markdown.
    pub(super) about: &'static str,
    /// The page of docs/ with details, if there is one.
    pub(super) page: Option<&'static str>,
    /// Its keys, in the order in which they are shown.
    pub(super) keys: &'static [Key],
}

/// The values that a key takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Type {
    /// Any text.
    Text,
    /// Text that is not empty.
    Name,
    /// Text of some form: what to call it, and a regular expression.
    Form(&'static str, &'static str),
    /// Bytes as base64.
    Base64,
    /// `true` or `false`.
    Boolean,
    /// A whole number, from one to another.
    Integer(u64, u64),
    /// A number of bytes, from one to another, such as `64KiB`.
    Size(u64, u64),
    /// A time such as `250ms`.
    Duration,
    /// The same, and longer than nothing.
    Positive,
    /// A part such as `20%`.
    Percent,
    /// One of some words.
    Words(&'static [&'static str]),
    /// A name of a set of capabilities.
    Preset,
    /// Capabilities, each with its rules or none.
    Capabilities,
    /// A list.
    List(&'static Self),
    /// A mapping of any names.
    Map(&'static Self),
    /// A mapping with fixed keys.
    Section(&'static Section),
    /// One of several types.
    Either(&'static [Self]),
    /// `{}`, or nothing.
    Nothing,
    /// Anything.
    Free,
}

/// A mapping without keys.
pub(super) static EMPTY: Section = Section::new("nothing", "", "Nothing.", &[]);

impl Key {
    /// Makes a key that may be absent.
    pub(super) const fn new(name: &'static str, values: Type, about: &'static str) -> Self {
        Self { name, values, absent: Absent::Nothing, about }
    }

    /// Makes it one that must be there.
    pub(super) const fn required(self) -> Self {
        Self { absent: Absent::Error, ..self }
    }

    /// Gives it a value, written in YAML, that applies where it is absent.
    pub(super) const fn default(self, value: &'static str) -> Self {
        Self { absent: Absent::Value(value), ..self }
    }

    /// Says what applies where it is absent, if that is no fixed value.
    pub(super) const fn computed(self, what: &'static str) -> Self {
        Self { absent: Absent::Computed(what), ..self }
    }

    /// Returns the numbers or sizes that it takes.
    pub(super) const fn range(self) -> RangeInclusive<u64> {
        match self.values {
            Type::Integer(least, most) | Type::Size(least, most) => least..=most,
            _ => 0..=u64::MAX,
        }
    }
}

impl Section {
    /// Makes a section.
    pub(super) const fn new(name: &'static str, at: &'static str, about: &'static str, keys: &'static [Key]) -> Self {
        Self { name, at, about, page: None, keys }
    }

    /// Names the page of docs/ with details.
    pub(super) const fn page(self, page: &'static str) -> Self {
        Self { page: Some(page), ..self }
    }

    /// Returns the names of its keys.
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.name).collect()
    }

    /// Returns whether it has a key.
    pub(super) fn has(&self, key: Key) -> bool {
        self.keys.iter().any(|own| own.name == key.name)
    }
}
