//! Keys of the configuration: all that the reader, the schema and docs/configuration.md know of each, in one place.
//!
//! The reader asks a mapping for a [`Key`] and not for a name, and takes no mapping without the [`Section`] that lists its keys,
//! so that no key is read that is not described.

use std::ops::RangeInclusive;

/// A key of a mapping.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// The values that it takes.
    pub values: Type,
    /// Its default.
    pub absent: Absent,
    /// One sentence about it, in Markdown.
    pub about: &'static str,
}

/// Default of a key.
#[derive(Clone, Copy, Debug)]
pub enum Absent {
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
pub struct Section {
    /// Its name in the schema.
    pub name: &'static str,
    /// The places of the section, as paths of keys.
    pub at: &'static str,
    /// One sentence about it, in Markdown.
    pub about: &'static str,
    /// The page of docs/ with details, if there is one.
    pub page: Option<&'static str>,
    /// Its keys, in the order in which they are shown.
    pub keys: &'static [Key],
}

/// The values that a key takes.
#[derive(Clone, Copy, Debug)]
pub enum Type {
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
    /// The same, from so many seconds to so many.
    Seconds(u64, u64),
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
pub static EMPTY: Section = Section::new("nothing", "", "Nothing.", &[]);

impl Key {
    /// Makes a key that may be absent.
    pub const fn new(name: &'static str, values: Type, about: &'static str) -> Self {
        Self { name, values, absent: Absent::Nothing, about }
    }

    /// Makes it one that must be there.
    pub const fn required(self) -> Self {
        Self { absent: Absent::Error, ..self }
    }

    /// Gives it a value, written in YAML, that applies where it is absent.
    pub const fn default(self, value: &'static str) -> Self {
        Self { absent: Absent::Value(value), ..self }
    }

    /// Says what applies where it is absent, if that is no fixed value.
    pub const fn computed(self, what: &'static str) -> Self {
        Self { absent: Absent::Computed(what), ..self }
    }

    /// Returns the numbers, sizes or seconds that it takes.
    pub const fn range(self) -> RangeInclusive<u64> {
        match self.values {
            Type::Integer(least, most) | Type::Size(least, most) | Type::Seconds(least, most) => least..=most,
            _ => 0..=u64::MAX,
        }
    }
}

impl Section {
    /// Makes a section.
    pub const fn new(name: &'static str, at: &'static str, about: &'static str, keys: &'static [Key]) -> Self {
        Self { name, at, about, page: None, keys }
    }

    /// Names the page of docs/ with details.
    pub const fn page(self, page: &'static str) -> Self {
        Self { page: Some(page), ..self }
    }

    /// Returns the names of its keys.
    pub fn names(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.name).collect()
    }

    /// Returns whether it has a key.
    pub fn has(&self, key: Key) -> bool {
        self.keys.iter().any(|own| own.name == key.name)
    }
}
