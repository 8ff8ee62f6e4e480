//! Names that may be used once.

use super::document::Read;
use super::value::Value;

/// The names of one kind so far, each with its line.
pub struct Unique {
    kind: &'static str,
    used: Vec<(String, usize)>,
}

impl Unique {
    /// Makes an empty set. `kind` is the word for such a name in messages.
    pub fn new(kind: &'static str) -> Self {
        Self { kind, used: Vec::new() }
    }

    /// Takes the name at `place`, or reports that it is taken.
    pub fn check(&mut self, place: &Value<'_>, name: &str) -> Read<()> {
        if let Some((_, line)) = self.used.iter().find(|(used, _)| used == name) {
            let message = format!("duplicate {} {name:?}, first used in line {line}", self.kind);
            return Err(place.fail(message, "choose another one"));
        }
        self.used.push((name.to_owned(), place.origin().line));
        Ok(())
    }
}
