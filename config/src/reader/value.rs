//! One value of the file and the typed ways to read it.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::document::{Document, Read, Reported};
use super::key::Section;
use super::mapping::{self, Mapping, Refused};
use super::nearest;
use super::yaml::{self, Data, Node};
use crate::error::Origin;

/// A value, and the keys that lead to it.
#[derive(Clone)]
pub struct Value<'d> {
    pub(crate) document: &'d Document<'d>,
    pub(super) node: &'d Node,
    pub(super) path: String,
}

/// Content of a value.
pub enum Kind<'d> {
    /// Nothing, or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// Text.
    String(&'d str),
    /// A list, whose items [`Value::list`] reads.
    List,
    /// A mapping, which [`Value::mapping`] and [`Value::entries`] take apart.
    Mapping,
    /// With a tag that means nothing here.
    Tagged(String),
    /// A scalar that contradicts its tag, such as `!!int x`.
    Bad,
}

impl Document<'_> {
    /// Returns the value at the top of the file.
    pub fn root(&self) -> Value<'_> {
        Value::new(self, self.top(), String::new())
    }
}

impl<'d> Value<'d> {
    pub(super) fn new(document: &'d Document<'d>, node: &'d Node, path: String) -> Self {
        Self { document, node, path }
    }

    /// Returns its content.
    pub fn kind(&self) -> Kind<'d> {
        match &self.node.data {
            Data::Null => Kind::Null,
            Data::Bool(value) => Kind::Bool(*value),
            Data::Integer(value) => Kind::Integer(*value),
            Data::Float(value) => Kind::Float(*value),
            Data::Text(value) => Kind::String(value),
            Data::List(_) => Kind::List,
            Data::Mapping(_) => Kind::Mapping,
            Data::Tagged(tag) => Kind::Tagged(tag.clone()),
            Data::Bad => Kind::Bad,
        }
    }

    /// Returns true if there is nothing behind the key.
    pub fn is_null(&self) -> bool {
        matches!(self.kind(), Kind::Null)
    }

    /// Returns its place.
    pub fn origin(&self) -> Origin {
        self.document.origin(self.node, &self.path)
    }

    /// Notes an error about this value.
    pub fn fail(&self, message: impl Into<String>, help: impl Into<String>) -> Reported {
        self.document.fail(self.origin().diagnostic(message, help))
    }

    /// Notes that this value is not what it should be.
    pub fn expected(&self, what: impl Display, help: impl Into<String>) -> Reported {
        self.fail(format!("expected {what}, found {}", self.describe()), help)
    }

    /// Notes something about this value that the operator should know.
    pub fn notice(&self, message: impl Into<String>, help: impl Into<String>) {
        self.document.notice(self.origin().diagnostic(message, help));
    }

    /// Returns the value's own characters, of a scalar without quotes.
    pub fn source(&self) -> String {
        yaml::source(self.node, self.document.text)
    }

    /// Reads text.
    pub fn string(&self) -> Read<&'d str> {
        match self.kind() {
            Kind::String(text) => Ok(text),
            Kind::Bool(_) | Kind::Integer(_) | Kind::Float(_) => {
                Err(self.expected("text", format!("put it in quotes: \"{}\"", self.source())))
            }
            Kind::Null => Err(self.expected("text", "write a value, or remove the key")),
            _ => Err(self.expected("text", "write a single value here")),
        }
    }

    /// Reads a string that is not empty.
    pub fn name(&self) -> Read<String> {
        match self.string()? {
            "" => Err(self.expected("a name", "write one, or remove the key")),
            name => Ok(name.to_owned()),
        }
    }

    /// Reads `true` or `false`.
    pub fn boolean(&self) -> Read<bool> {
        match self.kind() {
            Kind::Bool(value) => Ok(value),
            _ => Err(self.expected("true or false", "write true or false, without quotes")),
        }
    }

    /// Reads a whole number in a range.
    pub fn integer(&self, range: RangeInclusive<u64>) -> Read<u64> {
        let what = format!("a whole number from {} to {}", range.start(), range.end());
        match self.kind() {
            Kind::Integer(value) => u64::try_from(value)
                .ok()
                .filter(|value| range.contains(value))
                .ok_or_else(|| self.expected(what, "choose one in this range")),
            Kind::String(text) if text.parse::<u64>().is_ok() => Err(self.expected(what, "remove the quotes")),
            _ => Err(self.expected(what, format!("write a number such as {}", range.start().max(&1)))),
        }
    }

    /// Reads one of a few words.
    pub fn one_of<T: Copy>(&self, choices: &[(&str, T)]) -> Read<T> {
        let text = match self.kind() {
            Kind::String(text) => text,
            _ => "",
        };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Ok(*choice);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let help = nearest::suggest(text, &words).unwrap_or_else(|| "write one of these words".to_owned());
        Err(self.expected(nearest::either(&words), help))
    }

    /// Reads each item of a list; all of them, so that all their errors are found.
    pub fn list<T>(&self, mut read: impl FnMut(usize, &Self) -> Read<T>) -> Read<Vec<T>> {
        let Data::List(nodes) = &self.node.data else {
            return Err(self.expected("a list", "start each item with \"- \", or write [] for none"));
        };
        let items = nodes.iter().enumerate().map(|(index, node)| read(index, &self.item(index, node)));
        let results: Vec<Read<T>> = items.collect();
        results.into_iter().collect()
    }

    /// Reads the entries of a mapping that may have any key.
    pub fn entries(&self) -> Read<Mapping<'d>> {
        Mapping::open(self)
    }

    /// Reads a mapping with the keys of a section and no others.
    pub fn mapping(&self, section: &'static Section) -> Read<Mapping<'d>> {
        self.mapping_without(section, &[])
    }

    /// Reads a mapping with the keys of a section, and reasons against some others.
    pub fn mapping_without(&self, section: &'static Section, refused: &[Refused]) -> Read<Mapping<'d>> {
        let mut mapping = Mapping::open(self)?;
        mapping.check_keys(section, refused)?;
        Ok(mapping)
    }

    /// Returns the value of a key, if this is a mapping that has it, also in camel case. Never a finding.
    pub fn member(&self, key: &str) -> Option<Self> {
        let (key, node) = self.node.entries()?.iter().find_map(|(name, node)| {
            let name = name.text()?;
            (name == key || mapping::snake_case(name) == key).then_some((name, node))
        })?;
        Some(Value::new(self.document, node, mapping::join(&self.path, key)))
    }

    /// Returns the items, if this is a list. Never a finding.
    pub fn items(&self) -> impl Iterator<Item = Self> {
        let nodes = match &self.node.data {
            Data::List(nodes) => nodes.as_slice(),
            _ => &[],
        };
        nodes.iter().enumerate().map(|(index, node)| self.item(index, node))
    }

    /// Returns the text, if this is one. Never a finding.
    pub fn text(&self) -> Option<&'d str> {
        self.node.text()
    }

    /// Returns how many entries it has, if this is a mapping. Never a finding.
    pub fn entry_count(&self) -> Option<usize> {
        self.node.entries().map(<[_]>::len)
    }

    fn item(&self, index: usize, node: &'d Node) -> Self {
        Self::new(self.document, node, format!("{}[{index}]", self.path))
    }

    /// Returns the value in words, for "found …".
    fn describe(&self) -> String {
        match self.kind() {
            Kind::Null => "nothing".to_owned(),
            Kind::Bool(value) => value.to_string(),
            Kind::Integer(_) | Kind::Float(_) => format!("the number {}", self.source()),
            Kind::String("") => "empty text".to_owned(),
            Kind::String(text) => quote(text),
            Kind::List => "a list".to_owned(),
            Kind::Mapping => "a mapping".to_owned(),
            Kind::Tagged(tag) => format!("the tag {tag}, which has no meaning here"),
            Kind::Bad => "a value that contradicts its tag".to_owned(),
        }
    }
}

/// Returns text in quotes, cut if it is long.
pub fn quote(text: &str) -> String {
    const LONGEST: usize = 100;
    match text.char_indices().nth(LONGEST) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}...", &text[..end]),
    }
}
