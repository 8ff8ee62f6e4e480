//! The text of a file as a tree in which every node knows its place.
//!
//! Saphyr refuses a mapping that has a key twice, and says only where. The reader should say which key and under which
//! path, like for any other mistake. So each key that stands twice is renamed here, by one character from Unicode's
//! private use area, and remembered.

use std::collections::BTreeMap;

use saphyr::{LoadableYamlNode, MarkedYaml, ScanError};

/// A value with its place in the text.
pub(super) type Node = MarkedYaml<'static>;

/// A text that has been read.
pub(super) struct Tree {
    pub(super) documents: Vec<Node>,
    duplicates: BTreeMap<usize, Duplicate>,
}

struct Duplicate {
    renamed: char,
    original: char,
}

impl Tree {
    /// Reads a text into its documents.
    pub(super) fn parse(text: &str) -> Result<Self, ScanError> {
        let mut duplicates = BTreeMap::new();
        let mut error = match Node::load_from_str(text) {
            Ok(documents) => return Ok(Self { documents, duplicates }),
            Err(error) => error,
        };
        let mut characters: Vec<char> = text.chars().collect();
        for renamed in RENAMED {
            if error.info() != DUPLICATE {
                break;
            }
            let key = error.marker().index();
            let Some(at) = first_character(&characters, key) else {
                break;
            };
            let original = std::mem::replace(&mut characters[at], renamed);
            duplicates.insert(key, Duplicate { renamed, original });
            error = match Node::load_from_iter(characters.iter().copied()) {
                Ok(documents) => return Ok(Self { documents, duplicates }),
                Err(error) => error,
            };
        }
        Err(error)
    }

    /// The name of a key. None if the node cannot be the name of anything.
    pub(super) fn key(&self, node: &Node, text: &str) -> Option<String> {
        let name = match node.data.as_str() {
            Some(name) => name.to_owned(),
            None if node.data.is_value() => source(node, text),
            None => return None,
        };
        match self.duplicates.get(&node.span.start.index()) {
            None => Some(name),
            Some(Duplicate { renamed, original }) => Some(name.replacen(*renamed, &original.to_string(), 1)),
        }
    }
}

/// The characters of a scalar as they stand in the text.
pub(super) fn source(node: &Node, text: &str) -> String {
    let (start, end) = (node.span.start.index(), node.span.end.index());
    text.chars().skip(start).take(end.saturating_sub(start)).collect()
}

/// What saphyr says of a key that stands twice.
const DUPLICATE: &str = "duplicated key in mapping";

/// The start of the private use area: as many keys that stand twice are reported at a time.
const RENAMED: std::ops::RangeInclusive<char> = '\u{e000}'..='\u{e063}';

/// The first character of the key's name, behind a quote.
fn first_character(characters: &[char], key: usize) -> Option<usize> {
    let is_name = |c: &char| c.is_alphanumeric() || "_-@./<".contains(*c);
    match characters.get(key)? {
        '"' | '\'' => characters.get(key + 1).filter(|c| is_name(c)).map(|_| key + 1),
        c => is_name(c).then_some(key),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// The keys of the text's top mapping.
    fn keys(text: &str) -> Vec<String> {
        let tree = Tree::parse(text).unwrap();
        let mapping = tree.documents[0].data.as_mapping().unwrap();
        mapping.keys().map(|key| tree.key(key, text).unwrap()).collect()
    }

    #[test]
    fn a_key_that_stands_twice_keeps_its_name() {
        let expected = ["ab", "c", "ab", "ab", "c"];
        assert_eq!(keys("ab: 1\nc: 2\nab: 3\n'ab': 4\n\"c\": 5\n"), expected);
        assert_eq!(keys("{ab: 1, c: 2, ab: 3, 'ab': 4, \"c\": 5}"), expected);
    }

    #[test]
    fn a_key_that_is_no_string_has_its_text_for_a_name() {
        assert_eq!(keys("8080 : a\n0x10: b\ntrue: c\n"), ["8080", "0x10", "true"]);
    }

    #[test]
    fn a_duplicate_that_cannot_be_renamed_is_still_an_error() {
        assert_eq!(Tree::parse("[a]: 1\n[a]: 2\n").err().unwrap().info(), DUPLICATE);
    }
}
