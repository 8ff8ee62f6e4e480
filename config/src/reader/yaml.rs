//! The text of a file as a tree in which every node knows its place.
//!
//! The tree is made of the parser's events. Saphyr's own refuses a mapping that has a key twice, and says only where; here a mapping
//! keeps all of its entries, so that the reader says which key, and under which path, like for any other mistake.

use std::collections::HashMap;

use saphyr::Scalar;
use saphyr_parser::{BufferedInput, Event, Marker, Parser, ScanError, Span};

/// A value with its place in the text.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) data: Data,
    pub(super) span: Span,
}

/// The content of a node.
#[derive(Clone, Debug)]
pub(super) enum Data {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the text; a key may be there twice.
    Mapping(Vec<(Node, Node)>),
    /// With a tag that is none of YAML's own.
    Tagged(String),
    /// A scalar that contradicts its tag, or nothing at all.
    Bad,
}

/// Reads a text into its documents.
///
/// # Errors
/// The text is no YAML, or its aliases expand to too many nodes.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, ScanError> {
    let mut builder = Builder::default();
    for event in Parser::new(BufferedInput::new(text.chars())) {
        let (event, span) = event?;
        builder.add(event, span)?;
    }
    Ok(builder.documents)
}

/// Returns the characters of a scalar as written in the text.
pub(super) fn source(node: &Node, text: &str) -> String {
    let (start, end) = (node.span.start.index(), node.span.end.index());
    text.chars().skip(start).take(end.saturating_sub(start)).collect()
}

impl Node {
    /// Returns its text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns its entries, if it is a mapping.
    pub(super) fn entries(&self) -> Option<&[(Self, Self)]> {
        match &self.data {
            Data::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// Returns its name as a key. None if it cannot be the name of anything.
    pub(super) fn name(&self, text: &str) -> Option<String> {
        match &self.data {
            Data::Text(name) => Some(name.clone()),
            Data::Null | Data::Bool(_) | Data::Integer(_) | Data::Float(_) => Some(source(self, text)),
            Data::List(_) | Data::Mapping(_) | Data::Tagged(_) | Data::Bad => None,
        }
    }

    /// Takes as many nodes as there are in it from what is left; false if there are more.
    fn fits(&self, left: &mut usize) -> bool {
        let Some(rest) = left.checked_sub(1) else { return false };
        *left = rest;
        match &self.data {
            Data::List(items) => items.iter().all(|item| item.fits(left)),
            Data::Mapping(entries) => entries.iter().all(|(key, value)| key.fits(left) && value.fits(left)),
            _ => true,
        }
    }
}

/// The most nodes to which all aliases of a text expand: a few nested ones could expand to any number.
const ALIASES: usize = 100_000;

/// Makes a tree of events.
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    /// The nodes of anchors in one document, by the numbers that the parser gives them.
    anchors: HashMap<usize, Node>,
    /// The number of nodes to which aliases may still expand.
    left: usize,
}

impl Default for Builder {
    fn default() -> Self {
        Self { documents: Vec::new(), open: Vec::new(), anchors: HashMap::new(), left: ALIASES }
    }
}

/// A list or mapping that has not ended.
struct Open {
    content: Content,
    start: Marker,
    anchor: usize,
    tag: Option<String>,
}

enum Content {
    List(Vec<Node>),
    /// The entries, and a key whose value has not come.
    Mapping(Vec<(Node, Node)>, Option<Node>),
}

impl Builder {
    fn add(&mut self, event: Event<'_>, span: Span) -> Result<(), ScanError> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => self.anchors.clear(),
            Event::SequenceStart(anchor, tag) => {
                self.begin(Content::List(Vec::new()), anchor, tag.as_deref(), span);
            }
            Event::MappingStart(anchor, tag) => {
                self.begin(Content::Mapping(Vec::new(), None), anchor, tag.as_deref(), span);
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { content, start, anchor, tag }) = self.open.pop() else { return Ok(()) };
                let data = match (tag, content) {
                    (Some(tag), _) => Data::Tagged(tag),
                    (None, Content::List(items)) => Data::List(items),
                    (None, Content::Mapping(entries, _)) => Data::Mapping(entries),
                };
                self.insert(Node { data, span: Span::new(start, span.start) }, anchor);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let data = match tag.as_deref().filter(|tag| !tag.is_yaml_core_schema()) {
                    Some(tag) => Data::Tagged(tag.to_string()),
                    None => scalar(Scalar::parse_from_cow_and_metadata(text, style, tag.as_ref())),
                };
                self.insert(Node { data, span }, anchor);
            }
            Event::Alias(anchor) => {
                let Some(named) = self.anchors.get(&anchor) else {
                    self.insert(Node { data: Data::Bad, span }, 0);
                    return Ok(());
                };
                if !named.fits(&mut self.left) {
                    return Err(ScanError::new_str(span.start, "the aliases stand for too many values"));
                }
                let node = Node { span, ..named.clone() };
                self.insert(node, 0);
            }
        }
        Ok(())
    }

    fn begin(&mut self, content: Content, anchor: usize, tag: Option<&saphyr_parser::Tag>, span: Span) {
        let tag = tag.filter(|tag| !tag.is_yaml_core_schema()).map(ToString::to_string);
        self.open.push(Open { content, start: span.start, anchor, tag });
    }

    /// Puts a node where the next one belongs. An anchor of 0 is none.
    fn insert(&mut self, node: Node, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.documents.push(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Mapping(entries, key)) => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push((key, node)),
            },
        }
    }
}

