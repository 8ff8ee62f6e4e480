//! The depth of nested lists and mappings, found without recursion before anything recursive reads the text.

use saphyr::ScanError;
use saphyr_parser::{Event, Marker, Parser, StrInput};

/// The most lists and mappings that may be nested, aliases included.
pub(super) const DEEPEST: usize = 128;

/// Finds the first place that is deeper than [`DEEPEST`].
///
/// # Errors
/// The text is no YAML.
pub(super) fn too_deep(text: &str) -> Result<Option<Marker>, ScanError> {
    let mut open: Vec<Open> = Vec::new();
    // The height of what each anchor names, by the number that the parser gives it, from 1 in each document.
    let mut heights: Vec<usize> = Vec::new();
    for event in Parser::new(StrInput::new(text)) {
        let (event, span) = match event {
            Ok(event) => event,
            // The scanner reads ahead, and has a limit of its own for brackets.
            Err(error) if error.info() == LIMIT => return Ok(Some(*error.marker())),
            Err(error) => return Err(error),
        };
        let height = match event {
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                open.push(Open { anchor, height: 1 });
                0
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { anchor, height }) = open.pop() else { continue };
                note(&mut heights, anchor, height);
                height
            }
            Event::Scalar(_, _, anchor, _) => {
                note(&mut heights, anchor, 0);
                0
            }
            Event::Alias(anchor) => heights.get(anchor).copied().unwrap_or_default(),
            Event::DocumentStart(_) => {
                heights.clear();
                0
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => 0,
        };
        if open.len() + height > DEEPEST {
            return Ok(Some(span.start));
        }
        if let Some(around) = open.last_mut() {
            around.height = around.height.max(height + 1);
        }
    }
    Ok(None)
}

/// Saphyr's message for more brackets than it takes (255).
const LIMIT: &str = "recursion limit exceeded";

/// A list or mapping that has not ended.
struct Open {
    anchor: usize,
    /// The depth of lists and mappings in it, itself included.
    height: usize,
}

/// Remembers the height of an anchor; 0 is none.
fn note(heights: &mut Vec<usize>, anchor: usize, height: usize) {
    if anchor > 0 {
        if heights.len() <= anchor {
            heights.resize(anchor + 1, 0);
        }
        if let Some(known) = heights.get_mut(anchor) {
            *known = height;
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn is_too_deep(text: &str) -> bool {
        too_deep(text).unwrap().is_some()
    }

    fn lists(depth: usize) -> String {
        "[".repeat(depth) + &"]".repeat(depth)
    }

    #[test]
    fn the_bound_holds_for_every_way_to_nest() {
        for (depth, expected) in [(DEEPEST, false), (DEEPEST + 1, true), (20_000, true)] {
            let mappings = "{a: ".repeat(depth) + &"}".repeat(depth);
            let dashes = "- ".repeat(depth) + "x";
            for text in [lists(depth), mappings, dashes] {
                assert_eq!(is_too_deep(&text), expected, "{depth}: {}", &text[..10]);
            }
        }
        let keys: String = (0..DEEPEST + 1).map(|depth| " ".repeat(depth) + "a:\n").collect();
        assert!(is_too_deep(&keys));
    }

    #[test]
    fn aliases_are_as_deep_as_what_they_name() {
        let half = lists(DEEPEST / 2 - 1);
        assert!(!is_too_deep(&format!("a: &a {half}\nb: [*a, [*a]]\n")));
        let mut text = format!("a0: &a0 {half}\n");
        text.push_str(&format!("a1: &a1 {}*a0{}\n", "[".repeat(DEEPEST / 2), "]".repeat(DEEPEST / 2)));
        assert!(!is_too_deep(&text));
        text.push_str("a2: [[*a1]]\n");
        assert_eq!(too_deep(&text).unwrap().map(|place| place.line()), Some(3));
    }

    #[test]
    fn what_is_no_yaml_is_an_error() {
        assert!(too_deep("a: [").is_err());
    }
}