fn scalar(scalar: Option<Scalar<'_>>) -> Data {
    match scalar {
        None => Data::Bad,
        Some(Scalar::Null) => Data::Null,
        Some(Scalar::Boolean(value)) => Data::Bool(value),
        Some(Scalar::Integer(value)) => Data::Integer(value),
        Some(Scalar::FloatingPoint(value)) => Data::Float(*value),
        Some(Scalar::String(value)) => Data::Text(value.into_owned()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// Returns the keys of the text's top mapping.
    fn keys(text: &str) -> Vec<Option<String>> {
        let documents = parse(text).unwrap();
        documents[0].entries().unwrap().iter().map(|(key, _)| key.name(text)).collect()
    }

    fn names(names: &[&str]) -> Vec<Option<String>> {
        names.iter().map(|name| Some((*name).to_owned())).collect()
    }

    #[test]
    fn a_key_that_stands_twice_is_there_twice() {
        let expected = names(&["ab", "c", "ab", "ab", "c"]);
        assert_eq!(keys("ab: 1\nc: 2\nab: 3\n'ab': 4\n\"c\": 5\n"), expected);
        assert_eq!(keys("{ab: 1, c: 2, ab: 3, 'ab': 4, \"c\": 5}"), expected);
    }

    #[test]
    fn a_key_that_is_no_string_has_its_text_for_a_name() {
        assert_eq!(keys("8080 : a\n0x10: b\ntrue: c\n"), names(&["8080", "0x10", "true"]));
        assert_eq!(keys("é: a\n8080 : b\n"), names(&["é", "8080"]));
        assert_eq!(keys("[a]: 1\n[a]: 2\n!x b: 3\n"), [None, None, None]);
    }

    #[test]
    fn an_alias_is_what_its_anchor_names_at_a_place_of_its_own() {
        let documents = parse("a: &x {b: [1]}\nc: *x\n").unwrap();
        let (_, aliased) = &documents[0].entries().unwrap()[1];
        assert_eq!(aliased.span.start.line(), 2);
        assert!(matches!(&aliased.entries().unwrap()[0].1.data, Data::List(items) if items.len() == 1));
    }

    #[test]
    fn aliases_that_stand_for_too_much_are_an_error() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for depth in 1..10 {
            let items = vec![format!("*a{}", depth - 1); 10].join(", ");
            text.push_str(&format!("a{depth}: &a{depth} [{items}]\n"));
        }
        assert!(parse(&text).unwrap_err().info().contains("aliases"));
    }
}
